"""What encoders that diffuse along a sheaf share: embedding, sheaf graph, classifier."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex

from gnnzoo.models.chain import Chain, Context
from gnnzoo.models.mlp import MLPLayer
from gnnzoo.nn import FeatureDropout, FeatureLinear
from gnnzoo.ops import Graph, SheafGraph, SparseFeatures, as_sheaf_graph, local_pca_maps
from gnnzoo.ops.spmm import compute_dtype

CONNECTION = "connection"  # maps that are computed from the features once, not learned


@dataclass(frozen=True)
class SheafContext(Context):
    """A `Context` of a `SheafGraph`, with restriction maps where they are not learned.

    Args:
        maps: ``[num_half_edges, stalk_dim, stalk_dim]``, in the order of the graph's half-edges.
    """

    maps: Tensor | None = None


class SheafEncoder(Chain):
    """Base class of the encoders whose layers diffuse along a sheaf.

    Args:
        in_channels: Features per node.
        width: Width of the state, all stalk dimensions together.
        out_channels: Width of the result.
        layers: What diffuses; each has a `SheafConv` as ``conv``.
        connection: Stalk dimension of given maps; None where maps are learned.
        second_linear: Whether a second linear map follows the embedding.
        dropout: Share of the embedding dropped in training.
        input_dropout: Share of the input dropped.
        act: Name of the embedding's activation, as PyG resolves it; None for none.
        undirected: ``check`` refuses an edge without its reverse, ``symmetrize`` adds it.
    """

    reads_sparse_features = True
    made_by = Chain.made_by | {"maps": "gnnzoo.data.LocalPCAMaps"}

    def __init__(
        self,
        in_channels: int,
        width: int,
        out_channels: int,
        layers: Iterable[nn.Module],
        connection: int | None,
        second_linear: bool,
        dropout: float,
        input_dropout: float,
        act: str | None,
        undirected: str,
    ) -> None:
        super().__init__()
        self.layers.extend(layers)
        self.connection, self.undirected = connection, undirected
        self.embedding = MLPLayer(in_channels, width, input_dropout, act=act)
        self.dropout = FeatureDropout(dropout)
        self.second = FeatureLinear(width, width) if second_linear else None
        self.classifier = FeatureLinear(width, out_channels)

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph | SheafGraph,
        edge_weight: Tensor | None = None,
        graph: Graph | SheafGraph | None = None,
        maps: Tensor | None = None,
    ) -> Tensor:
        """Encode all nodes.

        Shapes:
            x: ``[num_nodes, in_channels]``.
            edge_index: ``[2, num_edges]``, both directions; not read when `graph` is given.
            edge_weight: ``[num_edges]``, optional, symmetric.
            graph: What the transform `CSRGraph` made of the same edges, optional.
            maps: ``[num_edges, stalk_dim, stalk_dim]``, what the transform `LocalPCAMaps` made of
                the same edges, for ``maps="connection"`` only; computed on the fly if None.
            returns: ``[num_nodes, out_channels]``.

        Raises:
            ValueError: If edges or weights do not fit, or maps are given but not of these edges,
                of another stalk dimension, or to an encoder that learns its own.
        """
        return self.fold(self.context(x, edge_index, edge_weight, graph, maps))

    def context(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph | SheafGraph,
        edge_weight: Tensor | None = None,
        graph: Graph | SheafGraph | None = None,
        maps: Tensor | None = None,
    ) -> SheafContext:
        graph = edge_index if graph is None else graph
        graph = as_sheaf_graph(graph, x.size(0), self.undirected)
        if self.connection is None and maps is not None:
            raise ValueError(
                f"maps are given, but this {type(self).__name__} makes its own; use "
                "maps='connection', or leave the transform gnnzoo.data.LocalPCAMaps out"
            )
        if self.connection is not None and maps is None:
            dense = x.to_dense() if isinstance(x, SparseFeatures) else x
            maps = local_pca_maps(dense, graph.edge_index, self.connection)
        elif maps is not None:
            maps = arranged(maps, graph, self.connection, self.undirected)
        return SheafContext(x, graph, edge_weight, maps=maps)

    def start(self, context: SheafContext) -> Tensor:
        h = self.dropout(self.embedding(context.x))
        return h if self.second is None else self.second(h)

    def readout(self, states: list[Tensor], context: SheafContext) -> Tensor:
        return self.classifier(states[-1])

    def reset_parameters(self) -> None:
        for module in (self.embedding, self.second, *self.layers, self.classifier):
            if module is not None:
                module.reset_parameters()

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """``maps``, the learners of restriction maps, and ``rest``, with decays of their own."""
        learners = [layer.conv.learner for layer in self.layers]
        maps = [p for learner in learners if learner is not None for p in learner.parameters()]
        named = {id(p) for p in maps}
        return {"maps": maps, "rest": [p for p in self.parameters() if id(p) not in named]}


def given_maps(h: Tensor, context: SheafContext) -> Tensor | None:
    """The context's maps in the type that layers compute in for the state `h`."""
    return None if context.maps is None else context.maps.to(compute_dtype(h))


def arranged(maps: Tensor, graph: SheafGraph, stalk_dim: int, undirected: str) -> Tensor:
    """Maps of the input edges in the order of the half-edges.

    With ``undirected="symmetrize"`` the end that an added edge leads to has the identity, as
    `gnnzoo.ops.local_pca_maps` counts on.

    Raises:
        ValueError: If their shape is wrong, copies of an edge have different ones, or some
            half-edge has none and none is added.
    """
    shape = (graph.num_input_edges, stalk_dim, stalk_dim)
    if maps.shape != shape:
        raise ValueError(
            f"maps must have shape {list(shape)}, one for each edge, got {list(maps.shape)}; "
            f"gnnzoo.data.LocalPCAMaps(dim={stalk_dim}) makes such maps"
        )
    return graph.arrange(maps, torch.eye(stalk_dim) if undirected == "symmetrize" else None)
