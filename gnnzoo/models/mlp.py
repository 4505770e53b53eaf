"""Multi-layer perceptron: every node by itself, the graph unused."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gnnzoo.models.chain import Chain, Context
from gnnzoo.nn import FeatureDropout, FeatureLinear
from gnnzoo.nn.activation import make_activation
from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.ops import Graph, SparseFeatures

NORMS = (None, "batch_norm", "layer_norm")


def make_norm(norm: str | None, channels: int) -> nn.Module:
    check_choice("norm", norm, NORMS)
    if norm is None:
        return nn.Identity()
    return nn.BatchNorm1d(channels) if norm == "batch_norm" else nn.LayerNorm(channels)


class MLPLayer(nn.Module):
    """Dropout, linear, norm, activation; an output layer ends with the linear part."""

    reach = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dropout: float = 0.0,
        norm: str | None = None,
        act: str | None = None,
    ) -> None:
        super().__init__()
        self.dropout = FeatureDropout(dropout)
        self.linear = FeatureLinear(in_channels, out_channels)
        self.norm = make_norm(norm, out_channels)
        self.act = make_activation(act)

    def reset_parameters(self) -> None:
        self.linear.reset_parameters()
        if not isinstance(self.norm, nn.Identity):
            self.norm.reset_parameters()

    def forward(self, x: Tensor | SparseFeatures, context: Context | None = None) -> Tensor:
        return self.act(self.norm(self.linear(self.dropout(x))))

    def operators(self, context: Context, dtype: torch.dtype) -> tuple[None] | None:
        """No matrix but the rows themselves; None where dropout or batch norm acts."""
        together = self.dropout.p or isinstance(self.norm, nn.BatchNorm1d)
        return None if together else (None,)

    def combine(self, parts: Sequence[Tensor | SparseFeatures]) -> Tensor:
        """What is learned, on any rows of the input."""
        return self.act(self.norm(self.linear(parts[0])))


def mlp_layers(
    in_channels: int,
    hidden_channels: int,
    out_channels: int,
    num_layers: int,
    dropout: float,
    input_dropout: float | None,
    norm: str | None,
    act: str,
) -> list[MLPLayer]:
    """The layers of an `MLP`, arguments checked; other encoders begin with them too."""
    check_count("in_channels", in_channels, 1)
    check_count("hidden_channels", hidden_channels, 1)
    check_count("out_channels", out_channels, 1)
    check_count("num_layers", num_layers, 1)
    check_probability("dropout", dropout)
    input_dropout = dropout if input_dropout is None else input_dropout
    check_probability("input_dropout", input_dropout)
    widths = [in_channels] + [hidden_channels] * (num_layers - 1)
    shares = [input_dropout] + [dropout] * (num_layers - 1)
    hidden = [
        MLPLayer(widths[i], hidden_channels, shares[i], norm, act) for i in range(num_layers - 1)
    ]
    return [*hidden, MLPLayer(widths[-1], out_channels, shares[-1])]


class MLP(Chain):
    """Multi-layer perceptron on the node features, the baseline that shows what edges add.

    Each layer is dropout, linear, norm, activation; the last is dropout and linear.

    Args:
        in_channels: Features per node.
        hidden_channels: Width between layers.
        out_channels: Width of the result.
        num_layers: Number of linear layers.
        dropout: Share of hidden values dropped in training.
        input_dropout: Share of the input dropped; `dropout` if None.
        norm: None, ``batch_norm`` or ``layer_norm``, between the layers.
        act: Name of the activation, as PyG resolves it.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        returns: ``[num_nodes, out_channels]``.
    """

    reads_sparse_features = True

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 2,
        dropout: float = 0.5,
        input_dropout: float | None = None,
        norm: str | None = None,
        act: str = "relu",
    ) -> None:
        super().__init__()
        self.layers.extend(
            mlp_layers(
                in_channels,
                hidden_channels,
                out_channels,
                num_layers,
                dropout,
                input_dropout,
                norm,
                act,
            )
        )

    def context(
        self,
        x: Tensor | SparseFeatures,
        edge_index: object = None,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
    ) -> Context:
        return Context(x)

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: object = None,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
    ) -> Tensor:
        """Encode nodes; everything but `x` is ignored."""
        return super().forward(x, edge_index)
