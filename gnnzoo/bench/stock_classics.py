"""The classics written with PyG alone: dense features, gather and scatter.

As in `gnnzoo.bench.stock`, these are what published scripts do. Parameters come in the order of
gnnzoo's models, so that tests can copy weights over.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import APPNP, GCN2Conv, MessagePassing, SGConv


class StockConvNet(nn.Module):
    """Dropout, convolution, activation; the last convolution or a linear layer ends it.

    Args:
        convs: Convolutions of PyG, called with ``(x, edge_index)``.
        act: Activation between them.
        dropout: Share dropped in front of hidden layers.
        input_dropout: Share of the input dropped.
        classifier: A linear layer after the last activation, if there is one.

    Shapes:
        x: ``[num_nodes, in_channels]``, dense.
        edge_index: ``[2, num_edges]``, or torch's CSR layout with targets as rows.
        returns: ``[num_nodes, out_channels]``.
    """

    def __init__(
        self,
        convs: Sequence[nn.Module],
        act: Callable[[Tensor], Tensor] = F.relu,
        dropout: float = 0.5,
        input_dropout: float = 0.5,
        classifier: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.act, self.dropout, self.input_dropout = act, dropout, input_dropout
        self.classifier = classifier

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        for i, conv in enumerate(self.convs):
            share = self.dropout if i else self.input_dropout
            x = F.dropout(x, share, self.training) if share else x
            x = conv(x, edge_index)
            if self.classifier is not None or i < len(self.convs) - 1:
                x = self.act(x)
        if self.classifier is None:
            return x
        return self.classifier(F.dropout(x, self.dropout, self.training))


class StockAPPNP(nn.Module):
    """Two linear layers and PyG's `APPNP`. Shapes as in `StockConvNet`."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        dropout: float = 0.5,
        input_dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.dropout, self.input_dropout = dropout, input_dropout
        self.first = nn.Linear(in_channels, hidden_channels)
        self.second = nn.Linear(hidden_channels, out_channels)
        self.propagation = APPNP(10, 0.1)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = F.dropout(x, self.input_dropout, self.training) if self.input_dropout else x
        h = self.first(x).relu()
        h = self.second(F.dropout(h, self.dropout, self.training))
        return self.propagation(h, edge_index)


class StockGCNII(nn.Module):
    """Linear, PyG's `GCN2Conv` several times, linear. Shapes as in `StockConvNet`."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_layers: int,
        dropout: float = 0.5,
        input_dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.dropout, self.input_dropout = dropout, input_dropout
        self.convs = nn.ModuleList(
            GCN2Conv(hidden_channels, 0.1, 0.5, layer) for layer in range(1, num_layers + 1)
        )
        self.first = nn.Linear(in_channels, hidden_channels)
        self.last = nn.Linear(hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = F.dropout(x, self.input_dropout, self.training) if self.input_dropout else x
        h = x_0 = self.first(x).relu()
        for conv in self.convs:
            h = conv(F.dropout(h, self.dropout, self.training), x_0, edge_index).relu()
        return self.last(F.dropout(h, self.dropout, self.training))


def stock_sgc(in_channels: int, out_channels: int) -> nn.Module:
    """PyG's `SGConv` that smooths the features once and keeps them, as in PyG's example."""
    return SGConv(in_channels, out_channels, K=2, cached=True)


class StockGatedConv(MessagePassing):
    """The gated convolution of Bresson and Laurent with edge features, by message passing.

    Paper: "Residual Gated Graph ConvNets", https://arxiv.org/abs/1711.07553
    """

    def __init__(self, channels: int) -> None:
        super().__init__(aggr="add")
        self.own = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.edge = nn.Linear(channels, channels)
        self.target = nn.Linear(channels, channels)
        self.source = nn.Linear(channels, channels)

    def forward(self, x: Tensor, edge_index: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        target, source = self.target(x), self.source(x)
        q = target[edge_index[1]] + source[edge_index[0]] + self.edge(e)
        gate = q.sigmoid()
        top = self.propagate(edge_index, value=self.value(x), gate=gate)
        bottom = torch.zeros_like(top).index_add(0, edge_index[1], gate)
        return self.own(x) + top / (bottom + 1e-6), q

    def message(self, value_j: Tensor, gate: Tensor) -> Tensor:
        return gate * value_j


class StockGatedGCN(nn.Module):
    """Two gated layers with residuals, edge features all 1. Shapes as in `StockConvNet`."""

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        input_dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.input_dropout = input_dropout
        self.convs = nn.ModuleList(StockGatedConv(hidden_channels) for _ in range(2))
        self.nodes = nn.Linear(in_channels, hidden_channels)
        self.edges = nn.Linear(1, hidden_channels)
        self.last = nn.Linear(hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = F.dropout(x, self.input_dropout, self.training) if self.input_dropout else x
        h, e = self.nodes(x), self.edges(x.new_ones(edge_index.size(1), 1))
        z, q = self.convs[0](h, edge_index, e)
        h, e = h + z.relu(), e + q.relu()
        z, _ = self.convs[1](h, edge_index, e)
        return self.last(h + z.relu())
