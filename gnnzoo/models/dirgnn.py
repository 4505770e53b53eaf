"""DirGNN: convolutions along the edges and against them."""

from dataclasses import replace

from torch import Tensor, nn
from torch_geometric import EdgeIndex

from gnnzoo.models.chain import Context
from gnnzoo.models.conv_net import ConvNet
from gnnzoo.nn import DirConv
from gnnzoo.nn.checks import check_count
from gnnzoo.ops import Graph, SparseFeatures
from gnnzoo.ops.reverse import BothWays, reverse_graph


class DirGNN(ConvNet):
    """Directed graph network: `DirConv` around GCN, GraphSAGE or GAT.

    Paper: "Edge Directionality Improves Learning on Heterophilic Graphs" (Rossi et al., LoG 2023),
    https://arxiv.org/abs/2305.10498. A baseline for directed graphs such as Chameleon and Squirrel.

    Args:
        conv: ``gcn``, ``sage`` or ``gat``.
        alpha: Share of the messages against the edges, in [0, 1].
        root_weight: Whether each layer adds a linear map of its input. Not the same as `residual`,
            which comes on top.
        heads: Heads of hidden layers with ``gat``; an output layer has one.
        attention_dropout: Share of the weights of ``gat`` dropped in training.

    Other arguments, shapes and errors are those of `ConvNet`.
    """

    made_by = ConvNet.made_by | {"reverse": "gnnzoo.data.ReverseGraph"}

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
        conv: str = "sage",
        alpha: float = 0.5,
        root_weight: bool = True,
        heads: int = 1,
        attention_dropout: float = 0.0,
    ) -> None:
        check_count("heads", heads, 1)
        self.settings = {"conv": conv, "alpha": alpha, "root_weight": root_weight}
        self.settings["attention_dropout"] = attention_dropout
        self.heads = heads
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
        heads = 1 if last else self.heads
        return DirConv(in_channels, out_channels, heads=heads, **self.settings)

    def context(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
        batch: Tensor | None = None,
        reverse: Graph | None = None,
    ) -> Context:
        context = super().context(x, edge_index, edge_weight, graph, batch)
        reverse = reverse_graph(context.graph) if reverse is None else reverse
        return replace(context, graph=BothWays(context.graph, reverse))

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
        batch: Tensor | None = None,
        reverse: Graph | None = None,
    ) -> Tensor:
        """As `Chain.forward`; `reverse` is what `ReverseGraph` made of the same edges."""
        return self.fold(self.context(x, edge_index, edge_weight, graph, batch, reverse))
