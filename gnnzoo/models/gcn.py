"""GCN: the two-layer graph convolutional network and its deeper, normalised relatives."""

from torch import nn

from gnnzoo.models.conv_net import ConvNet
from gnnzoo.nn import GCNConv


class GCN(ConvNet):
    """Graph convolutional network, with dropout on the input and on every hidden layer.

    Paper: "Semi-Supervised Classification with Graph Convolutional Networks" (Kipf and Welling,
    ICLR 2017), https://arxiv.org/abs/1609.02907. Known for Cora, CiteSeer and PubMed with
    two layers, 16 hidden channels, dropout 0.5, and weight decay on the first layer only (see
    `param_groups`); with the options of `ConvNet` one of the strongest baselines.

    Arguments, shapes and errors are those of `ConvNet`.
    """

    def make_conv(self, in_channels: int, out_channels: int, last: bool) -> nn.Module:
        return GCNConv(in_channels, out_channels)
