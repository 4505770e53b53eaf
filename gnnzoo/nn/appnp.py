"""Personalised PageRank propagation as sparse products."""

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn import APPNP as PyGAPPNP

from gnnzoo.ops import Graph, SparseMatrix, as_graph, spmm
from gnnzoo.ops.dropout import dropout
from gnnzoo.ops.spmm import compute_dtype


class APPNP(PyGAPPNP):
    r"""PyG's `APPNP` as CSR products: K steps that each return to the input with share alpha.

    .. math:: z^{(0)} = x, \qquad z^{(k)} = (1 - \alpha)\, \hat A z^{(k-1)} + \alpha x

    Paper: "Predict then Propagate: Graph Neural Networks meet Personalized PageRank" (Gasteiger,
    Bojchevski and Günnemann, ICLR 2019), eq. 4, https://arxiv.org/abs/1810.05997

    Args:
        K: Number of steps.
        alpha: Share of the input in each step.
        dropout: Share of the matrix entries dropped in training, drawn anew in each step.
        add_self_loops: Whether every node without a self-loop gets one of weight 1.
        normalize: Whether to propagate with :math:`D^{-1/2} (A + I) D^{-1/2}`; without it the
            weighted neighbours are summed and no loops are added.

    Shapes:
        x: ``[num_nodes, channels]``, floating point.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target; or EdgeIndex, or `Graph`.
        edge_weight: ``[num_edges]``, optional.
        returns: ``[num_nodes, channels]``.
    """

    def __init__(
        self,
        K: int,
        alpha: float,
        dropout: float = 0.0,
        add_self_loops: bool = True,
        normalize: bool = True,
    ) -> None:
        super().__init__(K, alpha, dropout, add_self_loops=add_self_loops, normalize=normalize)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        graph = as_graph(edge_index, x.size(0))
        if self.normalize:
            matrix = graph.gcn_norm(edge_weight, self.add_self_loops, compute_dtype(x))
        else:
            matrix = graph.matrix(edge_weight, compute_dtype(x))
        start, h = self.alpha * x, x
        for _ in range(self.K):
            step = matrix
            if self.training and self.dropout:
                step = SparseMatrix(matrix.csr, dropout(matrix.values, self.dropout))
            h = torch.add(start, spmm(step, h), alpha=1 - self.alpha)
        return h
