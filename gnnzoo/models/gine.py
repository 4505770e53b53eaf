"""GINE: GIN on graphs with edge features, the baseline for molecules."""

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex

from gnnzoo.models.chain import Chain, Context
from gnnzoo.models.gatedgcn import EDGE_FEATURES, EdgeContext
from gnnzoo.models.mlp import MLPLayer, make_norm
from gnnzoo.nn import FeatureDropout, GINEConv, VirtualNode
from gnnzoo.nn.activation import make_activation
from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.nn.gated_gcn_conv import entry_gate_weights, to_entries
from gnnzoo.ops import Graph, SparseFeatures


class GINELayer(nn.Module):
    """Convolution, norm, activation, dropout, residual, virtual node.

    Args:
        channels: Width of nodes.
        edge_channels: Features per edge.
        dropout: Share of the update dropped in training.
        norm: None, ``batch_norm`` or ``layer_norm``, here and within the MLP.
        act: Name of the activation; None after the last layer, as in OGB's baselines.
        mlp_act: Name of the activation within the MLP.
        residual: Whether the input is added to the update.
        virtual_node: Whether a virtual node ends the layer.
        train_eps: Whether the weight of a node in its own sum is learned.
    """

    def __init__(
        self,
        channels: int,
        edge_channels: int,
        dropout: float,
        norm: str | None,
        act: str | None,
        mlp_act: str,
        residual: bool,
        virtual_node: bool,
        train_eps: bool,
    ) -> None:
        super().__init__()
        mlp = nn.Sequential(
            nn.Linear(channels, 2 * channels),
            make_norm(norm, 2 * channels),
            make_activation(mlp_act),
            nn.Linear(2 * channels, channels),
        )
        self.conv = GINEConv(mlp, channels, edge_channels, train_eps)
        self.norm = make_norm(norm, channels)
        self.act = make_activation(act)
        self.dropout = FeatureDropout(dropout)
        self.residual = residual
        self.virtual_node = VirtualNode(channels) if virtual_node else None

    def reset_parameters(self) -> None:
        for module in (self.conv, self.norm, self.virtual_node):
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def forward(self, h: Tensor, context: EdgeContext) -> Tensor:
        weight = entry_gate_weights(context.graph, context.edge_weight)
        z = self.conv.on_entries(h, context.graph, context.edge_attr, weight)
        z = self.dropout(self.act(self.norm(z)))
        z = h + z if self.residual else z
        return z if self.virtual_node is None else self.virtual_node(z, context.batch)


class GINE(Chain):
    """Graph isomorphism network with edge features: an embedding, layers, a linear classifier.

    Paper: "Strategies for Pre-training Graph Neural Networks" (Hu et al., ICLR 2020),
    https://arxiv.org/abs/1905.12265. Known for molecules: five layers of width 300 with batch norm
    and dropout 0.5 are the baseline "GIN" of "Open Graph Benchmark" (Hu et al., NeurIPS 2020),
    https://arxiv.org/abs/2005.00687. Differs from it: linear layers begin and end the encoder, and
    `gnnzoo.nn.VirtualNode` is not OGB's.

    Args:
        in_channels: Features per node.
        hidden_channels: Width between layers.
        out_channels: Width of the result.
        num_edge_features: Features per edge.
        num_layers: Number of convolutions.
        dropout: Share of hidden values dropped in training.
        input_dropout: Share of the input dropped.
        norm: None, ``batch_norm`` or ``layer_norm``, after the layers and within their MLPs.
        act: Name of the activation, as PyG resolves it; there is none after the last layer.
        residual: Whether each layer adds its input to its output.
        jumping: Whether the outputs of all layers are added up.
        virtual_node: Whether a virtual node per graph ends each layer but the last.
        train_eps: Whether the weight of a node in its own sum is learned; it starts at 1.
        edge_features: ``data``: the graph's ``edge_attr``; ``ones``: 1 for every edge.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        edge_attr: ``[num_edges, num_edge_features]`` or ``[num_edges]``, floating point.
        returns: ``[num_nodes, out_channels]``.

    Raises:
        ValueError: If a setting is out of range, the graph has no edge features, or an edge with
            features is repeated.
    """

    reads_sparse_features = True
    needs = ("num_edge_features",)

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_edge_features: int = 0,
        num_layers: int = 4,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        norm: str | None = "batch_norm",
        act: str = "relu",
        residual: bool = False,
        jumping: bool = False,
        virtual_node: bool = False,
        train_eps: bool = True,
        edge_features: str = "data",
    ) -> None:
        super().__init__()
        check_count("in_channels", in_channels, 1)
        check_count("hidden_channels", hidden_channels, 1)
        check_count("out_channels", out_channels, 1)
        check_count("num_layers", num_layers, 1)
        check_probability("dropout", dropout)
        check_probability("input_dropout", input_dropout)
        check_choice("edge_features", edge_features, EDGE_FEATURES)
        if edge_features == "data" and num_edge_features == 0:
            raise ValueError(
                "GINE reads edge features, but the graph has no edge_attr; "
                "edge_features='ones' gives every edge the feature 1, model=gin does without"
            )
        self.edge_features = edge_features
        self.jumping = self.reads_every_state = jumping
        self.node_embedding = MLPLayer(in_channels, hidden_channels, input_dropout)
        edge_channels = 1 if edge_features == "ones" else num_edge_features
        for layer in range(num_layers):
            last = layer == num_layers - 1
            self.layers.append(
                GINELayer(
                    hidden_channels,
                    edge_channels,
                    dropout,
                    norm,
                    None if last else act,
                    act,
                    residual,
                    virtual_node and not last,
                    train_eps,
                )
            )
        self.classifier = MLPLayer(hidden_channels, out_channels)

    def context(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> EdgeContext:
        base = super().context(x, edge_index, edge_weight, graph)
        if self.edge_features == "ones":
            weight = self.classifier.linear.weight
            edge_attr = torch.ones(1, 1, dtype=weight.dtype, device=weight.device)
        elif edge_attr is None:
            raise ValueError(
                "GINE needs the field 'edge_attr', which the data does not have; "
                "edge_features='ones' gives every edge the feature 1"
            )
        else:
            edge_attr = to_entries(edge_attr, base.graph)
        return EdgeContext(base.x, base.graph, edge_weight, batch, edge_attr)

    def start(self, context: Context) -> Tensor:
        return self.node_embedding(context.x)

    def readout(self, states: list[Tensor], context: Context) -> Tensor:
        return self.classifier(sum(states[1:], states[0]) if self.jumping else states[-1])

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """As `Chain.forward`, with `edge_attr` of each edge and `batch`, the graph of each node."""
        return self.fold(self.context(x, edge_index, edge_weight, graph, edge_attr, batch))

    def reset_parameters(self) -> None:
        for module in (self.node_embedding, *self.layers, self.classifier):
            module.reset_parameters()
