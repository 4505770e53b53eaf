r"""The selective scan as fused kernels for CUDA.

One program walks through a chunk of tokens with a tile of channels x states in registers. First
every chunk runs from zero, which gives what it adds to the state and by how much it shrinks the
state before it; with these the states between chunks are found; then every chunk runs once more
from the right state. A backward pass does the same from behind. States of single tokens are written
out only there, for a few chunks at a time. Sums do not depend on which program ends first. Tested
on a CPU through Triton's interpreter (``TRITON_INTERPRET=1``).
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from gnnzoo.ops.operator import Operator, refuse_double_backward
from gnnzoo.ops.spmm import compute_dtype
from gnnzoo.ops.ssd_block import blocks, recur

CHUNK = 64  # tokens of one program
TILE = 32  # channels of one program
SCRATCH_CELLS = 1 << 24  # states of single tokens held at one time


@triton.jit
def _cells(channels, STATES: tl.constexpr, TILE: tl.constexpr, WIDE: tl.constexpr):
    """A program's channels and states, their places in ``[channels, states]``, and which exist."""
    e = tl.program_id(1) * TILE + tl.arange(0, TILE)
    n = tl.arange(0, WIDE)
    inside = (e < channels)[:, None] & (n < STATES)[None, :]
    return e, n, e[:, None] * STATES + n[None, :], inside


@triton.jit
def _step(u, dt, b, position, t, rate, e, n, channels, STATES: tl.constexpr):
    """Of token t: input and step of each channel, b, decay and what is written."""
    x = tl.load(u + t * channels + e, mask=e < channels, other=0.0).to(rate.dtype)
    step = tl.load(dt + t * channels + e, mask=e < channels, other=0.0).to(rate.dtype)
    write = tl.load(b + t * STATES + n, mask=n < STATES, other=0.0).to(rate.dtype)
    decay = tl.exp(step[:, None] * rate)
    decay = tl.where(tl.load(position + t) > 0, decay, 0.0)
    return x, step, write, decay, (x * step)[:, None] * write[None, :]


