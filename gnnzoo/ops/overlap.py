"""Which neighbours the two nodes of a pair share, and which only one of them has."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from gnnzoo.ops import backends
from gnnzoo.ops.bags import Bags
from gnnzoo.ops.csr import CSR, builder
from gnnzoo.ops.graph import Graph
from gnnzoo.ops.pairs import check_pairs
from gnnzoo.ops.subgraph import PartialCSR

# Measured on a CPU: a search takes as long as a hundred steps of a merge, or as combining 64 cells
# of two rows of a mask. A merge walks along both lists, however much longer one of them is.
STEPS_PER_PROBE, CELLS_PER_PROBE = 100, 64
MAX_MASK_NODES = 8192
backends.PREFERENCE.update(
    overlap=("triton", "scipy", "torch", "dense"),
    overlap_dense=("triton", "scipy", "dense", "torch"),
    overlap_skewed=("triton", "torch", "scipy", "dense"),
)

# Of patterns already looked at: the one without loops, or None where there are none to take out.
_LOOPLESS: WeakKeyDictionary[CSR, CSR | None] = WeakKeyDictionary()


@dataclass(frozen=True)
class Overlap:
    """Neighbours of pairs; one bag for each pair, nodes ascending.

    Args:
        common: Neighbours of both nodes.
        first_only: Neighbours of the first node that the second lacks, if asked for.
        second_only: Neighbours of the second node that the first lacks, if asked for.
    """

    common: Bags
    first_only: Bags | None = None
    second_only: Bags | None = None


@builder
def neighbor_overlap(
    graph: Graph, pairs: Tensor, differences: bool = False, max_items: int = 2**24
) -> Overlap:
    r"""List :math:`N(i) \cap N(j)` of every pair and, if asked for, what each side has alone.

    N(i) is row i of the graph, those that i hears from. Self-loops never count: i is in none of
    its own lists, though it is in :math:`N(j) \setminus N(i)` if the pair is an edge. Of a pair of
    a node with itself everything is shared. Work is done in chunks of pairs; a pair that alone
    exceeds `max_items` is a chunk of its own.

    Paper: "Neural Common Neighbor with Completion for Link Prediction" (Wang et al., ICLR 2024),
    https://arxiv.org/abs/2302.00890

    Args:
        graph: Whose edges count.
        pairs: Any pairs; repeated ones get a bag each.
        differences: Whether to list the two differences too.
        max_items: Most neighbours (cells of a mask, for small graphs) looked at in one go, which
            bounds the memory beside the result. The result does not depend on it.

    Shapes:
        pairs: ``[2, num_pairs]``, integer.

    Raises:
        ValueError: If `pairs` is malformed or names a node out of range, or `max_items` is not
            positive.
    """
    pairs = check_pairs(graph, pairs)
    if max_items < 1:
        raise ValueError(f"max_items must be at least 1, got {max_items}")
    csr = without_loops(graph.csr)
    name, items = _plan(csr, pairs, differences)
    overlap = _backend(name)
    parts = [
        overlap(csr, *pairs[:, start:stop].unbind(0), differences)
        for start, stop in _chunks(items, max_items)
    ]
    return Overlap(*(_join(same) for same in zip(*parts, strict=True)))


def without_loops(csr: CSR) -> CSR:
    """The pattern with nothing on its diagonal; the same object if there is nothing."""
    if isinstance(csr, PartialCSR) and without_loops(csr.whole) is csr.whole:
        return csr
    if csr not in _LOOPLESS:
        on_diagonal = csr.row == csr.col
        part = PartialCSR(csr, ~on_diagonal) if on_diagonal.any() else None
        # A plain pattern, since one that refers to its key would keep it alive.
        _LOOPLESS[csr] = part and CSR(part.rowptr, part.col, part.num_rows, part.num_cols)
    return _LOOPLESS[csr] or csr


def _plan(csr: CSR, pairs: Tensor, differences: bool) -> tuple[str, Tensor]:
    """The back-end, and ``[num_pairs]``, int64: items that it looks at for each pair."""
    counts = csr.row_counts().long()
    first, second = counts[pairs[0]], counts[pairs[1]]
    fewer, both = torch.minimum(first, second), first + second
    probes, cells = int(fewer.sum()), pairs.size(1) * csr.num_cols
    kind = "overlap"
    if cells < CELLS_PER_PROBE * probes and csr.num_cols <= MAX_MASK_NODES:
        kind = "overlap_dense"
    elif not differences and int(both.sum()) > STEPS_PER_PROBE * probes:
        kind = "overlap_skewed"
    name = backends.choose(kind, csr.device)
    if name == "dense":
        return name, torch.full_like(both, csr.num_cols)
    return name, both if differences or name == "scipy" else fewer


def _backend(name: str) -> Callable[[CSR, Tensor, Tensor, bool], tuple[Bags, ...]]:
    if name == "scipy":
        from gnnzoo.ops.overlap_scipy import overlap
    elif name == "dense":
        from gnnzoo.ops.overlap_dense import overlap
    elif name == "triton":
        from gnnzoo.ops.overlap_triton import overlap
    else:
        from gnnzoo.ops.overlap_torch import overlap
    return overlap


def _chunks(items: Tensor, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of pairs with at most that many items each, or one pair; one range if none fit."""
    total, start = items.cumsum(0), 0
    if items.numel() == 0 or int(total[-1]) <= most:
        yield 0, items.numel()
        return
    total = total.cpu()
    while start < total.numel():
        done = int(total[start - 1]) if start else 0
        stop = max(int(torch.searchsorted(total, done + most, right=True)), start + 1)
        yield start, stop
        start = stop


def _join(parts: tuple[Bags, ...]) -> Bags:
    if len(parts) == 1:
        return parts[0]
    counts = torch.cat([part.counts() for part in parts])
    offsets = counts.new_zeros(counts.numel() + 1)
    torch.cumsum(counts, 0, out=offsets[1:])
    return Bags(offsets, torch.cat([part.node for part in parts]))
