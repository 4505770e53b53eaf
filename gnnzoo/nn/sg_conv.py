"""Simplified graph convolution as sparse products at the narrower width."""

from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn import SGConv as PyGSGConv

from gnnzoo.nn.features import apply_weight
from gnnzoo.ops import Graph, SparseFeatures, as_graph, spmm
from gnnzoo.ops.spmm import compute_dtype


class SGConv(PyGSGConv):
    r"""PyG's `SGConv` as CSR products: K steps of smoothing and one linear map.

    .. math:: X' = \hat A^K X W + b, \qquad \hat A = D^{-1/2} (A + I) D^{-1/2}

    Parameters, their names and initialisation are PyG's. Where the output is narrower than the
    input, or the input is sparse, W is applied before the steps; the two commute.

    Paper: "Simplifying Graph Convolutional Networks" (Wu et al., ICML 2019), eq. 8,
    https://arxiv.org/abs/1902.07153

    Args:
        in_channels: Features per node.
        out_channels: Width of the result.
        K: Number of steps.
        add_self_loops: Whether every node without a self-loop gets one of weight 1.
        bias: Whether to add b.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target; or EdgeIndex, or `Graph`.
        edge_weight: ``[num_edges]``, optional.
        returns: ``[num_nodes, out_channels]``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        K: int = 1,
        add_self_loops: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, K, add_self_loops=add_self_loops, bias=bias)

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        graph = as_graph(edge_index, x.size(0))
        matrix = graph.gcn_norm(edge_weight, self.add_self_loops, compute_dtype(x))
        first = isinstance(x, SparseFeatures) or self.out_channels < self.in_channels
        h = apply_weight(self.lin.weight, x) if first else x
        for _ in range(self.K):
            h = spmm(matrix, h)
        if not first:
            return self.lin(h)
        return h if self.lin.bias is None else h + self.lin.bias
