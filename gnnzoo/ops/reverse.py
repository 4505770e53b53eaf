"""A graph with every edge turned around, or with both directions of each."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch

from gnnzoo.ops.csr import builder
from gnnzoo.ops.graph import Graph

_kept: "WeakKeyDictionary[Graph, Graph]" = WeakKeyDictionary()


@dataclass(frozen=True)
class BothWays:
    """A graph and its reverse, for layers that read both.

    Args:
        graph: The edges as they are.
        reverse: The same edges turned around, in the same order.
    """

    graph: Graph
    reverse: Graph


@builder
def reverse_graph(graph: Graph) -> Graph:
    """The graph whose edge i is the reverse of edge i; made once and let go with the graph."""
    if graph not in _kept:
        other, perm = graph.csr.transposed()
        place = torch.empty_like(perm)
        place[perm] = torch.arange(perm.numel(), device=perm.device)
        _kept[graph] = Graph(other, place[graph.slot])
    return _kept[graph]


def symmetrised(graph: Graph) -> Graph:
    """Both directions of every edge, each once: A or its transpose."""
    edges = graph.edge_index
    both = Graph.from_edge_index(torch.cat([edges, edges.flip(0)], dim=1), graph.num_nodes)
    return Graph.from_edge_index(both.edge_index, graph.num_nodes)
