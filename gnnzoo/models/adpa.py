"""ADPA: features propagated along directed patterns, fused by attention over hops and patterns."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch_geometric import EdgeIndex

from gnnzoo.models.chain import Chain, Context
from gnnzoo.models.pattern_layer import PatternLayer
from gnnzoo.nn import FeatureDropout, HopAttention, PatternAttention, StreamLinear
from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.ops import Graph, PatternSettings, SparseFeatures

FUSIONS = ("hop_then_dp", "dp_then_hop")


@dataclass(frozen=True)
class PatternContext(Context):
    """Context with propagated features, if there are any.

    Args:
        patterns: ``[num_rows, 1 + num_patterns * num_hops, in_channels]``; None where the first
            layer propagates.
    """

    patterns: Tensor | None = None


class StreamLayer(nn.Module):
    """A linear map per stream, ReLU, dropout."""

    reach = None  # streams have no one width that blocks of rows could be cut for

    def __init__(self, channels: int, num_streams: int, dropout: float) -> None:
        super().__init__()
        self.linear = StreamLinear(channels, channels, num_streams)
        self.dropout = FeatureDropout(dropout)

    def reset_parameters(self) -> None:
        self.linear.reset_parameters()

    def forward(self, h: Tensor, context: Context | None = None) -> Tensor:
        return self.dropout(self.linear(h).relu())


class FusionLayer(nn.Module):
    """Attention over the streams, over hops where they are left, and the output map."""

    reach = 0

    def __init__(
        self, attention: PatternAttention, hops: HopAttention | None, out_channels: int
    ) -> None:
        super().__init__()
        self.attention, self.hops = attention, hops
        self.linear = nn.Linear(attention.out_channels, out_channels)

    def reset_parameters(self) -> None:
        for module in (self.attention, self.hops, self.linear):
            if module is not None:
                module.reset_parameters()

    def forward(self, h: Tensor, context: Context | None = None) -> Tensor:
        if self.hops is None:
            return self.linear(self.attention(h))
        fused = self.attention(h.transpose(1, 2))  # [num_rows, num_hops + 1, channels]
        return self.linear(self.hops(fused))


class ADPA(Chain):
    r"""Adaptive directed pattern aggregation.

    Every pattern, a word over successors and predecessors, is a stream of features propagated
    without parameters; the features as they are are one more. By default each node weighs the hops
    of a stream (`HopAttention`), an MLP per stream follows, and `PatternAttention` and a linear map
    make the result. With ``fusion="dp_then_hop"`` streams are fused within each hop first.

    Paper: "Breaking the Entanglement of Homophily and Heterophily in Semi-supervised Node
    Classification" (Sun et al., ICDE 2024), https://arxiv.org/abs/2312.04111. Known for Cornell
    with two hops, 32 hidden channels, r 0.42749 and dropout 0.64251; meant for directed graphs
    whose neighbours differ, such as Chameleon and Squirrel.

    The hops come as the field `patterns` of the transform `DirectedPatterns`, with the same
    settings; rows may then be any part of the nodes, and each sees nothing but itself. Without the
    field the features are mapped first, which commutes with everything up to the first ReLU, and
    the narrow results are propagated, gradients and all.

    Args:
        in_channels: Features per node.
        hidden_channels: Width of a stream.
        out_channels: Width of the result.
        num_hops: Steps along every pattern, K.
        order: Length of the longest patterns, with ``patterns=None``.
        patterns: Words as in `gnnzoo.ops.directed_patterns`; None for all up to `order`.
        r, norm, self_loops, hop_decay: See `gnnzoo.ops.PatternSettings`.
        num_layers: Linear maps per stream.
        dropout: Share of the hidden values dropped in training, after every ReLU.
        hop_attention: Kind of `gnnzoo.nn.HopAttention`.
        dp_attention: Kind of `gnnzoo.nn.PatternAttention`.
        fusion: ``hop_then_dp`` or ``dp_then_hop``.
        sharp: Whether attention leaves the sigmoid out.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        returns: ``[num_nodes, out_channels]``.

    Raises:
        ValueError: If a setting is out of range, there are neither edges nor `patterns`, or
            `patterns` has the wrong shape.
    """

    reads_sparse_features = True
    made_by = Chain.made_by | {"patterns": "gnnzoo.data.DirectedPatterns"}

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_hops: int = 2,
        order: int = 2,
        patterns: Sequence[str] | None = None,
        r: float = 0.5,
        norm: str = "row",
        self_loops: bool = True,
        hop_decay: str | None = None,
        num_layers: int = 1,
        dropout: float = 0.5,
        hop_attention: str = "original",
        dp_attention: str = "original",
        fusion: str = "hop_then_dp",
        sharp: bool = False,
    ) -> None:
        super().__init__()
        check_count("in_channels", in_channels, 1)
        check_count("hidden_channels", hidden_channels, 1)
        check_count("out_channels", out_channels, 1)
        check_count("num_layers", num_layers, 1)
        check_probability("dropout", dropout)
        check_choice("fusion", fusion, FUSIONS)
        self.settings = PatternSettings(patterns, order, num_hops, r, norm, self_loops, hop_decay)
        self.in_channels = in_channels
        streams = self.settings.num_streams
        hops_first = fusion == "hop_then_dp"
        attention = PatternAttention(hidden_channels, streams, dp_attention, sharp)
        first = hop_attention if hops_first else None
        last = None
        if not hops_first:
            last = HopAttention(attention.out_channels, num_hops, hop_attention, sharp=sharp)
        self.layers.append(
            PatternLayer(in_channels, hidden_channels, self.settings, first, sharp, dropout)
        )
        for _ in range(num_layers - 1):
            self.layers.append(StreamLayer(hidden_channels, streams, dropout))
        self.layers.append(FusionLayer(attention, last, out_channels))

    def context(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph | None = None,
        patterns: Tensor | None = None,
        graph: Graph | None = None,
    ) -> PatternContext:
        if patterns is not None:
            want = (self.settings.num_rows, self.in_channels)
            if patterns.dim() != 3 or patterns.shape[1:] != want:
                raise ValueError(
                    f"patterns must have shape [num_rows, {want[0]}, {want[1]}], features and "
                    f"{self.settings.num_hops} hops of {len(self.settings.words)} patterns of "
                    f"{want[1]} channels, got {list(patterns.shape)}"
                )
            return PatternContext(x, patterns=patterns)
        if edge_index is None and graph is None:
            raise ValueError(
                "ADPA needs edge_index, or the field patterns, which the transform "
                "gnnzoo.data.DirectedPatterns makes"
            )
        if x.size(1) != self.in_channels:
            raise ValueError(f"x has {x.size(1)} channels, ADPA was built for {self.in_channels}")
        base = super().context(x, edge_index, None, graph)
        return PatternContext(x, base.graph)

    def start(self, context: PatternContext) -> Tensor | SparseFeatures:
        return context.x if context.patterns is None else context.patterns

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph | None = None,
        patterns: Tensor | None = None,
        graph: Graph | None = None,
    ) -> Tensor:
        """Encode all nodes, or the rows of `patterns` where that is given.

        Shapes:
            x: ``[num_nodes, in_channels]``; not read when `patterns` is given.
            edge_index: ``[2, num_edges]``, row 0 source and row 1 target; not read when `patterns`
                or `graph` is given.
            patterns: ``[num_rows, 1 + num_patterns * num_hops, in_channels]``, what
                `DirectedPatterns` made, or some of its rows.
            returns: ``[num_nodes, out_channels]`` or ``[num_rows, out_channels]``.
        """
        return self.fold(self.context(x, edge_index, patterns, graph))
