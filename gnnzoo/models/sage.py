"""GraphSAGE with mean aggregation."""

from torch import nn

from gnnzoo.models.conv_net import ConvNet
from gnnzoo.nn import SAGEConv


class SAGE(ConvNet):
    """GraphSAGE: the mean of the neighbours and the node itself, each with a matrix of its own.

    Paper: "Inductive Representation Learning on Large Graphs" (Hamilton, Ying and Leskovec,
    NeurIPS 2017), https://arxiv.org/abs/1706.02216. Keeping a node apart from its neighbours
    makes it a good baseline on heterophilous graphs, such as minesweeper with 15 layers, batch
    norm and residuals.

    Args:
        add_self_loops: Whether the mean also holds the node itself, exactly once.

    Other arguments, shapes and errors are those of `ConvNet`.
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
        classifier: str = "conv",
        add_self_loops: bool = False,
    ) -> None:
        self.add_self_loops = add_self_loops
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
        return SAGEConv(in_channels, out_channels, add_self_loops=self.add_self_loops)
