"""Overlaps of neighbourhoods by a fused search for CUDA.

One thread looks one neighbour of the node that has fewer up in the row of the other, and leaves a
flag and a place: nothing else is stored for a neighbour that is not shared. Tested on a CPU
through Triton's interpreter (``TRITON_INTERPRET=1``).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from gnnzoo.ops import overlap_torch
from gnnzoo.ops.bags import Bags
from gnnzoo.ops.csr import CSR

BLOCK = 256


@triton.jit
def _search_kernel(
    rowptr, col, more, ends, shift, hit, match, num_items, num_pairs,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Of each item: whether the row of its pair's other node has it, and where."""
    item = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = item < num_items
    low = item * 0
    high = low + num_pairs
    while tl.max(high - low, 0) > 0:  # to the first pair that ends behind the item
        middle = (low + high) // 2
        unsure = low < high
        behind = tl.load(ends + middle, mask=inside & unsure, other=0) > item
        low = tl.where(unsure & (behind == 0), middle + 1, low)
        high = tl.where(unsure & behind, middle, high)
    entry = item + tl.load(shift + low, mask=inside, other=0)
    node = tl.load(col + entry, mask=inside, other=0)
    row = tl.load(more + low, mask=inside, other=0)
    low = tl.load(rowptr + row, mask=inside, other=0).to(tl.int64)
    stop = tl.load(rowptr + row + 1, mask=inside, other=0).to(tl.int64)
    high = stop
    while tl.max(high - low, 0) > 0:  # to the first entry that is not before the node
        middle = (low + high) // 2
        unsure = low < high
        before = tl.load(col + middle, mask=inside & unsure, other=0) < node
        low = tl.where(unsure & before, middle + 1, low)
        high = tl.where(unsure & (before == 0), middle, high)
    there = inside & (low < stop)
    found = there & (tl.load(col + low, mask=there, other=-1) == node)
    tl.store(hit + item, found.to(tl.int8), mask=inside)
    tl.store(match + item, low.to(match.dtype.element_ty), mask=inside)


def overlap(csr: CSR, first: Tensor, second: Tensor, differences: bool) -> tuple[Bags, ...]:
    """As `gnnzoo.ops.overlap_torch.overlap`."""
    return overlap_torch.overlap(csr, first, second, differences, shared_entries)


def shared_entries(csr: CSR, fewer: Tensor, more: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `gnnzoo.ops.overlap_torch.shared_entries`."""
    if fewer.numel() == 0:
        return fewer, fewer, fewer
    counts = csr.row_counts()[fewer].long()
    ends = counts.cumsum(0)
    num_items = int(ends[-1])
    if num_items == 0:
        return fewer[:0], fewer[:0], fewer[:0]
    shift = csr.rowptr[fewer] - (ends - counts)  # from an item to its entry
    hit = torch.empty(num_items, dtype=torch.int8, device=fewer.device)
    match = torch.empty(num_items, dtype=csr.col.dtype, device=fewer.device)
    _search_kernel[(triton.cdiv(num_items, BLOCK),)](
        csr.rowptr, csr.col, more.contiguous(), ends, shift, hit, match, num_items, fewer.numel(),
        BLOCK=BLOCK,
    )  # fmt: skip
    found = hit.nonzero().squeeze(1)
    owner = torch.searchsorted(ends, found, right=True)
    return owner, found + shift[owner], match[found].long()
