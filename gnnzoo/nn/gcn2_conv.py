"""The convolution of GCNII, with its propagation as one sparse product."""

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn import GCN2Conv as PyGGCN2Conv

from gnnzoo.ops import Graph, as_graph, spmm
from gnnzoo.ops.spmm import compute_dtype


class GCN2Conv(PyGGCN2Conv):
    r"""PyG's `GCN2Conv` as a CSR product: initial residual and identity mapping.

    .. math::
        X' = (1 - \beta)\, S + \beta\, S W, \qquad S = (1 - \alpha) \hat A X + \alpha X_0,
        \qquad \beta = \log(\theta / \ell + 1)

    Parameters, their names and initialisation are PyG's, with one matrix W for both terms of S.

    Paper: "Simple and Deep Graph Convolutional Networks" (Chen et al., ICML 2020), eq. 5,
    https://arxiv.org/abs/2007.02133

    Args:
        channels: Features per node; input and output have the same width.
        alpha: Share of the first representation.
        theta: Strength of the learned map, lambda in the paper.
        layer: Position of this layer in the network, from 1.
        add_self_loops: Whether every node without a self-loop gets one of weight 1.

    Shapes:
        x: ``[num_nodes, channels]``, floating point.
        x_0: ``[num_nodes, channels]``, the first representation.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target; or EdgeIndex, or `Graph`.
        edge_weight: ``[num_edges]``, optional.
        returns: ``[num_nodes, channels]``.
    """

    reach = 1  # hops that one call looks

    def __init__(
        self,
        channels: int,
        alpha: float,
        theta: float,
        layer: int,
        add_self_loops: bool = True,
    ) -> None:
        super().__init__(channels, alpha, theta, layer, add_self_loops=add_self_loops)

    def forward(
        self,
        x: Tensor,
        x_0: Tensor,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        graph = as_graph(edge_index, x.size(0))
        matrix = graph.gcn_norm(edge_weight, self.add_self_loops, compute_dtype(x))
        h = spmm(matrix, x)
        h = torch.lerp(h, x_0.to(h.dtype), self.alpha)
        # Both terms as one product: the sum is taken of small matrices, not of all nodes.
        identity = torch.eye(self.channels, dtype=h.dtype, device=h.device)
        return h @ torch.lerp(identity, self.weight1.to(h.dtype), self.beta)
