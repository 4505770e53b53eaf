"""What all encoders share: a start, a chain of layers, a readout."""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch_geometric import EdgeIndex

from gnnzoo.ops import Graph, SparseFeatures, as_graph


@dataclass(frozen=True)
class Context:
    """What every layer of one forward pass may read.

    Args:
        x: The features as they came in.
        graph: The graph's structure; None for encoders that need none.
        edge_weight: ``[num_input_edges]``, or None.
        batch: ``[num_nodes]``, the graph of each node; None: all nodes are one graph.
    """

    x: Tensor | SparseFeatures
    graph: Graph | None = None
    edge_weight: Tensor | None = None
    batch: Tensor | None = None


class Chain(nn.Module):
    """Base class of the encoders.

    ``h_0 = start(context)``, ``h_l = layers[l](h_{l-1}, context)``,
    ``h = readout([h_1, .., h_L], context)``. A subclass fills `layers` and overrides the other
    parts where its method differs.

    A layer may say with ``reach`` how far one call looks: 0, each row by itself, or 1, its
    in-neighbours. `gnnzoo.models.layerwise` then runs it on a part of the rows at a time.
    """

    reads_sparse_features: ClassVar[bool] = False
    #: Constructor arguments beside the widths that only the data know, named as PyG's ``Data``
    #: names them, such as ``num_nodes``; whoever builds the encoder passes them.
    needs: ClassVar[tuple[str, ...]] = ()
    #: Which transform makes a field that `forward` names; read by `gnnzoo.models.inputs`.
    made_by: ClassVar[dict[str, str]] = {"graph": "gnnzoo.data.CSRGraph"}
    #: Whether some weights belong to nodes of one graph, so that no part of it can be encoded.
    fits_one_graph: ClassVar[bool] = False
    #: Whether layers read ``context.x``.
    layers_read_x: ClassVar[bool] = False
    #: Settings with which every layer is as wide as the hidden ones, beside ``out_channels``.
    all_hidden: ClassVar[dict[str, Any]] = {}
    #: Whether `readout` reads more than the last state.
    reads_every_state: bool = False

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList()

    def context(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
    ) -> Context:
        graph = as_graph(edge_index if graph is None else graph, x.size(0))
        return Context(x, graph, edge_weight)

    def start(self, context: Context) -> Any:
        return context.x

    def readout(self, states: list[Tensor], context: Context) -> Tensor:
        return states[-1]

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
        graph: Graph | None = None,
    ) -> Tensor:
        """Encode all nodes.

        Shapes:
            x: ``[num_nodes, in_channels]``.
            edge_index: ``[2, num_edges]``; not read when `graph` is given.
            edge_weight: ``[num_edges]``, optional.
            graph: What the transform `CSRGraph` made of the same edges, optional.
            returns: ``[num_nodes, out_channels]``.
        """
        return self.fold(self.context(x, edge_index, edge_weight, graph))

    def fold(self, context: Context) -> Tensor:
        """Start, layers, readout; what every `forward` ends with."""
        h, states = self.start(context), []
        for layer in self.layers:
            h = layer(h, context)
            states.append(h)
        return self.readout(states, context)

    def reset_parameters(self) -> None:
        for layer in self.layers:
            layer.reset_parameters()
