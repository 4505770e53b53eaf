"""GatedGCN: gated convolutions on graphs with edge features, edges updated with the nodes."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex

from gnnzoo.models.chain import Chain, Context
from gnnzoo.models.mlp import MLPLayer, make_norm
from gnnzoo.nn import FeatureDropout, GatedGCNConv
from gnnzoo.nn.activation import make_activation
from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.nn.gated_gcn_conv import entry_gate_weights, to_entries
from gnnzoo.ops import Graph, SparseFeatures

EDGE_FEATURES = ("data", "ones")


@dataclass(frozen=True)
class EdgeContext(Context):
    """Context with edge features.

    Args:
        edge_attr: ``[graph.num_edges, channels]``, in the order of the graph's entries; or one row,
            which all edges share.
    """

    edge_attr: Tensor | None = None


class GatedGCNLayer(nn.Module):
    """Convolution, norm, activation, dropout, residual, for nodes and edges.

    Args:
        channels: Width of nodes and edges.
        dropout: Share of the update dropped in training.
        norm: None, ``batch_norm`` or ``layer_norm``.
        act: Name of the activation.
        residual: Whether the input is added to the update.
        updates_edges: Whether edges change too; false in the last layer, where nobody reads them.
    """

    def __init__(
        self,
        channels: int,
        dropout: float,
        norm: str | None,
        act: str,
        residual: bool,
        updates_edges: bool,
    ) -> None:
        super().__init__()
        self.conv = GatedGCNConv(channels, channels, channels)
        self.norm = make_norm(norm, channels)
        self.edge_norm = make_norm(norm, channels) if updates_edges else None
        self.act = make_activation(act)
        self.dropout = FeatureDropout(dropout)
        self.residual = residual

    def reset_parameters(self) -> None:
        for module in (self.conv, self.norm, self.edge_norm):
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def forward(self, state: tuple[Tensor, Tensor], context: Context) -> tuple[Tensor, Tensor]:
        h, e = state
        weight = entry_gate_weights(context.graph, context.edge_weight)
        z, q = self.conv.on_entries(h, context.graph, e, weight)
        z = self.dropout(self.act(self.norm(z)))
        z = h + z if self.residual else z
        if self.edge_norm is None:
            return z, e
        q = self.dropout(self.act(self.edge_norm(q)))
        return z, e + q if self.residual else q


class GatedGCN(Chain):
    """Gated graph convolutional network: embeddings, gated layers, a linear classifier.

    Paper: "Residual Gated Graph ConvNets" (Bresson and Laurent, 2017),
    https://arxiv.org/abs/1711.07553, in the form of "Benchmarking Graph Neural Networks" (Dwivedi
    et al., JMLR 2023), https://arxiv.org/abs/2003.00982. Known for molecules (ZINC, Peptides),
    with batch norm and residuals. Equals GatedGCN+ of "Can Classic GNNs Be Strong Baselines for
    Graph-level Tasks?" (Luo, Shi and Wu, ICML 2025) without feed-forward blocks.

    Args:
        in_channels: Features per node.
        hidden_channels: Width of nodes and edges between layers.
        out_channels: Width of the result.
        num_edge_features: Features per edge.
        num_layers: Number of gated layers.
        dropout: Share of hidden values dropped in training.
        input_dropout: Share of the input dropped.
        norm: None, ``batch_norm`` or ``layer_norm``.
        act: Name of the activation, as PyG resolves it.
        residual: Whether each layer adds its input to its output.
        edge_features: ``data``: the graph's ``edge_attr``; ``ones``: 1 for every edge, for graphs
            that have none.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        edge_attr: ``[num_edges, num_edge_features]`` or ``[num_edges]``, floating point.
        returns: ``[num_nodes, out_channels]``, logits.

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
        residual: bool = True,
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
                "GatedGCN reads edge features, but the graph has no edge_attr; "
                "edge_features='ones' gives every edge the feature 1"
            )
        self.edge_features = edge_features
        self.node_embedding = MLPLayer(in_channels, hidden_channels, input_dropout)
        self.edge_embedding = nn.Linear(
            1 if edge_features == "ones" else num_edge_features, hidden_channels
        )
        for layer in range(num_layers):
            last = layer == num_layers - 1
            self.layers.append(
                GatedGCNLayer(hidden_channels, dropout, norm, act, residual, not last)
            )
        self.classifier = MLPLayer(hidden_channels, out_channels, dropout)

    def context(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
        edge_attr: Tensor | None = None,
    ) -> EdgeContext:
        base = super().context(x, edge_index, edge_weight, graph)
        graph, dtype = base.graph, self.edge_embedding.weight.dtype
        if self.edge_features == "ones":
            # One row for all edges, so that embedding and first layer map it once.
            edge_attr = torch.ones(1, 1, dtype=dtype, device=graph.device)
        elif edge_attr is None:
            raise ValueError(
                "GatedGCN needs the field 'edge_attr', which the data does not have; "
                "edge_features='ones' gives every edge the feature 1"
            )
        else:
            edge_attr = to_entries(edge_attr, graph)
        return EdgeContext(base.x, graph, edge_weight, edge_attr=edge_attr)

    def start(self, context: EdgeContext) -> tuple[Tensor, Tensor]:
        return self.node_embedding(context.x), self.edge_embedding(context.edge_attr)

    def readout(self, states: list[tuple[Tensor, Tensor]], context: Context) -> Tensor:
        return self.classifier(states[-1][0])

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
        edge_attr: Tensor | None = None,
    ) -> Tensor:
        """As `Chain.forward`; `edge_attr` has a row for each of the edges."""
        return self.fold(self.context(x, edge_index, edge_weight, graph, edge_attr))

    def reset_parameters(self) -> None:
        for module in (self.node_embedding, self.edge_embedding, *self.layers, self.classifier):
            module.reset_parameters()
