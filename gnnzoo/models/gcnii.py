"""GCNII: deep graph convolution with initial residual and identity mapping."""

from dataclasses import replace

from torch import Tensor, nn
from torch_geometric import EdgeIndex

from gnnzoo.models.chain import Chain, Context
from gnnzoo.models.mlp import MLPLayer
from gnnzoo.nn import FeatureDropout, GCN2Conv
from gnnzoo.nn.activation import make_activation
from gnnzoo.nn.checks import check_count, check_probability
from gnnzoo.ops import Graph, SparseFeatures


class GCNIILayer(nn.Module):
    """Dropout, convolution, activation."""

    reach = 1

    def __init__(
        self, channels: int, alpha: float, theta: float, layer: int, dropout: float, act: str
    ) -> None:
        super().__init__()
        self.dropout = FeatureDropout(dropout)
        self.conv = GCN2Conv(channels, alpha, theta, layer)
        self.act = make_activation(act)

    def reset_parameters(self) -> None:
        self.conv.reset_parameters()

    def forward(self, x: Tensor, context: Context) -> Tensor:
        x = self.dropout(x)
        return self.act(self.conv(x, context.x, context.graph, context.edge_weight))


class GCNII(Chain):
    """Deep graph convolutional network whose layers all see the first representation.

    Paper: "Simple and Deep Graph Convolutional Networks" (Chen et al., ICML 2020),
    https://arxiv.org/abs/2007.02133. Known for Cora (64 layers of 64 channels, dropout 0.6) and
    CiteSeer (32 layers of 256, dropout 0.7), with one weight decay for the convolutions and
    another for the two linear layers (see `param_groups`).

    The features are embedded when the `Context` is made, so that ``context.x`` is the first
    representation, which the chain starts from and every layer reads.

    Args:
        in_channels: Features per node.
        hidden_channels: Width of all layers.
        out_channels: Width of the result.
        num_layers: Number of convolutions.
        alpha: Share of the first representation in each layer, in [0, 1].
        theta: Strength of the learned maps, positive; lambda in the paper.
        dropout: Share of hidden values dropped in training.
        input_dropout: Share of the input dropped; `dropout` if None.
        act: Name of the activation, as PyG resolves it.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        returns: ``[num_nodes, out_channels]``, logits.

    Raises:
        ValueError: If a setting is out of range.
    """

    reads_sparse_features = True
    layers_read_x = True

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int = 64,
        alpha: float = 0.1,
        theta: float = 0.5,
        dropout: float = 0.6,
        input_dropout: float | None = None,
        act: str = "relu",
    ) -> None:
        super().__init__()
        check_count("in_channels", in_channels, 1)
        check_count("hidden_channels", hidden_channels, 1)
        check_count("out_channels", out_channels, 1)
        check_count("num_layers", num_layers, 1)
        check_probability("alpha", alpha)
        check_probability("dropout", dropout)
        if not theta > 0:
            raise ValueError(f"theta must be positive, got {theta}")
        input_dropout = dropout if input_dropout is None else input_dropout
        check_probability("input_dropout", input_dropout)
        self.embedding = MLPLayer(in_channels, hidden_channels, input_dropout, act=act)
        for layer in range(1, num_layers + 1):
            self.layers.append(GCNIILayer(hidden_channels, alpha, theta, layer, dropout, act))
        self.classifier = MLPLayer(hidden_channels, out_channels, dropout)

    def context(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
    ) -> Context:
        context = super().context(x, edge_index, edge_weight, graph)
        return replace(context, x=self.embedding(x))

    def readout(self, states: list[Tensor], context: Context) -> Tensor:
        return self.classifier(states[-1])

    def reset_parameters(self) -> None:
        for module in (self.embedding, *self.layers, self.classifier):
            module.reset_parameters()

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """``convolutions`` and ``linear``, which have different weight decay in the paper."""
        linear = [*self.embedding.parameters(), *self.classifier.parameters()]
        return {"convolutions": list(self.layers.parameters()), "linear": linear}
