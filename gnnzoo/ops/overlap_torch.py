"""Overlaps of neighbourhoods by binary search: the portable back-end.

The neighbours of the node that has fewer are looked up among all entries of the graph, which are
sorted. Only what is found has to be marked on both sides to have the differences as well.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gnnzoo.ops.bags import Bags
from gnnzoo.ops.csr import CSR, row_entries
from gnnzoo.ops.pairs import find_entries


def overlap(
    csr: CSR,
    first: Tensor,
    second: Tensor,
    differences: bool,
    search: Callable[[CSR, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]] | None = None,
) -> tuple[Bags, ...]:
    """Bags of the columns that two rows share and, if asked for, of those in one row alone.

    Args:
        csr: The pattern.
        first, second: ``[num_pairs]``, int64, rows.
        differences: Whether to list what is not shared.
        search: Another way to do what `shared_entries` does.
    """
    counts = csr.row_counts()
    swap = counts[second] < counts[first]
    fewer, more = torch.where(swap, second, first), torch.where(swap, first, second)
    owner, entries, matches = (search or shared_entries)(csr, fewer, more)
    shared = torch.bincount(owner, minlength=first.numel())
    common = Bags(offsets_of(shared), csr.col[entries].long())
    if not differences:
        return (common,)
    swap = swap[owner]
    of_first = torch.where(swap, matches, entries)
    of_second = torch.where(swap, entries, matches)
    return (
        common,
        _rest(csr, first, owner, of_first, shared),
        _rest(csr, second, owner, of_second, shared),
    )


def shared_entries(csr: CSR, fewer: Tensor, more: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Which columns of the rows `fewer` the rows `more` have too.

    Shapes:
        fewer, more: ``[num_pairs]``, int64.
        returns: for each shared column, pair by pair and ascending, the place of the pair, the
            entry in the one row and the entry in the other; ``[num_shared]``, int64.
    """
    entries, owner = row_entries(csr.rowptr, fewer)
    matches, found = find_entries(csr, more[owner], csr.col[entries].long())
    hit = found.nonzero().squeeze(1)
    return owner[hit], entries[hit], matches[hit]


def _rest(csr: CSR, rows: Tensor, owner: Tensor, taken: Tensor, num_taken: Tensor) -> Bags:
    """What is left of rows without the entries `taken` from the rows at the places `owner`."""
    counts = csr.row_counts()[rows].long()
    ends = counts.cumsum(0)
    shift = csr.rowptr[rows] - (ends - counts)  # from a place in the list of all rows to an entry
    total = int(ends[-1]) if ends.numel() else 0
    keep = torch.ones(total, dtype=torch.bool, device=rows.device)
    keep[taken - shift[owner]] = False
    left = counts - num_taken
    entries = keep.nonzero().squeeze(1)
    entries += shift.repeat_interleave(left, output_size=entries.numel())
    return Bags(offsets_of(left), csr.col[entries].long())


def offsets_of(counts: Tensor) -> Tensor:
    """``[num_bags + 1]``, int64: where bags of these sizes start and end."""
    offsets = torch.zeros(counts.numel() + 1, dtype=torch.int64, device=counts.device)
    torch.cumsum(counts, 0, out=offsets[1:])
    return offsets
