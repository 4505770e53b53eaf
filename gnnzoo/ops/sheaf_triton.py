"""The blocks of a sheaf Laplacian as fused kernels for CUDA, for up to eight stalk dimensions.

One program walks along the half-edges of one node and keeps a tile of stalks x channels in
registers: neither messages nor a matrix of single entries are ever stored. A hub's half-edges are
cut into segments, whose sums a second kernel adds up in order, so that results do not depend on
which program ends first. Tested on a CPU through Triton's interpreter (``TRITON_INTERPRET=1``).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from gnnzoo.ops.sheaf_pattern import SheafPattern

MAX_STALKS = 8
SEGMENT = 256  # most half-edges that one program walks along
MAX_CHANNELS = 128  # of one program


@triton.jit
def _entry(k, m, transposed, DIM: tl.constexpr, STALKS: tl.constexpr, FULL: tl.constexpr):
    """Where a block stores its entry (k, m), and whether it has one."""
    if FULL:
        learned = (k < DIM) & (m < DIM)
        first = tl.where(transposed, m, k)
        second = tl.where(transposed, k, m)
        place = tl.where(learned, first * DIM + second, DIM * DIM + k - DIM)
        return place, learned | ((k == m) & (k < STALKS))
    return k, (k == m) & (k < STALKS)


@triton.jit
def _times(block, x):
    """``[rows, stalks]`` times ``[stalks, channels]``; too small for the tensor cores."""
    return tl.sum(block[:, :, None] * x[None, :, :], axis=1)


@triton.jit
def _at_node(
    values, node, x, k, m, KIND: tl.constexpr, STORED: tl.constexpr, DIM: tl.constexpr,
    STALKS: tl.constexpr, FULL: tl.constexpr,
):  # fmt: skip
    """One node's values, a number, one per stalk dimension or a block, times its features."""
    if KIND == 0:
        return tl.load(values + node) * x
    if KIND == 1:
        scale = tl.load(values + node * STALKS + k, mask=k < STALKS, other=0.0)
        return scale[:, None] * x
    place, there = _entry(k[:, None], m[None, :], False, DIM, STALKS, FULL)
    return _times(tl.load(values + node * STORED + place, mask=there, other=0.0), x)


