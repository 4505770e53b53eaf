"""Neighbours added up, averaged or compared, with one linear map or none."""

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.nn.inits import glorot

from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.nn.features import apply_weight
from gnnzoo.ops import Graph, SparseFeatures, as_graph, segment_max, spmm
from gnnzoo.ops.keep import keep_factors
from gnnzoo.ops.spmm import compute_dtype

AGGREGATIONS = ("gcn", "mean", "sum", "max")
NEGLIGIBLE = 1e-6  # edge dropout below this is none


class NeighborConv(nn.Module):
    r"""The plain convolutions of neural common neighbour's encoder.

    .. math:: X' = \hat A X W + b

    with :math:`\hat A` the matrix of one aggregation: ``gcn`` :math:`D^{-1/2}(A+I)D^{-1/2}`,
    ``mean`` :math:`D^{-1}A`, ``sum`` :math:`A`; ``max`` compares the rows of :math:`X W`. Only
    ``gcn`` sees the node itself. Without `out_channels` there is no W and no b: a smoothing without
    parameters.

    Edge dropout drops each direction of a link by itself, anew in each call, and scales what stays
    by the inverse of the share kept; the degrees of ``gcn`` are those after it.

    Paper: "Neural Common Neighbor with Completion for Link Prediction" (Wang, Yang and Zhang, ICLR
    2024), https://arxiv.org/abs/2302.00890; the encoder is that of its published code.
    Differs from it: W and b start as those of `GCNConv` for every aggregation, a mean with weights
    is divided by their sum, and ``mean`` and ``max`` over the edges that stay are not scaled.

    Args:
        aggr: ``gcn``, ``mean``, ``sum`` or ``max``.
        in_channels: Features per node; not used without `out_channels`.
        out_channels: Width of the result; None: that of the input, without parameters.
        edge_dropout: Share of edges dropped in training.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or, with `out_channels`, `SparseFeatures`.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target; or EdgeIndex, or `Graph`.
        edge_weight: ``[num_edges]``, optional.
        returns: ``[num_nodes, out_channels]``; a node without neighbours gets b, or its own share
            under ``gcn``.

    Raises:
        ValueError: If a setting is out of range.
    """

    reach = 1  # hops that one call looks

    def __init__(
        self,
        aggr: str,
        in_channels: int | None = None,
        out_channels: int | None = None,
        edge_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_choice("aggr", aggr, AGGREGATIONS)
        check_probability("edge_dropout", edge_dropout)
        self.aggr = aggr
        self.edge_dropout = edge_dropout
        self.weight = self.bias = None
        if out_channels is not None:
            check_count("in_channels", in_channels, 1)
            check_count("out_channels", out_channels, 1)
            self.weight = nn.Parameter(torch.empty(out_channels, in_channels))
            self.bias = nn.Parameter(torch.empty(out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.weight is not None:
            glorot(self.weight)
            nn.init.zeros_(self.bias)

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        graph = as_graph(edge_index, x.size(0))
        h = x if self.weight is None else apply_weight(self.weight, x)
        dtype, keep = compute_dtype(h), self._kept_edges(graph, h)
        if self.aggr == "max":
            h = neighbor_max(graph, h, edge_weight, keep)
        else:
            if keep is not None:
                edge_weight = keep if edge_weight is None else keep * edge_weight
            if self.aggr == "gcn":
                matrix = graph.gcn_norm(edge_weight, dtype=dtype)
            elif self.aggr == "mean":
                matrix = graph.mean_norm(edge_weight, dtype=dtype)
            else:
                matrix = graph.matrix(edge_weight, dtype)
            h = spmm(matrix, h)
        return h if self.bias is None else h + self.bias

    def _kept_edges(self, graph: Graph, h: Tensor) -> Tensor | None:
        """``[num_input_edges]``: 0 for the edges dropped, a constant for the others."""
        if not self.training or self.edge_dropout < NEGLIGIBLE:
            return None
        like = h.new_empty(0, dtype=compute_dtype(h))
        return keep_factors(self.edge_dropout, (graph.num_input_edges,), like)

    def __repr__(self) -> str:
        if self.weight is None:
            return f"{type(self).__name__}({self.aggr!r})"
        out_channels, in_channels = self.weight.shape
        return f"{type(self).__name__}({self.aggr!r}, {in_channels}, {out_channels})"


def neighbor_max(
    graph: Graph, x: Tensor, edge_weight: Tensor | None = None, keep: Tensor | None = None
) -> Tensor:
    """Largest value among the in-neighbours, channel by channel; zero for a node that has none.

    Shapes:
        x: ``[num_nodes, channels]``.
        edge_weight: ``[num_input_edges]``, factors of the rows compared, optional.
        keep: ``[num_input_edges]``, 0 for edges that are left out, optional.
        returns: ``[num_nodes, channels]``.
    """
    matrix = graph.matrix(edge_weight, x.dtype)
    rowptr, col, weight = matrix.csr.rowptr, matrix.csr.col, matrix.values
    if keep is not None:
        kept = graph.entry_weights(keep) > 0
        before = torch.zeros(kept.numel() + 1, dtype=rowptr.dtype, device=rowptr.device)
        torch.cumsum(kept, 0, out=before[1:])
        rowptr, col, weight = before[rowptr.long()], col[kept], weight[kept]
    messages = x.index_select(0, col)  # [num_entries, channels]
    if edge_weight is not None:
        messages = messages * weight.unsqueeze(-1)
    return segment_max(messages, rowptr)
