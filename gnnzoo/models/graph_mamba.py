"""Graph-Mamba: gated convolutions, and a scan over the nodes from low to high degree."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex

from gnnzoo.models.chain import Chain, Context
from gnnzoo.models.local_conv import local_conv
from gnnzoo.models.mlp import MLPLayer
from gnnzoo.nn import GraphMambaBlock, undecayed_parameters
from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.nn.gated_gcn_conv import to_entries
from gnnzoo.ops import Graph, LineUp, SparseFeatures

REDRAWS = ("layer", "forward")


@dataclass(frozen=True)
class SequenceContext(Context):
    """Context with features of edges, and the order of the nodes in each layer.

    Args:
        edge_attr: ``[graph.num_edges, channels]``, in the order of the graph's entries; or one row,
            which all edges share; None without edges that have features.
        lines: The order of the nodes for each layer.
    """

    edge_attr: Tensor | None = None
    lines: tuple[LineUp, ...] = ()


class MambaLayer(nn.Module):
    """`GraphMambaBlock` as a link of the chain; the state is ``(h, features of edges or None)``."""

    def __init__(self, block: GraphMambaBlock, number: int) -> None:
        super().__init__()
        self.block, self.number = block, number

    def reset_parameters(self) -> None:
        self.block.reset_parameters()

    def forward(
        self, state: tuple[Tensor, Tensor | None], context: SequenceContext
    ) -> tuple[Tensor, Tensor | None]:
        line = context.lines[self.number]
        return self.block.along(state[0], context.graph, line, context.edge_weight, state[1])


class GraphMamba(Chain):
    """Graph-Mamba: embeddings, blocks of a gated convolution beside a scan, a linear classifier.

    Paper: "Graph-Mamba: Towards Long-Range Graph Sequence Modeling with Selective State Spaces"
    (Wang, Tsepa, Ma and Wang, 2024), https://arxiv.org/abs/2402.00789. Known for Peptides (3 or 4
    layers of width 96), PascalVOC-SP (4, 3 bins) and PATTERN (6 of width 64), with AdamW. Differs
    from it: ``ssd`` in place of ``s6`` unless asked for; importance is the number of incoming
    edges, that of the outgoing ones in its code; orders at evaluation are the same in every run.

    Args:
        in_channels: Features per node.
        hidden_channels: Width of nodes and edges between layers.
        out_channels: Width of the result.
        num_edge_features: Features per edge that ``gatedgcn`` reads; 0: every edge has the feature
            1, whatever the data hold.
        num_layers: Number of blocks.
        conv: ``gatedgcn``, ``gcn``, ``sage``, ``gin`` or None: the local part of a block.
        bidirectional: Whether scans go both ways.
        order, tie, eval_draws, num_bins: See `gnnzoo.ops.NodeOrder`.
        redraw: Whether ties and bins are drawn for each ``layer`` or once for all (``forward``).
        dropout: Share of hidden values dropped in training.
        input_dropout: Share of the input dropped.
        norm: None, ``batch_norm`` or ``layer_norm``.
        act: Name of the activation, as PyG resolves it.
        ssm, d_state, d_conv, expand, head_dim: See `gnnzoo.nn.SelectiveSSM`.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        edge_attr: ``[num_edges, num_edge_features]`` or ``[num_edges]``, floating point.
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
        num_layers: int = 4,
        conv: str | None = "gatedgcn",
        bidirectional: bool = False,
        order: str = "degree",
        tie: str = "noise",
        eval_draws: int = 5,
        num_bins: int = 1,
        redraw: str = "layer",
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        norm: str | None = "batch_norm",
        act: str = "relu",
        ssm: str = "ssd",
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 1,
        head_dim: int = 16,
    ) -> None:
        super().__init__()
        counts = {"in_channels": in_channels, "hidden_channels": hidden_channels}
        counts |= {"out_channels": out_channels, "num_layers": num_layers}
        for name, value in counts.items():
            check_count(name, value, 1)
        check_count("num_edge_features", num_edge_features, 0)
        check_probability("dropout", dropout)
        check_probability("input_dropout", input_dropout)
        check_choice("redraw", redraw, REDRAWS)
        self.redraw = redraw
        self.scan_settings = {
            "ssm": ssm, "d_state": d_state, "d_conv": d_conv, "expand": expand,
            "head_dim": head_dim,
        }  # fmt: skip
        self.edge_features = "data" if conv == "gatedgcn" and num_edge_features else "ones"
        self.node_embedding = self.make_embedding(in_channels, hidden_channels, input_dropout)
        self.edge_embedding = None
        if conv == "gatedgcn":
            self.edge_embedding = nn.Linear(num_edge_features or 1, hidden_channels)
        for number in range(num_layers):
            block = GraphMambaBlock(
                hidden_channels,
                local_conv(conv, hidden_channels),
                bidirectional,
                order,
                tie,
                eval_draws,
                num_bins,
                dropout,
                norm,
                act,
                self.scan_settings,
                updates_edges=number < num_layers - 1,
            )
            self.layers.append(MambaLayer(block, number))
        self.classifier = MLPLayer(hidden_channels, out_channels, dropout)

    def make_embedding(
        self, in_channels: int, hidden_channels: int, input_dropout: float
    ) -> nn.Module:
        """What makes the first state of the features."""
        return MLPLayer(in_channels, hidden_channels, input_dropout)

    def context(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> SequenceContext:
        base = super().context(x, edge_index, edge_weight, graph)
        graph = base.graph
        lines = self._lines(graph, batch, x)
        edges = self._edges(edge_attr, graph)
        return SequenceContext(x, graph, edge_weight, batch, edges, lines)

    def _lines(
        self, graph: Graph, batch: Tensor | None, x: Tensor | SparseFeatures
    ) -> tuple[LineUp, ...]:
        order = self.layers[0].block.node_order
        if self.redraw == "forward" or not order.is_random:
            return (order.draw(graph, batch, x, self.training),) * len(self.layers)
        return tuple(
            order.draw(graph, batch, x, self.training, number) for number in range(len(self.layers))
        )

    def _edges(self, edge_attr: Tensor | None, graph: Graph) -> Tensor | None:
        if self.edge_embedding is None:
            return None
        if self.edge_features == "ones":
            # One row for all edges, so that embedding and first layer map it once.
            return torch.ones(1, 1, dtype=self.edge_embedding.weight.dtype, device=graph.device)
        if edge_attr is None:
            raise ValueError(
                f"{type(self).__name__} needs the field 'edge_attr', which the data does not have; "
                "num_edge_features=0 gives every edge the feature 1"
            )
        return to_entries(edge_attr, graph)

    def start(self, context: SequenceContext) -> tuple[Tensor, Tensor | None]:
        edges = context.edge_attr
        return self.embed(context), None if edges is None else self.edge_embedding(edges)

    def embed(self, context: SequenceContext) -> Tensor:
        """The first state of the nodes."""
        return self.node_embedding(context.x)

    def readout(
        self, states: list[tuple[Tensor, Tensor | None]], context: SequenceContext
    ) -> Tensor:
        return self.classifier(states[-1][0])

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

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """``undecayed`` (biases, norms; rates, steps and skips of scans) and ``weights``.

        Weight decay harms the former: ``+trainer.groups.undecayed.weight_decay=0``.
        """
        spared = {id(p) for p in undecayed_parameters(self)}
        groups: dict[str, list[Any]] = {"weights": [], "undecayed": []}
        for p in self.parameters():
            groups["undecayed" if p.dim() < 2 or id(p) in spared else "weights"].append(p)
        return groups
