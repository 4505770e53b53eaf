"""A graph transformer's block with a state space in place of attention."""

from typing import Any

from torch import Tensor, nn
from torch_geometric import EdgeIndex

from gnnzoo.nn.activation import make_activation
from gnnzoo.nn.bidirectional_mamba import BidirectionalMamba
from gnnzoo.nn.checks import check_probability
from gnnzoo.nn.features import FeatureDropout
from gnnzoo.nn.gated_gcn_conv import GatedGCNConv, entry_gate_weights, to_entries
from gnnzoo.nn.norm import make_norm, reset
from gnnzoo.nn.selective_ssm import SelectiveSSM
from gnnzoo.ops import Graph, LineUp, NodeOrder, as_graph


class GraphMambaBlock(nn.Module):
    r"""Hear from the neighbours by a convolution, and from all nodes by a scan along an order.

    .. math::
        h = \mathrm{norm}(\mathrm{conv}(x) + x) + \mathrm{norm}(\mathrm{Mamba}(x_\pi)_{\pi^{-1}}
        + x), \qquad x' = \mathrm{norm}(h + W_2\, \mathrm{act}(W_1 h))

    with dropout on what is added. The block of "Recipe for a General, Powerful, Scalable Graph
    Transformer" (Rampášek et al., NeurIPS 2022), as PyG's ``GPSConv``. With one direction and
    ``GatedGCNConv`` it is that of "Graph-Mamba" (Wang et al., 2024),
    https://arxiv.org/abs/2402.00789; with two that of "Graph Mamba" (Behrouz and Hashemi, KDD
    2024), https://arxiv.org/abs/2402.08678, whose tokens come from `NeighborhoodEncoder`.

    Args:
        channels: Features per node; input and output have the same width.
        conv: Local part, called with ``(x, graph, edge_weight)``; a `GatedGCNConv` also updates
            features of edges, with norm, activation, dropout and residual for both. None: none.
        bidirectional: Whether the scan goes both ways.
        order, tie, eval_draws, num_bins: See `gnnzoo.ops.NodeOrder`.
        dropout: Share dropped in training.
        norm: None, ``batch_norm`` or ``layer_norm``.
        act: Name of the activation.
        ssm: Further settings of `BidirectionalMamba` or `SelectiveSSM`.
        updates_edges: Whether features of edges change; false where nobody reads them afterwards.

    Shapes:
        x: ``[num_nodes, channels]``.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target; or EdgeIndex, or `Graph`.
        batch: ``[num_nodes]``, int64, the graph of each node, in any order; None: all are one.
        edge_weight: ``[num_edges]``, optional.
        edge_attr: ``[num_edges, channels]``, for a `GatedGCNConv`.
        order_key: ``[num_nodes]``, importance of nodes, instead of `order`.
        returns: ``[num_nodes, channels]``; with `edge_attr` a pair with ``[num_edges, channels]``.

    Raises:
        ValueError: If a setting is out of range, or `edge_attr` is there without a convolution that
            reads it, or the other way round.
    """

    def __init__(
        self,
        channels: int,
        conv: nn.Module | None = None,
        bidirectional: bool = True,
        order: str = "degree",
        tie: str = "noise",
        eval_draws: int = 1,
        num_bins: int = 1,
        dropout: float = 0.0,
        norm: str | None = "batch_norm",
        act: str = "relu",
        ssm: dict[str, Any] | None = None,
        updates_edges: bool = True,
    ) -> None:
        super().__init__()
        check_probability("dropout", dropout)
        self.channels, self.conv = channels, conv
        self.node_order = NodeOrder(order, tie, eval_draws, num_bins)
        if bidirectional:
            self.mamba = BidirectionalMamba(channels, residual=False, **(ssm or {}))
        else:
            self.mamba = SelectiveSSM(channels, **(ssm or {}))
        self.reads_edges = isinstance(conv, GatedGCNConv)
        self.conv_norm = make_norm(norm, channels) if self.reads_edges else None
        updates_edges = updates_edges and self.reads_edges
        self.edge_norm = make_norm(norm, channels) if updates_edges else None
        self.local_norm = make_norm(norm, channels) if conv is not None else None
        self.mamba_norm, self.out_norm = make_norm(norm, channels), make_norm(norm, channels)
        self.mlp_in = nn.Linear(channels, 2 * channels)
        self.mlp_out = nn.Linear(2 * channels, channels)
        self.act, self.dropout = make_activation(act), FeatureDropout(dropout)

    def reset_parameters(self) -> None:
        reset(*self.children())

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | EdgeIndex | Graph,
        batch: Tensor | None = None,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
        order_key: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        graph = as_graph(edge_index, x.size(0))
        line = self.node_order.draw(graph, batch, x, self.training, order_key=order_key)
        entries = None if edge_attr is None else to_entries(edge_attr, graph)
        h, entries = self.along(x, graph, line, edge_weight, entries)
        return h if entries is None else (h, entries.index_select(0, graph.slot))

    def along(
        self,
        x: Tensor,
        graph: Graph,
        line: LineUp,
        edge_weight: Tensor | None = None,
        edge_attr: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The same along an order made before; features of edges in the order of the entries."""
        if self.reads_edges != (edge_attr is not None):
            needed = "needs" if self.reads_edges else "does not read"
            raise ValueError(f"the block {needed} edge_attr: its convolution is {self.conv}")
        y = line.put_back(self.mamba(line.line_up(x), line.sequences))
        h = self.mamba_norm(x + self.dropout(y))
        if self.conv is not None:
            local, edge_attr = self._local(x, graph, edge_weight, edge_attr)
            h = h + self.local_norm(x + local)
        update = self.mlp_out(self.dropout(self.act(self.mlp_in(h))))
        return self.out_norm(h + self.dropout(update)), edge_attr

    def _local(
        self, x: Tensor, graph: Graph, edge_weight: Tensor | None, edge_attr: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """What the neighbours add, and the edges after it."""
        if not self.reads_edges:
            return self.dropout(self.conv(x, graph, edge_weight)), None
        weight = entry_gate_weights(graph, edge_weight)
        z, q = self.conv.on_entries(x, graph, edge_attr, weight)
        z = self.dropout(self.act(self.conv_norm(z)))
        if self.edge_norm is None:
            return z, edge_attr
        return z, edge_attr + self.dropout(self.act(self.edge_norm(q)))

    def __repr__(self) -> str:
        kind = type(self.mamba).__name__
        return f"{type(self).__name__}({self.channels}, conv={self.conv}, {kind})"
