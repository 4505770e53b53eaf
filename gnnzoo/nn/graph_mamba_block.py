"""A layer of a graph network: what the edges bring beside a scan over the nodes in some order."""

import torch
from torch import Tensor, nn

from gnnzoo.nn.bidirectional_mamba import BidirectionalMamba
from gnnzoo.nn.checks import check_choice, check_probability
from gnnzoo.nn.selective_ssm import SelectiveSSM
from gnnzoo.ops.sequences import Sequences, as_sequences

NORMS = {"batch_norm": nn.BatchNorm1d, "layer_norm": nn.LayerNorm, "none": nn.Identity}


class GraphMambaBlock(nn.Module):
    r"""Add message passing and a scan over the nodes of each graph, then a two-layer perceptron.

    .. math:: H = \mathrm{Norm}(L) + \mathrm{Norm}(X + \mathrm{drop}(\mathrm{Mamba}(X))), \qquad
              X' = \mathrm{Norm}(H + \mathrm{drop}(\mathrm{MLP}(H)))

    L is what any layer made of X and the edges, residual included; the caller runs it, since such
    layers differ in what they take and return.

    Paper: "Graph-Mamba: Towards Long-Range Graph Sequence Modeling with Selective State Spaces"
    (Wang et al., 2024), https://arxiv.org/abs/2402.00789 with ``bidirectional=False`` and
    ``ssm="s6"``; the second stage of "Graph Mamba: Towards Learning on Graphs with State Space
    Models" (Behrouz and Hashemi, KDD 2024), https://arxiv.org/abs/2402.08678 without.

    Args:
        channels: Features per node; input and output have the same width.
        bidirectional: Whether nodes are read in both directions.
        dropout: Share dropped of the scan's result and in the perceptron.
        norm: ``batch_norm``, ``layer_norm`` or ``none``.
        **ssm_settings: As in `SelectiveSSM`.

    Shapes:
        x: ``[num_nodes, channels]``.
        order: ``[num_nodes]``, int64, the nodes as they are read, graph by graph; or ``[num_orders,
            num_nodes]``, whose results are averaged.
        seg: ``[num_nodes]``, the graph of each node in that order, not decreasing; or
            `gnnzoo.ops.Sequences`; None for one graph.
        local: ``[num_nodes, channels]``, or None for the scan alone.
        returns: as `x`.

    Raises:
        ValueError: If a setting is unknown or shapes do not fit.
    """

    def __init__(
        self,
        channels: int,
        bidirectional: bool = True,
        dropout: float = 0.0,
        norm: str = "batch_norm",
        **ssm_settings: object,
    ) -> None:
        super().__init__()
        check_probability("dropout", dropout)
        check_choice("norm", norm, tuple(NORMS))
        if bidirectional:
            self.mixer = BidirectionalMamba(channels, norm=False, residual=False, **ssm_settings)
        else:
            self.mixer = SelectiveSSM(channels, **ssm_settings)
        self.channels, self.bidirectional = channels, bidirectional
        self.norm_local, self.norm_mixed, self.norm_out = (NORMS[norm](channels) for _ in range(3))
        self.dropout = nn.Dropout(dropout)
        self.mlp = nn.Sequential(
            nn.Linear(channels, 2 * channels),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(2 * channels, channels),
            nn.Dropout(dropout),
        )

    def reset_parameters(self) -> None:
        for part in (*self.children(), *self.mlp):
            if hasattr(part, "reset_parameters"):
                part.reset_parameters()

    def forward(
        self,
        x: Tensor,
        order: Tensor,
        seg: Tensor | Sequences | None = None,
        local: Tensor | None = None,
    ) -> Tensor:
        if x.dim() != 2 or order.dim() not in (1, 2) or order.size(-1) != x.size(0):
            raise ValueError(
                f"order must have shape [{x.size(0)}] or [num_orders, {x.size(0)}] for x of shape "
                f"{list(x.shape)}, got {list(order.shape)}"
            )
        h = self.norm_mixed(x + self.dropout(self.mix(x, order, seg)))
        if local is not None:
            h = h + self.norm_local(local)
        return self.norm_out(h + self.mlp(h))

    def mix(self, x: Tensor, order: Tensor, seg: Tensor | Sequences | None) -> Tensor:
        """The scan alone, its results where the nodes were; several orders go in one call."""
        sequences, count = as_sequences(seg, x.size(0), x.device), order.numel() // max(len(x), 1)
        if count > 1:
            sequences = Sequences(sequences.start.repeat(count), sequences.length)
        places = order.reshape(-1)
        y = self.mixer(x.index_select(0, places), sequences)
        if count == 1:
            return torch.empty_like(y).index_copy(0, places, y)
        return torch.zeros_like(x, dtype=y.dtype).index_add(0, places, y) / max(count, 1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.channels}, bidirectional={self.bidirectional})"
