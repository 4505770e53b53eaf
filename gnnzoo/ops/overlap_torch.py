"""Overlaps of neighbourhoods by binary search: the portable back-end.

The neighbours of the node that has fewer are looked up among all entries of the graph, which are
sorted. Only what is found has to be marked on both sides to have the differences as well.
"""

import torch
from torch import Tensor

from gnnzoo.ops.bags import Bags
from gnnzoo.ops.csr import CSR, row_entries
from gnnzoo.ops.pairs import find_entries


def overlap_torch(csr: CSR, first: Tensor, second: Tensor, differences: bool) -> tuple[Bags, ...]:
    """Bags of the common nodes of rows and, if asked for, of those of one row alone.

    Shapes:
        first, second: ``[num_pairs]``, int64, rows.
    """
    counts = csr.row_counts()
    swap = counts[second] < counts[first]
    fewer, more = torch.where(swap, second, first), torch.where(swap, first, second)
    entries, owner = row_entries(csr.rowptr, fewer)
    node = csr.col[entries].long()
    matches, found = find_entries(csr, more[owner], node)
    common = _bags(csr, fewer, node, found)
    if not differences:
        return (common,)
    hit = found.nonzero().squeeze(1)
    entries, matches, swap = entries[hit], matches[hit], swap[owner[hit]]
    owner = owner[hit]
    of_first, of_second = torch.where(swap, matches, entries), torch.where(swap, entries, matches)
    return (
        common,
        _rest(csr, first, owner, of_first),
        _rest(csr, second, owner, of_second),
    )


def _rest(csr: CSR, rows: Tensor, owner: Tensor, taken: Tensor) -> Bags:
    """What is left of rows without the entries `taken` from the rows at the places `owner`."""
    entries, _ = row_entries(csr.rowptr, rows)
    keep = torch.ones_like(entries, dtype=torch.bool)
    starts = csr.rowptr[rows].long()
    counts = csr.rowptr[rows + 1] - starts
    shift = (
        counts.cumsum(0) - counts - starts
    )  # from a row's place in the pattern to that in the list
    keep[taken + shift[owner]] = False
    return _bags(csr, rows, csr.col[entries].long(), keep)


def _bags(csr: CSR, rows: Tensor, node: Tensor, keep: Tensor) -> Bags:
    """Bags of the kept ones among the listed entries of rows."""
    before = torch.zeros(keep.numel() + 1, dtype=torch.int64, device=keep.device)
    torch.cumsum(keep, 0, out=before[1:])
    ends = torch.zeros(rows.numel() + 1, dtype=torch.int64, device=rows.device)
    torch.cumsum(csr.row_counts()[rows], 0, out=ends[1:])
    return Bags(before[ends], node[keep])