@triton.jit
def _laplacian_kernel(
    z, off, degree, out, partial, rowptr, col, fill, first, last, owner, slot, num_pairs, channels,
    KIND: tl.constexpr, STORED: tl.constexpr, DIM: tl.constexpr, STALKS: tl.constexpr,
    FULL: tl.constexpr, WIDTH: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Of one segment: ``L z``, or for a hub what the segment's half-edges bring."""
    segment = tl.program_id(0)
    node = tl.load(owner + segment).to(tl.int64)
    place = tl.load(slot + segment)
    start = tl.load(rowptr + node * STALKS).to(tl.int64)
    k, m = tl.arange(0, TILE), tl.arange(0, TILE)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    tile = k[:, None] * channels + c[None, :]
    inside = (k < STALKS)[:, None] & (c < channels)[None, :]
    received = tl.zeros((TILE, BLOCK), dtype=z.dtype.element_ty)
    edge, stop = tl.load(first + segment), tl.load(last + segment)
    while edge < stop:
        # The first entry of a half-edge in the row of stalk dimension 0 names sender and pair.
        sender = tl.load(col + start + edge * WIDTH).to(tl.int64) // STALKS
        entry = tl.load(fill + start + edge * WIDTH)
        theirs = tl.load(z + sender * STALKS * channels + tile, mask=inside, other=0.0)
        if FULL:
            where, there = _entry(k[:, None], m[None, :], node > sender, DIM, STALKS, FULL)
            block = tl.load(off + where * num_pairs + entry, mask=there, other=0.0)
            received += _times(block, theirs)
        else:
            row = tl.load(off + entry + k, mask=k < STALKS, other=0.0)
            received += row[:, None] * theirs
        edge += 1
    if place < 0:
        at = node * STALKS * channels + tile
        own = tl.load(z + at, mask=inside, other=0.0)
        own = _at_node(degree, node, own, k, m, KIND, STORED, DIM, STALKS, FULL)
        tl.store(out + at, own + received, mask=inside)
    else:
        at = place.to(tl.int64) * STALKS * channels + tile
        tl.store(partial + at, received, mask=inside)


@triton.jit
def _hub_kernel(
    z, degree, out, partial, hubs, begin, channels,
    KIND: tl.constexpr, STORED: tl.constexpr, DIM: tl.constexpr, STALKS: tl.constexpr,
    FULL: tl.constexpr, TILE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """``L z`` of one hub from the sums of its segments, in their order."""
    hub = tl.program_id(0)
    node = tl.load(hubs + hub).to(tl.int64)
    k, m = tl.arange(0, TILE), tl.arange(0, TILE)
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    tile = k[:, None] * channels + c[None, :]
    inside = (k < STALKS)[:, None] & (c < channels)[None, :]
    received = tl.zeros((TILE, BLOCK), dtype=z.dtype.element_ty)
    place, stop = tl.load(begin + hub), tl.load(begin + hub + 1)
    while place < stop:
        received += tl.load(partial + place * STALKS * channels + tile, mask=inside, other=0.0)
        place += 1
    at = node * STALKS * channels + tile
    own = tl.load(z + at, mask=inside, other=0.0)
    own = _at_node(degree, node, own, k, m, KIND, STORED, DIM, STALKS, FULL)
    tl.store(out + at, own + received, mask=inside)


@triton.jit
def _pair_kernel(
    h, z, ends, out, num_pairs, channels,
    DIM: tl.constexpr, STALKS: tl.constexpr, FULL: tl.constexpr, TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """``h_u z_v^T + z_u h_v^T`` of one pair, the entries that its transport has."""
    pair = tl.program_id(0).to(tl.int64)
    u = tl.load(ends + pair).to(tl.int64) * STALKS * channels
    v = tl.load(ends + num_pairs + pair).to(tl.int64) * STALKS * channels
    k = tl.arange(0, TILE)
    total = tl.zeros((TILE, TILE), dtype=h.dtype.element_ty)
    start = channels * 0
    while start < channels:
        c = start + tl.arange(0, BLOCK)
        tile = k[:, None] * channels + c[None, :]
        inside = (k < STALKS)[:, None] & (c < channels)[None, :]
        h_u = tl.load(h + u + tile, mask=inside, other=0.0)
        z_u = tl.load(z + u + tile, mask=inside, other=0.0)
        h_v = tl.load(h + v + tile, mask=inside, other=0.0)
        z_v = tl.load(z + v + tile, mask=inside, other=0.0)
        total += tl.sum(h_u[:, None, :] * z_v[None, :, :] + z_u[:, None, :] * h_v[None, :, :], 2)
        start += BLOCK
    place, there = _entry(k[:, None], k[None, :], False, DIM, STALKS, FULL)
    if FULL:
        at = place * num_pairs + pair
    else:
        at = pair * STALKS + place + tl.zeros((TILE, TILE), dtype=tl.int32)
    tl.store(out + at, total, mask=there)


class Segments:
    """Half-edges of every node, cut into runs of at most `SEGMENT`.

    Args:
        counts: ``[num_nodes]``, half-edges of each node.

    Attributes:
        first, last, owner: ``[num_segments]``, half-edges, counted within their node, and node.
        slot: ``[num_segments]``, where a hub's segment puts its sum; -1 for nodes of one segment.
        hubs: ``[num_hubs]``, nodes of several segments.
        begin: ``[num_hubs + 1]``, where the slots of each hub start.
        num_slots: Segments of all hubs.
    """

    def __init__(self, counts: Tensor) -> None:
        pieces = (counts + SEGMENT - 1).div(SEGMENT, rounding_mode="floor").clamp_min(1)
        nodes = torch.arange(counts.numel(), device=counts.device)
        self.owner = nodes.repeat_interleave(pieces)
        rank = torch.arange(self.owner.numel(), device=counts.device)
        rank = rank - (pieces.cumsum(0) - pieces)[self.owner]
        self.first = rank * SEGMENT
        self.last = torch.minimum(self.first + SEGMENT, counts[self.owner])
        of_hub = pieces[self.owner] > 1
        self.slot = torch.where(of_hub, of_hub.cumsum(0) - 1, -1)
        self.hubs = nodes[pieces > 1]
        ends = pieces[self.hubs].cumsum(0)
        self.begin = torch.cat([ends.new_zeros(1), ends])
        self.num_slots = int(of_hub.sum())


_KEPT = WeakTensorKeyDictionary()  # by the pattern's row pointer: made once per graph


def segments_of(rowptr: Tensor, stalks: int, width: int) -> Segments:
    """The segments of a pattern with `width` entries per half-edge in the row of stalk 0."""
    if rowptr not in _KEPT:
        starts = rowptr.long()
        _KEPT[rowptr] = Segments((starts[1::stalks] - starts[:-1:stalks]) // width)
    return _KEPT[rowptr]


def laplacian(
    z: Tensor, off: Tensor, degree: Tensor, pattern: SheafPattern, stalk_dim: int, full: bool
) -> Tensor:
    """``L z``, as `SheafBlocks.laplacian`.

    Shapes:
        z: ``[num_nodes, num_stalks, channels]``, contiguous.
    """
    _, stalks, channels = z.shape
    out = torch.empty_like(z)
    if out.numel() == 0:
        return out
    width = stalk_dim if full else 1
    segments = segments_of(pattern.rowptr, stalks, width)
    partial = z.new_empty(segments.num_slots, stalks, channels)
    kind = 0 if degree.size(1) == 1 else 1 if degree.size(1) == stalks else 2
    block = min(triton.next_power_of_2(channels), MAX_CHANNELS)
    sizes = {
        "KIND": kind, "STORED": degree.size(1), "DIM": stalk_dim, "STALKS": stalks, "FULL": full,
        "TILE": triton.next_power_of_2(stalks), "BLOCK": block,
    }  # fmt: skip
    tiles, degree = triton.cdiv(channels, block), degree.contiguous()
    _laplacian_kernel[segments.owner.numel(), tiles](
        z, off, degree, out, partial, pattern.rowptr, pattern.col, pattern.fill,
        segments.first, segments.last, segments.owner, segments.slot, pattern.ends.size(1),
        channels, WIDTH=width, **sizes,
    )  # fmt: skip
    if segments.num_slots:
        _hub_kernel[segments.hubs.numel(), tiles](
            z, degree, out, partial, segments.hubs, segments.begin, channels, **sizes
        )
    return out


def dots_of_pairs(
    h: Tensor, z: Tensor, ends: Tensor, shape: torch.Size, stalk_dim: int, full: bool
) -> Tensor:
    """``h_u z_v^T + z_u h_v^T``, as `SheafBlocks.dots_of_pairs`."""
    out = h.new_empty(shape)
    if out.numel() == 0 or h.size(2) == 0:
        return out.zero_()
    stalks, channels = h.size(1), h.size(2)
    _pair_kernel[(ends.size(1),)](
        h, z, ends, out, ends.size(1), channels, DIM=stalk_dim, STALKS=stalks, FULL=full,
        TILE=triton.next_power_of_2(stalks), BLOCK=min(triton.next_power_of_2(channels), 32),
    )  # fmt: skip
    return out