@triton.jit
def _ends_kernel(
    u, dt, a, b, position, added, shrink, num_tokens, channels,
    STATES: tl.constexpr, CHUNK: tl.constexpr, TILE: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """What a chunk adds to the state, and what it leaves of the one before."""
    e, n, cell, inside = _cells(channels, STATES, TILE, WIDE)
    chunk = tl.program_id(0).to(tl.int64)
    rate = tl.load(a + cell, mask=inside, other=0.0)
    h = tl.zeros((TILE, WIDE), dtype=rate.dtype)
    left = h + 1.0
    t = chunk * CHUNK
    stop = tl.minimum(t + CHUNK, num_tokens)
    while t < stop:
        _, _, _, decay, written = _step(u, dt, b, position, t, rate, e, n, channels, STATES)
        h = decay * h + written
        left = left * decay
        t += 1
    place = chunk * channels * STATES + cell
    tl.store(added + place, h, mask=inside)
    tl.store(shrink + place, left, mask=inside)


@triton.jit
def _outputs_kernel(
    u, dt, a, b, c, position, states, out, num_tokens, channels,
    STATES: tl.constexpr, CHUNK: tl.constexpr, TILE: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """What the tokens of a chunk read, from the state before it."""
    e, n, cell, inside = _cells(channels, STATES, TILE, WIDE)
    chunk = tl.program_id(0).to(tl.int64)
    rate = tl.load(a + cell, mask=inside, other=0.0)
    h = tl.load(states + chunk * channels * STATES + cell, mask=inside, other=0.0)
    t = chunk * CHUNK
    stop = tl.minimum(t + CHUNK, num_tokens)
    while t < stop:
        _, _, _, decay, written = _step(u, dt, b, position, t, rate, e, n, channels, STATES)
        h = decay * h + written
        read = tl.load(c + t * STATES + n, mask=n < STATES, other=0.0).to(rate.dtype)
        y = tl.sum(h * read[None, :], axis=1)
        tl.store(out + t * channels + e, y.to(out.dtype.element_ty), mask=e < channels)
        t += 1


@triton.jit
def _back_ends_kernel(
    grad, u, dt, a, b, c, position, added, num_tokens, channels,
    STATES: tl.constexpr, CHUNK: tl.constexpr, TILE: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """What a chunk adds to the gradient to the state before it."""
    e, n, cell, inside = _cells(channels, STATES, TILE, WIDE)
    chunk = tl.program_id(0).to(tl.int64)
    rate = tl.load(a + cell, mask=inside, other=0.0)
    back = tl.zeros((TILE, WIDE), dtype=rate.dtype)
    begin = chunk * CHUNK
    t = tl.minimum(begin + CHUNK, num_tokens) - 1
    while t >= begin:
        _, _, _, decay, _ = _step(u, dt, b, position, t, rate, e, n, channels, STATES)
        dy = tl.load(grad + t * channels + e, mask=e < channels, other=0.0).to(rate.dtype)
        read = tl.load(c + t * STATES + n, mask=n < STATES, other=0.0).to(rate.dtype)
        back = decay * (back + dy[:, None] * read[None, :])
        t -= 1
    tl.store(added + chunk * channels * STATES + cell, back, mask=inside)


@triton.jit
def _gradients_kernel(
    grad, u, dt, a, b, c, position, states, after, before, grad_u, grad_dt, grad_a, grad_b, grad_c,
    first, num_tokens, channels,
    STATES: tl.constexpr, CHUNK: tl.constexpr, TILE: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Gradients of a chunk's tokens, those that are sums over channels for each tile apart."""
    e, n, cell, inside = _cells(channels, STATES, TILE, WIDE)
    chunk = tl.program_id(0).to(tl.int64) + first
    rate = tl.load(a + cell, mask=inside, other=0.0)
    size = channels * STATES
    h = tl.load(states + chunk * size + cell, mask=inside, other=0.0)
    begin = chunk * CHUNK
    stop = tl.minimum(begin + CHUNK, num_tokens)
    scratch = before + tl.program_id(0).to(tl.int64) * CHUNK * size + cell
    shared = tl.program_id(1).to(tl.int64) * num_tokens * STATES + n  # of [tiles, tokens, states]
    t = begin
    while t < stop:
        _, _, _, decay, written = _step(u, dt, b, position, t, rate, e, n, channels, STATES)
        tl.store(scratch + (t - begin) * size, h, mask=inside)
        h = decay * h + written
        dy = tl.load(grad + t * channels + e, mask=e < channels, other=0.0).to(rate.dtype)
        tl.store(grad_c + shared + t * STATES, tl.sum(h * dy[:, None], axis=0), mask=n < STATES)
        t += 1
    tl.debug_barrier()
    back = tl.load(after + chunk * size + cell, mask=inside, other=0.0)
    total = tl.zeros((TILE, WIDE), dtype=rate.dtype)
    t = stop - 1
    while t >= begin:
        x, step, write, decay, _ = _step(u, dt, b, position, t, rate, e, n, channels, STATES)
        dy = tl.load(grad + t * channels + e, mask=e < channels, other=0.0).to(rate.dtype)
        read = tl.load(c + t * STATES + n, mask=n < STATES, other=0.0).to(rate.dtype)
        back += dy[:, None] * read[None, :]
        h = tl.load(scratch + (t - begin) * size, mask=inside, other=0.0)
        dwritten = tl.sum(back * write[None, :], axis=1)
        db = tl.sum(back * (x * step)[:, None], axis=0)
        back = back * decay
        rise = back * h  # gradient to step * rate
        total += rise * step[:, None]
        ddt = dwritten * x + tl.sum(rise * rate, axis=1)
        place = t * channels + e
        tl.store(grad_u + place, (dwritten * step).to(grad_u.dtype.element_ty), mask=e < channels)
        tl.store(grad_dt + place, ddt.to(grad_dt.dtype.element_ty), mask=e < channels)
        tl.store(grad_b + shared + t * STATES, db, mask=n < STATES)
        t -= 1
    tl.store(grad_a + chunk * size + cell, total, mask=inside)


def fused_scan(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, position: Tensor) -> Tensor:
    """As `gnnzoo.ops.selective_scan` without the weight of the input.

    Shapes:
        position: ``[num_tokens]``, int32, place of each token in its sequence.
    """
    operands = (t.contiguous() for t in (u, dt, a.to(compute_dtype(u)), b, c, position))
    return _scan(*operands)[0]


def _sizes(u: Tensor, a: Tensor) -> tuple[tuple[int, int], dict[str, int]]:
    """Chunks and tiles of channels, and the sizes that kernels are compiled for."""
    tile = min(triton.next_power_of_2(max(u.size(1), 1)), TILE)
    wide = triton.next_power_of_2(max(a.size(1), 1))
    sizes = {"STATES": a.size(1), "CHUNK": CHUNK, "TILE": tile, "WIDE": wide}
    return (triton.cdiv(u.size(0), CHUNK), triton.cdiv(u.size(1), tile)), sizes


def _states(shrink: Tensor, added: Tensor) -> Tensor:
    """``[chunks, cells]``: the state before each chunk."""
    flat = added.view(len(added), 1, -1)
    return recur(shrink.view(flat.shape), flat, torch.zeros_like(flat[0]))[:-1].squeeze(1)


def _forward(
    u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, position: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The result, the state before each chunk and what the chunk leaves of it."""
    grid, sizes = _sizes(u, a)
    out, added = torch.empty_like(u), a.new_empty(grid[0], a.numel())
    shrink = torch.empty_like(added)
    if not u.numel() or not a.numel():
        return out.zero_(), added, shrink
    _ends_kernel[grid](u, dt, a, b, position, added, shrink, *u.shape, **sizes)
    states = _states(shrink, added)
    _outputs_kernel[grid](u, dt, a, b, c, position, states, out, *u.shape, **sizes)
    return out, states, shrink


def _fake(u, dt, a, b, c, position):
    states = a.new_empty(_sizes(u, a)[0][0], a.numel())
    return torch.empty_like(u), states, torch.empty_like(states)


def _gradients(
    grad: Tensor,
    u: Tensor,
    dt: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    position: Tensor,
    states: Tensor,
    shrink: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    grads = [torch.zeros_like(t) for t in (u, dt, a, b, c)]
    if not u.numel() or not a.numel():
        return tuple(grads)
    (chunks, tiles), sizes = _sizes(u, a)
    operands, after = (grad.contiguous(), u, dt, a, b, c, position), torch.empty_like(states)
    _back_ends_kernel[chunks, tiles](*operands, after, *u.shape, **sizes)
    after = _states(shrink.flip(0), after.flip(0)).flip(0)
    grad_a = torch.empty_like(states)
    grad_b, grad_c = a.new_empty(2, tiles, *b.shape)
    most = max(SCRATCH_CELLS // (CHUNK * a.numel()), 1)
    before = a.new_empty(min(most, chunks), CHUNK, a.numel())
    for part in blocks(chunks, most):
        _gradients_kernel[part.stop - part.start, tiles](
            *operands, states, after, before, *grads[:2], grad_a, grad_b, grad_c, part.start,
            *u.shape, **sizes,
        )  # fmt: skip
    grads[2] = grad_a.sum(0).view(a.shape)
    return *grads[:3], grad_b.sum(0).to(b.dtype), grad_c.sum(0).to(c.dtype)


def _fake_gradients(grad, u, dt, a, b, c, position, states, shrink):
    return tuple(torch.empty_like(t) for t in (u, dt, a, b, c))


def _save(ctx: Any, inputs: tuple, output: tuple) -> None:
    ctx.save_for_backward(*inputs, *output[1:])
    ctx.mark_non_differentiable(*output[1:])


def _backward(ctx: Any, grad: Tensor, *_: object) -> tuple:
    return (*_scan_backward(grad, *ctx.saved_tensors), None)


_scan = Operator("gnnzoo::fused_scan", _forward, _fake, _backward, _save)
_scan_backward = Operator(
    "gnnzoo::fused_scan_backward", _gradients, _fake_gradients, refuse_double_backward
)
