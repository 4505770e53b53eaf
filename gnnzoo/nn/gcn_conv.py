"""Graph convolution as one sparse product."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn import GCNConv as PyGGCNConv

from gnnzoo.nn.features import apply_weight
from gnnzoo.ops import Graph, SparseFeatures, SparseMatrix, as_graph, spmm
from gnnzoo.ops.spmm import compute_dtype


class GCNConv(PyGGCNConv):
    r"""PyG's `GCNConv` whose propagation is a CSR product instead of gather and scatter.

    .. math:: X' = \hat A X W + b, \qquad \hat A = D^{-1/2} (A + I) D^{-1/2}

    Parameters, their names and initialisation are PyG's. Also takes a `Graph`, whose normalised
    matrix is then made once, and `SparseFeatures`.

    Paper: "Semi-Supervised Classification with Graph Convolutional Networks" (Kipf and Welling,
    ICLR 2017), eq. 2, https://arxiv.org/abs/1609.02907

    Args:
        in_channels: Features per node; -1 takes it from the first input.
        out_channels: Width of the result.
        add_self_loops: Whether every node without a self-loop gets one of weight 1.
        normalize: Whether to normalise; without it the weighted neighbours are summed.
        bias: Whether to add b.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target; or EdgeIndex, or `Graph`.
        edge_weight: ``[num_edges]``, optional.
        returns: ``[num_nodes, out_channels]``.
    """

    reach = 1  # hops that one call looks

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        add_self_loops: bool | None = None,
        normalize: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            add_self_loops=add_self_loops,
            normalize=normalize,
            bias=bias,
        )

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        graph = as_graph(edge_index, x.size(0))
        sparse = isinstance(x, SparseFeatures)
        h = x.linear(self.lin.weight) if sparse else self.lin(x)  # [num_nodes, out_channels]
        if self.normalize:
            matrix = graph.gcn_norm(edge_weight, self.add_self_loops, compute_dtype(h))
        else:
            matrix = graph.matrix(edge_weight, compute_dtype(h))
        h = spmm(matrix, h)
        return h if self.bias is None else h + self.bias

    def operators(
        self, graph: Graph, edge_weight: Tensor | None, dtype: torch.dtype
    ) -> tuple[SparseMatrix]:
        """The fixed matrix of the propagation: `forward` is `combine` of its product with x."""
        if self.normalize:
            return (graph.gcn_norm(edge_weight, self.add_self_loops, dtype),)
        return (graph.matrix(edge_weight, dtype),)

    def combine(self, parts: Sequence[Tensor | SparseFeatures]) -> Tensor:
        """What is learned, on any rows of the products."""
        h = apply_weight(self.lin.weight, parts[0])
        return h if self.bias is None else h + self.bias
