"""Pairs by their first node, as many of them at a time as fit into memory."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gnnzoo.ops import CSR

MAX_VALUES = 1 << 22  # numbers kept for the sources of one block
MAX_ITEMS = 1 << 24  # edges walked at a time, but for a single source


def few_sources(csr: CSR, pairs: Tensor) -> Tensor:
    """The pairs, turned round where edges go both ways and the second nodes are fewer."""
    if pairs.numel() == 0 or not csr.is_symmetric:
        return pairs
    first, second = (torch.bincount(nodes, minlength=csr.num_rows) for nodes in pairs)
    return pairs.flip(0) if second.count_nonzero() < first.count_nonzero() else pairs


def source_blocks(
    csr: CSR, sources: Tensor, items: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The different sources, a block at a time.

    Args:
        csr: Of the graph.
        sources: ``[num_pairs]``, the first node of each pair.
        items: ``[num_nodes]``, how many edges are walked from each at a time.

    Yields:
        Nodes ``[num_sources]``; the pairs that start at them ``[num_rows]``; and the place of each
        one's source among the nodes, ``[num_rows]``.
    """
    nodes, place = sources.unique(return_inverse=True)
    order = place.argsort()
    ends = torch.bincount(place, minlength=nodes.numel()).cumsum(0).tolist()
    most = max(MAX_VALUES // max(csr.num_rows, 1), 1)
    walked = [0] * len(ends) if items is None else items[nodes].tolist()
    first = 0
    while first < len(ends):
        last, total = first + 1, walked[first]
        while last < min(len(ends), first + most) and total + walked[last] <= MAX_ITEMS:
            total += walked[last]
            last += 1
        rows = order[ends[first - 1] if first else 0 : ends[last - 1]]
        yield nodes[first:last], rows, place[rows] - first
        first = last
