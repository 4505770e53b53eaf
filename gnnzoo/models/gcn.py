"""GCN: the two-layer graph convolutional network and its deeper, normalised relatives."""

from torch import Tensor, nn
from torch_geometric.nn.resolver import activation_resolver

from gnnzoo.models.chain import Chain, Context
from gnnzoo.models.mlp import make_norm
from gnnzoo.nn import FeatureDropout, GCNConv
from gnnzoo.nn.checks import check_count, check_probability
from gnnzoo.ops import SparseFeatures


class GCNLayer(nn.Module):
    """Dropout, convolution, norm, activation; an output layer ends with the convolution."""

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
        self.conv = GCNConv(in_channels, out_channels)
        self.norm = make_norm(norm, out_channels)
        self.act = nn.Identity() if act is None else activation_resolver(act)

    def reset_parameters(self) -> None:
        self.conv.reset_parameters()
        if not isinstance(self.norm, nn.Identity):
            self.norm.reset_parameters()

    def forward(self, x: Tensor | SparseFeatures, context: Context) -> Tensor:
        h = self.conv(self.dropout(x), context.graph, context.edge_weight)
        return self.act(self.norm(h))


class GCN(Chain):
    """Graph convolutional network, with dropout on the input and on every hidden layer.

    Paper: "Semi-Supervised Classification with Graph Convolutional Networks" (Kipf and Welling,
    ICLR 2017), https://arxiv.org/abs/1609.02907. Known for Cora, CiteSeer and PubMed with
    two layers, 16 hidden channels, dropout 0.5, and weight decay on the first layer only (see
    `param_groups`).

    Args:
        in_channels: Features per node.
        hidden_channels: Width between layers.
        out_channels: Width of the result.
        num_layers: Number of convolutions.
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
        check_count("in_channels", in_channels, 1)
        check_count("hidden_channels", hidden_channels, 1)
        check_count("out_channels", out_channels, 1)
        check_count("num_layers", num_layers, 1)
        check_probability("dropout", dropout)
        width, share = in_channels, dropout if input_dropout is None else input_dropout
        check_probability("input_dropout", share)
        for _ in range(num_layers - 1):
            self.layers.append(GCNLayer(width, hidden_channels, share, norm, act))
            width, share = hidden_channels, dropout
        self.layers.append(GCNLayer(width, out_channels, share))

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """``first_layer``, which alone has weight decay in the paper, and ``rest``."""
        first, *rest = self.layers
        return {
            "first_layer": list(first.parameters()),
            "rest": [p for layer in rest for p in layer.parameters()],
        }
