"""DGMLP: features smoothed as far as suits each node, and an MLP as deep as suits the data."""

from dataclasses import dataclass

from torch import Tensor
from torch_geometric import EdgeIndex

from gnnzoo.models.chain import Chain, Context
from gnnzoo.models.mlp import NORMS, MLPLayer
from gnnzoo.nn import NodeAdaptiveCombine
from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.ops import Graph, SparseFeatures


@dataclass(frozen=True)
class CombinedContext(Context):
    """Context with combined features.

    Args:
        patterns: ``[num_rows, channels]``; None where the encoder propagates.
    """

    patterns: Tensor | None = None


class ResidualLayer(MLPLayer):
    """Dropout, linear, norm, ReLU, and the input added where widths are equal."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dropout: float,
        norm: str | None,
        residual: bool,
    ) -> None:
        super().__init__(in_channels, out_channels, dropout, norm, act="relu")
        self.residual = residual and in_channels == out_channels

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor:
        h = super().forward(x, context)
        return h + x if self.residual else h


class DGMLP(Chain):
    """Deep graph multi-layer perceptron, whose depths of smoothing and of mapping are apart.

    Paper: "Evaluating Deep Graph Neural Networks" (Zhang et al., 2021),
    https://arxiv.org/abs/2108.00955. Known for Cora, CiteSeer and PubMed with 15 to 20 hops and a
    single linear map.

    The combined features come as the field `patterns` of the transform `CombinedHops`, with the
    same settings, and rows may then be any part of the nodes. Without it they are computed at every
    call by `NodeAdaptiveCombine`. With ``combine="last"`` the model is SGC, with ``"concat"`` SIGN.

    Args:
        in_channels: Features per node.
        hidden_channels: Width between layers.
        out_channels: Width of the result.
        num_hops, r, stationary, temperature, combine, to_undirected: As in `NodeAdaptiveCombine`.
        num_layers: Number of linear maps.
        dropout: Share of what each of them reads dropped in training.
        residual: Whether hidden layers add their input, where widths are equal.
        norm: None, ``batch_norm`` or ``layer_norm``, in hidden layers.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        returns: ``[num_nodes, out_channels]``.

    Raises:
        ValueError: If a setting is out of range, the graph is directed, there are neither edges nor
            `patterns`, or `patterns` has the wrong shape.
    """

    reads_sparse_features = True
    made_by = Chain.made_by | {"patterns": "gnnzoo.data.CombinedHops"}

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_hops: int = 20,
        r: float = 0.5,
        stationary: str = "matched",
        temperature: float = 1.0,
        combine: str = "adaptive",
        to_undirected: bool = False,
        num_layers: int = 1,
        dropout: float = 0.2,
        residual: bool = True,
        norm: str | None = None,
    ) -> None:
        super().__init__()
        check_count("in_channels", in_channels, 1)
        check_count("hidden_channels", hidden_channels, 1)
        check_count("out_channels", out_channels, 1)
        check_count("num_layers", num_layers, 1)
        check_probability("dropout", dropout)
        check_choice("norm", norm, NORMS)
        self.combine = NodeAdaptiveCombine(
            num_hops, r, stationary, temperature, combine, to_undirected
        )
        self.combined_channels = in_channels * (num_hops + 1 if combine == "concat" else 1)
        widths = [self.combined_channels] + [hidden_channels] * (num_layers - 1)
        for width in widths[:-1]:
            self.layers.append(ResidualLayer(width, hidden_channels, dropout, norm, residual))
        self.layers.append(MLPLayer(widths[-1], out_channels, dropout))

    def context(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph | None = None,
        patterns: Tensor | None = None,
        graph: Graph | None = None,
        edge_weight: Tensor | None = None,
    ) -> CombinedContext:
        if patterns is not None:
            if patterns.dim() != 2 or patterns.size(1) != self.combined_channels:
                raise ValueError(
                    f"patterns must have shape [num_rows, {self.combined_channels}], "
                    f"got {list(patterns.shape)}"
                )
            return CombinedContext(x, patterns=patterns)
        if edge_index is None and graph is None:
            raise ValueError(
                "DGMLP needs edge_index, or the field patterns, which the transform "
                "gnnzoo.data.CombinedHops makes"
            )
        base = super().context(x, edge_index, edge_weight, graph)
        return CombinedContext(x, base.graph, edge_weight)

    def start(self, context: CombinedContext) -> Tensor:
        if context.patterns is not None:
            return context.patterns
        return self.combine(context.x, context.graph, context.edge_weight)

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph | None = None,
        patterns: Tensor | None = None,
        graph: Graph | None = None,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        """Encode all nodes, or the rows of `patterns` where that is given.

        Shapes:
            x: ``[num_nodes, in_channels]``; not read when `patterns` is given.
            edge_index: ``[2, num_edges]``; not read when `patterns` or `graph` is given.
            patterns: ``[num_rows, in_channels]`` (times ``num_hops + 1`` with
                ``combine="concat"``), what `CombinedHops` made, or some of its rows.
            edge_weight: ``[num_edges]``, optional.
            returns: ``[num_nodes, out_channels]`` or ``[num_rows, out_channels]``.
        """
        return self.fold(self.context(x, edge_index, patterns, graph, edge_weight))
