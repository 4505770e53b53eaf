"""Neighbours of one node that two steps from the other reach."""

import torch
from torch import Tensor

from gnnzoo.nn.pair_lists import select, unique_pairs
from gnnzoo.ops import Bags, Graph, neighbor_overlap
from gnnzoo.ops.csr import row_entries
from gnnzoo.ops.overlap import without_loops

CHUNK_PAIRS = 1 << 18  # neighbours tested at a time


def near_and_far(graph: Graph, pairs: Tensor) -> tuple[Bags, Bags]:
    r"""List :math:`N(i) \cap N^2(j)` and :math:`N^2(i) \cap N(j)` of every pair.

    A neighbour of i is two steps from j exactly if it has a common neighbour with j, which is what
    is looked up; no power of the adjacency matrix is made. N²(j) holds j itself unless j is
    isolated.

    Shapes:
        pairs: ``[2, num_pairs]``, int64.
    """
    first, second = pairs
    return _near_far(graph, first, second), _near_far(graph, second, first)


def _near_far(graph: Graph, near: Tensor, far: Tensor) -> Bags:
    csr = without_loops(graph.csr)
    entries, owner = row_entries(csr.rowptr, near)
    node = csr.col[entries].long()
    queries, place = unique_pairs(torch.stack([node, far[owner]]), graph.num_nodes)
    parts = queries.split(CHUNK_PAIRS, dim=1)
    hit = torch.cat([neighbor_overlap(graph, part).common.counts() > 0 for part in parts])
    return select(near.numel(), owner, node, hit[place])
