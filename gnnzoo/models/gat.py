"""GAT: neighbours weighed by attention."""

from torch import nn

from gnnzoo.models.conv_net import ConvNet
from gnnzoo.nn import GATConv
from gnnzoo.nn.checks import check_count, check_probability


class GAT(ConvNet):
    """Graph attention network.

    Paper: "Graph Attention Networks" (Velickovic et al., ICLR 2018),
    https://arxiv.org/abs/1710.10903. Known for Cora and CiteSeer with two layers, 8 heads of 8
    channels (64 hidden channels here), ELU, and dropout 0.6 on inputs and attention.

    Args:
        heads: Number of heads in hidden layers. `hidden_channels` is the width of all of them
            together, so that norms and residuals fit any number.
        out_heads: Number of heads in an output layer (``classifier="conv"``), which are averaged.
        attention_dropout: Share of the attention weights dropped in training.
        bias: Whether convolutions have a bias.

    Every node attends to itself exactly once, whether the graph has self-loops or not. Other
    arguments, shapes and errors are those of `ConvNet`.
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
        act: str = "elu",
        residual: bool = False,
        input_linear: bool = False,
        jumping: bool = False,
        virtual_node: bool = False,
        classifier: str = "conv",
        heads: int = 8,
        out_heads: int = 1,
        attention_dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        check_count("heads", heads, 1)
        check_count("out_heads", out_heads, 1)
        check_probability("attention_dropout", attention_dropout)
        if hidden_channels % heads:
            raise ValueError(
                f"hidden_channels is the width of all heads together and must be a multiple of "
                f"heads, got hidden_channels={hidden_channels}, heads={heads}"
            )
        self.heads = heads
        self.out_heads = out_heads
        self.attention_dropout = attention_dropout
        self.bias = bias
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
        return GATConv(
            in_channels,
            out_channels if last else out_channels // self.heads,
            heads=self.out_heads if last else self.heads,
            concat=not last,
            dropout=self.attention_dropout,
            bias=self.bias,
        )
