"""GraphSAGE with the mean taken as one sparse product."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn import SAGEConv as PyGSAGEConv

from gnnzoo.nn.features import apply_linear, apply_weight
from gnnzoo.ops import Graph, SparseFeatures, SparseMatrix, as_graph, spmm
from gnnzoo.ops.spmm import compute_dtype


class SAGEConv(PyGSAGEConv):
    r"""PyG's `SAGEConv` with mean aggregation as a CSR product at the narrower width.

    .. math:: x_i' = W_l \frac{1}{|N(i)|} \sum_{j \in N(i)} x_j + b + W_r x_i

    Parameters, their names and initialisation are PyG's. Where the output is narrower than the
    input, or the input is sparse, :math:`W_l` is applied first; a linear map and a mean commute.

    Paper: "Inductive Representation Learning on Large Graphs" (Hamilton, Ying and Leskovec,
    NeurIPS 2017), https://arxiv.org/abs/1706.02216

    Args:
        in_channels: Features per node.
        out_channels: Width of the result.
        add_self_loops: Whether N(i) also holds i itself; an existing self-loop is not doubled.
        bias: Whether to add b.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target; or EdgeIndex, or `Graph`.
        edge_weight: ``[num_edges]``, optional, not negative: the mean becomes a weighted one.
        returns: ``[num_nodes, out_channels]``.

    Raises:
        ValueError: If a weight is negative or not finite, or shapes or devices do not fit.
    """

    reach = 1  # hops that one call looks

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        add_self_loops: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, bias=bias)
        self.add_self_loops = add_self_loops

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        graph = as_graph(edge_index, x.size(0))
        mean = graph.mean_norm(edge_weight, self.add_self_loops, compute_dtype(x))
        root = apply_linear(self.lin_r, x)  # [num_nodes, out_channels]
        if isinstance(x, Tensor) and self.in_channels <= self.out_channels:
            return self.lin_l(spmm(mean, x)) + root
        h = spmm(mean, apply_weight(self.lin_l.weight, x)) + root
        return h if self.lin_l.bias is None else h + self.lin_l.bias

    def operators(
        self, graph: Graph, edge_weight: Tensor | None, dtype: torch.dtype
    ) -> tuple[SparseMatrix, None]:
        """The mean, and None for the node itself: `forward` is `combine` of their products."""
        return graph.mean_norm(edge_weight, self.add_self_loops, dtype), None

    def combine(self, parts: Sequence[Tensor | SparseFeatures]) -> Tensor:
        """What is learned, on any rows of the products."""
        mean, root = parts
        return apply_linear(self.lin_l, mean) + apply_linear(self.lin_r, root)
