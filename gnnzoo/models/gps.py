"""GPS: convolutions beside attention over all nodes, with PyG's block."""

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex
from torch_geometric.nn import GPSConv

from gnnzoo.models.chain import Chain
from gnnzoo.models.gatedgcn import EdgeContext
from gnnzoo.models.local_conv import local_conv
from gnnzoo.models.mlp import MLPLayer
from gnnzoo.nn import GatedGCNConv
from gnnzoo.nn.activation import make_activation
from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.nn.gated_gcn_conv import entry_gate_weights, to_entries
from gnnzoo.ops import Graph, SparseFeatures

# PyG's layer norm is over a whole graph unless told otherwise.
NORMS = {None: {}, "batch_norm": {}, "layer_norm": {"mode": "node"}}
ATTENTIONS = ("multihead", "performer")


class NodesOnly(nn.Module):
    """`GatedGCNConv` without the new features of edges, which PyG's block does not hand on."""

    def __init__(self, conv: GatedGCNConv) -> None:
        super().__init__()
        self.conv = conv

    def reset_parameters(self) -> None:
        self.conv.reset_parameters()

    def forward(
        self, x: Tensor, graph: Graph, edge_weight: Tensor | None, edge_attr: Tensor
    ) -> Tensor:
        weight = entry_gate_weights(graph, edge_weight)
        return self.conv.on_entries(x, graph, edge_attr, weight)[0]


class GPSLayer(nn.Module):
    """PyG's ``GPSConv`` as a link of the chain."""

    def __init__(self, block: GPSConv) -> None:
        super().__init__()
        self.block = block

    def reset_parameters(self) -> None:
        self.block.reset_parameters()
        if self.block.attn_type == "multihead":
            self.block.attn.out_proj.reset_parameters()  # the block leaves its weight as it is
            nn.init.zeros_(self.block.attn.out_proj.bias)

    def forward(self, h: Tensor, context: EdgeContext) -> Tensor:
        fields = {} if self.block.conv is None else {"edge_weight": context.edge_weight}
        if isinstance(self.block.conv, NodesOnly):
            fields["edge_attr"] = context.edge_attr
        return self.block(h, context.graph, context.batch, **fields)


class GPS(Chain):
    """General, powerful, scalable graph transformer: embedding, PyG's blocks, linear classifier.

    Paper: "Recipe for a General, Powerful, Scalable Graph Transformer" (Rampášek et al., NeurIPS
    2022), https://arxiv.org/abs/2205.12454. Known for molecules (ZINC, Peptides), with encodings of
    positions. Attention takes time and memory quadratic in the nodes of a graph. Differs from the
    paper: features of edges are embedded once and not updated.

    Args:
        in_channels: Features per node.
        hidden_channels: Width between layers, a multiple of `heads`.
        out_channels: Width of the result.
        num_edge_features: Features per edge that ``gatedgcn`` reads; 0: every edge has the feature
            1, whatever the data hold.
        num_layers: Number of blocks.
        conv: ``gatedgcn``, ``gcn``, ``sage``, ``gin`` or None: the local part of a block.
        heads: Heads of the attention.
        attention: ``multihead`` or ``performer``, which is linear in the nodes.
        dropout: Share of hidden values dropped in training.
        attention_dropout: Share of attention weights dropped; not of ``performer``.
        input_dropout: Share of the input dropped.
        norm: None, ``batch_norm`` or ``layer_norm``.
        act: Name of the activation, as PyG resolves it.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        edge_attr: ``[num_edges, num_edge_features]`` or ``[num_edges]``, floating point.
        batch: ``[num_nodes]``, int64, the graph of each node, not decreasing.
        returns: ``[num_nodes, out_channels]``.

    Raises:
        ValueError: If a setting is out of range, or features of edges are asked for and missing.
    """

    reads_sparse_features = True
    needs = ("num_edge_features",)

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_edge_features: int = 0,
        num_layers: int = 3,
        conv: str | None = "gatedgcn",
        heads: int = 4,
        attention: str = "multihead",
        dropout: float = 0.2,
        attention_dropout: float = 0.0,
        input_dropout: float = 0.0,
        norm: str | None = "batch_norm",
        act: str = "relu",
    ) -> None:
        super().__init__()
        counts = {"in_channels": in_channels, "hidden_channels": hidden_channels}
        counts |= {"out_channels": out_channels, "num_layers": num_layers, "heads": heads}
        for name, value in counts.items():
            check_count(name, value, 1)
        check_count("num_edge_features", num_edge_features, 0)
        shares = {"dropout": dropout, "attention_dropout": attention_dropout}
        for name, value in (shares | {"input_dropout": input_dropout}).items():
            check_probability(name, value)
        check_choice("norm", norm, tuple(NORMS))
        check_choice("attention", attention, ATTENTIONS)
        make_activation(act)
        if hidden_channels % heads:
            raise ValueError(f"heads={heads} must divide hidden_channels={hidden_channels}")
        self.edge_features = "data" if conv == "gatedgcn" and num_edge_features else "ones"
        self.node_embedding = MLPLayer(in_channels, hidden_channels, input_dropout)
        self.edge_embedding = None
        if conv == "gatedgcn":
            self.edge_embedding = nn.Linear(num_edge_features or 1, hidden_channels)
        extra = {"dropout": attention_dropout} if attention == "multihead" else {}
        for _ in range(num_layers):
            local = local_conv(conv, hidden_channels)
            block = GPSConv(
                hidden_channels,
                NodesOnly(local) if conv == "gatedgcn" else local,
                heads,
                dropout,
                act,
                norm=norm,
                norm_kwargs=NORMS[norm],
                attn_type=attention,
                attn_kwargs=extra,
            )
            if local is None:
                block.norm1 = None  # PyG makes it all the same
            self.layers.append(GPSLayer(block))
        self.classifier = MLPLayer(hidden_channels, out_channels, dropout)

    def context(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> EdgeContext:
        graph = super().context(x, edge_index, edge_weight, graph).graph
        if batch is not None:  # graphs without nodes would be rows of nothing to attend to
            batch = torch.unique_consecutive(batch, return_inverse=True)[1]
        edges = None
        if self.edge_features == "data":
            if edge_attr is None:
                raise ValueError(
                    "GPS needs the field 'edge_attr', which the data does not have; "
                    "num_edge_features=0 gives every edge the feature 1"
                )
            edges = self.edge_embedding(to_entries(edge_attr, graph))
        elif self.edge_embedding is not None:
            # One row for all edges, which the convolutions map once.
            edges = self.edge_embedding(self.edge_embedding.weight.new_ones(1, 1))
        return EdgeContext(x, graph, edge_weight, batch, edges)

    def start(self, context: EdgeContext) -> Tensor:
        return self.node_embedding(context.x)

    def readout(self, states: list[Tensor], context: EdgeContext) -> Tensor:
        return self.classifier(states[-1])

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
        parts = (self.node_embedding, self.edge_embedding, *self.layers, self.classifier)
        for module in parts:
            if module is not None:
                module.reset_parameters()
