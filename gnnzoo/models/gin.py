"""GIN: sums of neighbours through a small MLP."""

from torch import nn

from gnnzoo.models.conv_net import ConvNet
from gnnzoo.models.mlp import make_norm
from gnnzoo.nn import GINConv
from gnnzoo.nn.activation import make_activation


class GIN(ConvNet):
    """Graph isomorphism network: each convolution is a sum and a two-layer MLP.

    Paper: "How Powerful are Graph Neural Networks?" (Xu, Hu, Leskovec and Jegelka, ICLR 2019),
    https://arxiv.org/abs/1810.00826. Known for molecules and social networks, with 5 layers,
    batch norm, and the sum of all layers read out.

    Args:
        train_eps: Whether the weight of a node in its own sum is learned; it starts at 1.

    `norm` also stands within the MLPs. Other arguments, shapes and errors are those of `ConvNet`.
    """

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
        classifier: str = "linear",
        train_eps: bool = False,
    ) -> None:
        self.mlp_norm, self.mlp_act, self.train_eps = norm, act, train_eps
        super().__init__(
            in_channels,
            hidden_channels,
            out_channels,
            num_layers,
            dropout,
            input_dropout,
            norm,
            act,
            residual,
            input_linear,
            jumping,
            virtual_node,
            classifier,
        )

    def make_conv(self, in_channels: int, out_channels: int, last: bool) -> nn.Module:
        mlp = nn.Sequential(
            nn.Linear(in_channels, out_channels),
            make_norm(self.mlp_norm, out_channels),
            make_activation(self.mlp_act),
            nn.Linear(out_channels, out_channels),
        )
        return GINConv(mlp, train_eps=self.train_eps)
