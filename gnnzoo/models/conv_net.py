"""What convolutional encoders share: layers, and the options that make classics strong."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex

from gnnzoo.models.chain import Chain, Context
from gnnzoo.models.mlp import MLPLayer, make_norm
from gnnzoo.nn import FeatureDropout, FeatureLinear, VirtualNode
from gnnzoo.nn.activation import make_activation
from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.ops import Graph, SparseFeatures, SparseMatrix

CLASSIFIERS = ("conv", "linear")


class ConvLayer(nn.Module):
    """Dropout, convolution plus residual, norm, activation, virtual node.

    Args:
        conv: The convolution, called with ``(x, graph, edge_weight)``.
        in_channels: Features per node.
        out_channels: Width of the result.
        dropout: Share of the input dropped in training.
        norm: None, ``batch_norm`` or ``layer_norm``.
        act: Name of the activation; None for none.
        residual: Whether a linear map of the input is added before norm and activation.
        virtual_node: Whether a virtual node ends the layer.
    """

    def __init__(
        self,
        conv: nn.Module,
        in_channels: int,
        out_channels: int,
        dropout: float = 0.0,
        norm: str | None = None,
        act: str | None = None,
        residual: bool = False,
        virtual_node: bool = False,
    ) -> None:
        super().__init__()
        self.dropout = FeatureDropout(dropout)
        self.conv = conv
        self.residual = FeatureLinear(in_channels, out_channels) if residual else None
        self.norm = make_norm(norm, out_channels)
        self.act = make_activation(act)
        self.virtual_node = VirtualNode(out_channels) if virtual_node else None

    @property
    def reach(self) -> int | None:
        """That of the convolution; a virtual node looks at all nodes."""
        return getattr(self.conv, "reach", None) if self.virtual_node is None else None

    def reset_parameters(self) -> None:
        for module in (self.conv, self.residual, self.norm, self.virtual_node):
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def forward(self, x: Tensor | SparseFeatures, context: Context) -> Tensor:
        x = self.dropout(x)
        h = self.conv(x, context.graph, context.edge_weight)
        if self.residual is not None:
            h = h + self.residual(x)
        h = self.act(self.norm(h))
        return h if self.virtual_node is None else self.virtual_node(h, context.batch)

    def operators(
        self, context: Context, dtype: torch.dtype
    ) -> tuple[SparseMatrix | None, ...] | None:
        """Those of the convolution, and one more for a residual.

        None where the convolution has none, or rows are not each by themselves and always the
        same: with dropout, batch norm or a virtual node.
        """
        together = self.dropout.p or self.virtual_node or isinstance(self.norm, nn.BatchNorm1d)
        if together or not hasattr(self.conv, "operators"):
            return None
        own = self.conv.operators(context.graph, context.edge_weight, dtype)
        return own if own is None or self.residual is None else (*own, None)

    def combine(self, parts: Sequence[Tensor | SparseFeatures]) -> Tensor:
        """What is learned, on any rows of the products of `operators` with the input."""
        if self.residual is None:
            return self.act(self.norm(self.conv.combine(parts)))
        *parts, x = parts
        return self.act(self.norm(self.conv.combine(parts) + self.residual(x)))


class ConvNet(Chain):
    r"""Base class of `GCN`, `SAGE`, `GAT` and `GIN`, which differ in `make_conv` only.

    .. math::
        h_0 = x \text{ or } x W_{in} + b_{in}, \qquad
        h_l = \mathrm{act}(\mathrm{norm}(\mathrm{Conv}_l(h_{l-1}) + h_{l-1} R_l + r_l))

    with dropout on what each layer reads. The result is the last convolution, of output width and
    without norm and activation (``classifier="conv"``), or a linear map of :math:`h_L`, or of
    :math:`h_1 + \dots + h_L` (``classifier="linear"``).

    The second form with layer or batch norm, residuals, an input layer and no input dropout is
    that of "Classic GNNs are Strong Baselines" (Luo, Shi and Wu, NeurIPS 2024),
    https://arxiv.org/abs/2406.08993. Differs from it with `jumping`: the sum is dropped out as a
    whole instead of each of its terms.

    Args:
        in_channels: Features per node.
        hidden_channels: Width between layers.
        out_channels: Width of the result.
        num_layers: Number of convolutions.
        dropout: Share of hidden values dropped in training.
        input_dropout: Share of the input dropped; `dropout` if None.
        norm: None, ``batch_norm`` or ``layer_norm``, after every layer but an output layer.
        act: Name of the activation, as PyG resolves it.
        residual: Whether each layer adds a linear map of its input.
        input_linear: Whether a linear layer without activation comes first.
        jumping: Whether the outputs of all layers are added up; with a linear classifier only.
        virtual_node: Whether a virtual node per graph ends each layer but an output layer.
        classifier: ``conv`` or ``linear``, what makes the result.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        returns: ``[num_nodes, out_channels]``.

    Raises:
        ValueError: If a setting is out of range or does not go with another.
    """

    reads_sparse_features = True
    all_hidden = {"classifier": "linear"}

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
        residual: bool = False,
        input_linear: bool = False,
        jumping: bool = False,
        virtual_node: bool = False,
        classifier: str = "conv",
    ) -> None:
        super().__init__()
        check_count("in_channels", in_channels, 1)
        check_count("hidden_channels", hidden_channels, 1)
        check_count("out_channels", out_channels, 1)
        check_count("num_layers", num_layers, 1)
        check_probability("dropout", dropout)
        check_choice("classifier", classifier, CLASSIFIERS)
        if jumping and classifier == "conv":
            raise ValueError(
                "jumping adds up layers of one width, but classifier='conv' makes the last one "
                "as wide as the result; use classifier='linear'"
            )
        width, share = in_channels, dropout if input_dropout is None else input_dropout
        check_probability("input_dropout", share)
        self.jumping = self.reads_every_state = jumping
        self.input_linear = self.classifier = None
        if input_linear:
            self.input_linear = MLPLayer(width, hidden_channels, share)
            width, share = hidden_channels, dropout
        num_hidden = num_layers if classifier == "linear" else num_layers - 1
        for _ in range(num_hidden):
            conv = self.make_conv(width, hidden_channels, False)
            self.layers.append(
                ConvLayer(conv, width, hidden_channels, share, norm, act, residual, virtual_node)
            )
            width, share = hidden_channels, dropout
        if classifier == "conv":
            conv = self.make_conv(width, out_channels, True)
            self.layers.append(ConvLayer(conv, width, out_channels, share, residual=residual))
        else:
            self.classifier = MLPLayer(width, out_channels, share)

    @abstractmethod
    def make_conv(self, in_channels: int, out_channels: int, last: bool) -> nn.Module:
        """The convolution of one layer; `last` where its output is the encoder's."""

    def context(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
        batch: Tensor | None = None,
    ) -> Context:
        return replace(super().context(x, edge_index, edge_weight, graph), batch=batch)

    def start(self, context: Context) -> Tensor | SparseFeatures:
        return context.x if self.input_linear is None else self.input_linear(context.x)

    def readout(self, states: list[Tensor], context: Context) -> Tensor:
        h = sum(states[1:], states[0]) if self.jumping else states[-1]
        return h if self.classifier is None else self.classifier(h)

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """As `Chain.forward`; `batch` tells the virtual node which nodes are one graph."""
        return self.fold(self.context(x, edge_index, edge_weight, graph, batch))

    def reset_parameters(self) -> None:
        for module in (self.input_linear, *self.layers, self.classifier):
            if module is not None:
                module.reset_parameters()

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """``first_layer``, the one that reads the features, and ``rest``."""
        modules = (self.input_linear, *self.layers, self.classifier)
        first, *rest = (module for module in modules if module is not None)
        return {
            "first_layer": list(first.parameters()),
            "rest": [p for module in rest for p in module.parameters()],
        }
