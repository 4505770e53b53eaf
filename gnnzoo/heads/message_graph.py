"""The graph that messages pass over, and the same with links taken away."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from gnnzoo.data import CSRGraph
from gnnzoo.ops import Graph, SparseFeatures, drop_links


class MessageGraph:
    """What an encoder reads of a graph, with every field that depends on the edges up to date.

    Repeated edges are merged, their weights added up: a link is there once or not at all.

    Args:
        data: The whole graph, after `transforms`.
        transforms: Those of the model; what they made of edges is made anew when edges go.
        graph: The merged edges of `data`, if they are there already.
    """

    def __init__(
        self, data: Data, transforms: Iterable[BaseTransform] = (), graph: Graph | None = None
    ) -> None:
        self.transforms = list(transforms)
        if graph is None:
            graph, data = _merged(data)
            data = self._anew(data, graph)
        self.data, self.graph = data, graph

    def without(self, links: Tensor) -> "MessageGraph":
        """The graph without some of its links, both directions of each.

        Shapes:
            links: ``[2, num_links]``, int64, edges of the graph.
        """
        graph = drop_links(self.graph, links)
        data = self._nodes_of(graph)
        for key, value in self._edge_fields():
            data[key] = value[graph.csr.entries]
        return MessageGraph(self._anew(data, graph), self.transforms, graph)

    def with_edges(self, edge_index: Tensor, edge_weight: Tensor | None = None) -> "MessageGraph":
        """The same nodes with other edges.

        Shapes:
            edge_index: ``[2, num_edges]``, int64.
            edge_weight: ``[num_edges]``, where this graph has weights.

        Raises:
            ValueError: If this graph has weights or other fields of edges and these have none.
        """
        given = {} if edge_weight is None else {"edge_weight": edge_weight}
        if missing := [key for key, _ in self._edge_fields() if key not in given]:
            raise ValueError(f"other edges have no {missing[0]}; the protocol must leave the graph")
        graph = Graph.from_edge_index(edge_index.to(self.graph.device), self.graph.num_nodes)
        data = self._nodes_of(graph)
        if edge_weight is not None:
            data.edge_weight = graph.entry_weights(edge_weight.to(graph.device))
        return MessageGraph(self._anew(data, graph), self.transforms, graph)

    def _nodes_of(self, graph: Graph) -> Data:
        part = Data(edge_index=graph.edge_index, num_nodes=graph.num_nodes)
        for key, value in self.data:
            if isinstance(value, SparseFeatures) or self.data.is_node_attr(key):
                part[key] = value
        return part

    def _edge_fields(self) -> list[tuple[str, Tensor]]:
        keys = ("edge_weight", "edge_attr")
        return [(key, self.data[key]) for key in keys if self.data.get(key) is not None]

    def _anew(self, data: Data, graph: Graph) -> Data:
        width = data.x.size(-1) if data.x is not None else None
        for transform in self.transforms:
            if isinstance(transform, CSRGraph):
                data.graph = graph  # the same, without sorting edges that are sorted
            elif getattr(transform, "reads_edges", True):
                data = transform(data)
                if width is not None and data.x.size(-1) != width:
                    raise ValueError(
                        f"{type(transform).__name__} adds columns to x and would add them again "
                        "whenever links are taken away; let it make a field of its own"
                    )
        return data


def _merged(data: Data) -> tuple[Graph, Any]:
    graph = Graph.from_edge_index(data.edge_index, data.num_nodes)
    data = data.clone()
    data.num_nodes = data.num_nodes
    data.edge_index = graph.edge_index
    if data.get("edge_weight") is not None:
        data.edge_weight = graph.entry_weights(data.edge_weight)
    if data.get("edge_attr") is not None:
        first = torch.full((graph.num_edges,), graph.num_input_edges, device=graph.device)
        rows = torch.arange(graph.num_input_edges, device=graph.device)
        first.scatter_reduce_(0, graph.slot, rows, "amin")
        data.edge_attr = data.edge_attr[first]
    return graph, data
