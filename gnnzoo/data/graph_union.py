"""Many graphs as one: their disjoint union, and mini-batches gathered from it.

A union is a PyG ``Data`` with ``ptr`` (``[num_graphs + 1]``, the first node of each graph),
``edge_ptr`` (``[num_graphs + 1]``, its first edge; edges are sorted by graph), ``batch``
(``[num_nodes]``, the graph of each node), rows per node and edge, and targets ``y`` with a row for
each graph. Such a union is also what a batch is.
"""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnnzoo.ops import Graph, SparseFeatures, take_rows
from gnnzoo.ops.csr import row_entries
from gnnzoo.ops.graph_blocks import BlockChoice, take_blocks
from gnnzoo.ops.segment import segment_ids

OF_GRAPHS = ("y", "ptr", "edge_ptr", "batch", "edge_index", "num_nodes")


def graph_union(
    edge_index: Tensor,
    num_nodes: Tensor,
    num_edges: Tensor,
    y: Tensor,
    x: Tensor | None = None,
    edge_attr: Tensor | None = None,
) -> Data:
    """Join graphs whose rows stand one graph after the other.

    Shapes:
        edge_index: ``[2, E]``, int64, ids of nodes counted from 0 within each graph.
        num_nodes: ``[num_graphs]``, int64.
        num_edges: ``[num_graphs]``, int64.
        y: ``[num_graphs, ...]``.
        x: ``[N, channels]``, optional.
        edge_attr: ``[E, channels]``, optional.

    Raises:
        ValueError: If lengths do not fit, or an edge names a node that its graph does not have.
    """
    ptr, edge_ptr = _starts(num_nodes), _starts(num_edges)
    size, edges = int(ptr[-1]), int(edge_ptr[-1])
    rows = {"y": (y, num_nodes.numel()), "x": (x, size), "edge_attr": (edge_attr, edges)}
    for name, (value, expected) in rows.items():
        if value is not None and len(value) != expected:
            raise ValueError(f"{name} must have {expected} rows, got {len(value)}")
    if edge_index.size(1) != edges or num_edges.numel() != num_nodes.numel():
        raise ValueError(f"{edges} edges are counted, but edge_index holds {edge_index.size(1)}")
    graph = segment_ids(edge_ptr, edges)
    outside = ((edge_index < 0) | (edge_index >= num_nodes[graph])).any(dim=0).nonzero()
    if len(outside):
        edge = int(outside[0])
        raise ValueError(
            f"edge {edge_index[:, edge].tolist()} of graph {int(graph[edge])} names a node that "
            f"it does not have; its ids must be below {int(num_nodes[graph[edge]])}"
        )
    data = Data(edge_index=edge_index + ptr[graph], y=y, num_nodes=size)
    data.ptr, data.edge_ptr, data.batch = ptr, edge_ptr, segment_ids(ptr, size)
    if x is not None:
        data.x = x
    if edge_attr is not None:
        data.edge_attr = edge_attr
    return data


def from_slices(data: Data, slices: dict[str, Tensor], num_nodes: Tensor | None = None) -> Data:
    """The union of what PyG's ``InMemoryDataset`` keeps: rows joined, and where graphs begin.

    Args:
        data: ``edge_index`` with ids within each graph, ``y``, and ``x`` and ``edge_attr`` if any.
        slices: For each field where graphs begin, and the end.
        num_nodes: ``[num_graphs]``; read off the slices of ``x`` if None.
    """
    num_nodes = slices["x"].diff() if num_nodes is None else num_nodes
    num_edges = slices["edge_index"].diff()
    return graph_union(
        data.edge_index, num_nodes, num_edges, data.y, data.get("x"), data.get("edge_attr")
    )


class UnionBatches:
    """Gathers graphs of a union: no loop over them, and nothing is sorted.

    Args:
        data: A union, after transforms. Fields with a row per node, edge or graph and structures
            (`ops.Graph`) go along; ``y`` does not: nobody but the head hands out targets.

    Raises:
        ValueError: If a field is none of these, so that it cannot be cut.
    """

    def __init__(self, data: Data) -> None:
        self.edge_index, self.ptr, self.edge_ptr = data.edge_index, data.ptr, data.edge_ptr
        self.nodes: dict[str, Any] = {}
        self.edges: dict[str, Tensor] = {}
        self.structures: dict[str, Graph] = {}
        self.constants: dict[str, Any] = {}
        for key, value in data:
            if key not in OF_GRAPHS:
                self._fields_of(key, value, data)[key] = value

    def _fields_of(self, key: str, value: Any, data: Data) -> dict[str, Any]:
        """Where a field belongs; names tell where a union has as many nodes as edges."""
        if isinstance(value, Graph):
            return self.structures
        if isinstance(value, SparseFeatures):
            return self.nodes
        if not isinstance(value, Tensor):
            return self.constants
        num_nodes, num_edges = data.num_nodes, self.edge_index.size(1)
        of_edges = "edge" in key or key == "maps"
        if value.dim() and len(value) == num_edges and (of_edges or num_edges != num_nodes):
            return self.edges
        if value.dim() and len(value) == num_nodes:
            return self.nodes
        raise ValueError(
            f"field {key!r} of shape {list(value.shape)} has a row neither per node ({num_nodes}) "
            f"nor per edge ({num_edges}), so it cannot be cut into batches of graphs"
        )

    def take(self, graphs: Tensor) -> Data:
        """The union of some graphs, in the order given.

        Shapes:
            graphs: ``[num_chosen]``, int64.
        """
        choice = BlockChoice(self.ptr, graphs)
        edges, owner = row_entries(self.edge_ptr, graphs)
        edge_index = self.edge_index.index_select(1, edges) + choice.shift.index_select(0, owner)
        part = Data(edge_index=edge_index, num_nodes=choice.rows.numel())
        part.batch, part.ptr = choice.owner, choice.ptr
        for key, value in self.nodes.items():
            part[key] = take_rows(value, choice.rows)
        for key, value in self.edges.items():
            part[key] = value.index_select(0, edges)
        for key, graph in self.structures.items():
            part[key] = take_blocks(graph, choice, edges, owner)
        for key, value in self.constants.items():
            part[key] = value
        return part

    def consecutive(self, graphs: Tensor, most_rows: int) -> list[Tensor]:
        """Runs of `graphs`, in order, each of at most so many nodes and edges, or of one graph."""
        size = (self.ptr.diff() + self.edge_ptr.diff())[graphs].cumsum(0)
        runs, start, before = [], 0, 0
        while start < graphs.numel():
            stop = int(torch.searchsorted(size, before + most_rows, right=True))
            stop = max(stop, start + 1)
            runs.append(graphs[start:stop])
            start, before = stop, int(size[stop - 1])
        return runs


def _starts(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
