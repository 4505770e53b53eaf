r"""The selective scan with a decay for each channel and state, tile by tile and recomputing.

.. math:: h_t = e^{\Delta_t A} \odot h_{t-1} + b_t (\Delta_t u_t)^\top, \qquad
          y_t = h_t^\top c_t + d \odot u_t

Decays and states of a tile of tokens are made while they fit in the cache; only the recurrence goes
token by token, one operation each. States at the borders of tiles are kept, and a backward pass
makes the rest anew: :math:`\lambda_t = c_t \bar y_t^\top + e^{\Delta_{t+1} A} \odot \lambda_{t+1}`
is the gradient to what is written at t, and
:math:`\lambda_t \odot e^{\Delta_t A} \odot h_{t-1}` that to :math:`\Delta_t A`.

Sequences of one known length go side by side. Tensors of a tile are ``[steps, rows, num_states,
channels]``, rows being sequences.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from gnnzoo.ops.operator import Operator, refuse_double_backward
from gnnzoo.ops.spmm import compute_dtype

TILE_CELLS = 1 << 18  # steps x rows x states x channels


def tiled_scan(
    u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, start: Tensor, rows: int
) -> Tensor:
    """As `gnnzoo.ops.selective_scan` without the weight of the input.

    Args:
        start: Whether a token is the first of its sequence.
        rows: Number of stretches of one length, each from the start of a sequence to the end of
            one, that may go side by side.
    """
    return _scan(u, dt, a, b, c, start, rows)[0]


def _tiles(rows: int, length: int, cells: int) -> Iterator[tuple[slice, slice]]:
    """Rows and steps of each tile, steps innermost; as many rows as leave whole stretches."""
    most = max(TILE_CELLS // max(cells, 1), 1)
    wide = min(max(most // max(length, 1), 1), rows)
    steps = min(max(most // wide, 1), length)
    for row in range(0, rows, wide):
        for step in range(0, length, steps):
            yield slice(row, min(row + wide, rows)), slice(step, min(step + steps, length))


class _Tile:
    """Decays, what is written, and after `run` the states of one tile.

    Shapes:
        u, dt: ``[steps, rows, channels]``. b, c: ``[steps, rows, num_states]``.
        decay, h: ``[steps, rows, num_states, channels]``.
    """

    def __init__(self, operands: tuple[Tensor, ...], rows: slice, steps: slice, a: Tensor) -> None:
        self.place, self.a = (rows, steps), a
        u, dt, b, c, start = operands
        self.u, self.dt, self.b, self.c = (self.cut(t).to(a.dtype) for t in (u, dt, b, c))
        self.written = self.u * self.dt
        self.decay = (self.dt.unsqueeze(2) * a).exp_()
        first = self.cut(start)  # [steps, rows, 1]
        self.decay.masked_fill_(first.unsqueeze(-1), 0.0)
        self.h = self.b.unsqueeze(-1) * self.written.unsqueeze(2)

    def cut(self, tensor: Tensor) -> Tensor:
        return tensor[self.place].transpose(0, 1)

    def run(self, state: Tensor) -> Tensor:
        """Fill in the states from the one before, ``[rows, num_states, channels]``."""
        for h, decay in zip(self.h.unbind(), self.decay.unbind(), strict=True):
            state = h.addcmul_(decay, state)
        return state.clone()

    def run_back(self, dy: Tensor, after: Tensor) -> Tensor:
        """Gradients to what is written, `after` being the one that comes from behind the tile."""
        back = self.c.unsqueeze(-1) * dy.unsqueeze(2)
        own, decay = back.unbind(), self.decay.unbind()
        own[-1].add_(after)
        for step in range(len(own) - 1, 0, -1):
            own[step - 1].addcmul_(decay[step], own[step])
        return back

    def over_states(self, weight: Tensor, cells: Tensor) -> Tensor:
        """``[steps, rows, channels]``: states summed up with ``[steps, rows, num_states]``."""
        return (weight.unsqueeze(2) @ cells).squeeze(2)

    def over_channels(self, cells: Tensor, weight: Tensor) -> Tensor:
        """``[steps, rows, num_states]``: channels summed up with ``[steps, rows, channels]``."""
        return (cells @ weight.unsqueeze(-1)).squeeze(-1)


def _as_rows(rows: int, *tensors: Tensor) -> tuple[Tensor, ...]:
    """``[rows, length, width]`` of each."""
    length = tensors[0].size(0) // max(rows, 1)
    return tuple(t.reshape(rows, length, t[:1].numel() if t.numel() else 1) for t in tensors)


def _plan(u: Tensor, a: Tensor, rows: int) -> list[tuple[slice, slice]]:
    return list(_tiles(rows, u.size(0) // max(rows, 1), a.numel())) if u.numel() else []


def _forward(
    u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, start: Tensor, rows: int
) -> tuple[Tensor, Tensor]:
    """The result, and the states before each tile but the first of its rows."""
    out = torch.empty_like(u)
    a_t = a.t().to(compute_dtype(u)).contiguous()  # [num_states, channels]
    tiles, kept = _plan(u, a, rows), []
    if not tiles:
        return out.zero_(), a_t.new_empty(0)
    operands, view = _as_rows(rows, u, dt, b, c, start), out.view(rows, -1, u.size(1))
    for part, steps in tiles:
        tile = _Tile(operands, part, steps, a_t)
        if steps.start == 0:
            state = torch.zeros_like(tile.h[0])
        else:
            kept.append(state)
        state = tile.run(state)
        view[part, steps] = tile.over_states(tile.c, tile.h).transpose(0, 1).to(out.dtype)
    return out, torch.cat(kept) if kept else a_t.new_empty(0)


def _fake(u, dt, a, b, c, start, rows):
    tiles = _plan(u, a, rows)
    count = sum(part.stop - part.start for part, steps in tiles if steps.start)
    shape = (count, a.size(1), a.size(0)) if count else (0,)
    return torch.empty_like(u), u.new_empty(shape, dtype=compute_dtype(u))


def _gradients(
    grad: Tensor,
    u: Tensor,
    dt: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    start: Tensor,
    kept: Tensor,
    rows: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    a_t = a.t().to(compute_dtype(u)).contiguous()
    grads, grad_a = [torch.zeros_like(t) for t in (u, dt, b, c)], torch.zeros_like(a_t)
    tiles, end = _plan(u, a, rows), len(kept)
    operands = _as_rows(rows, u, dt, b, c, start) if tiles else ()
    views = [t.view(rows, -1, t.size(1)) for t in grads] if tiles else []
    for index, (part, steps) in reversed(list(enumerate(tiles))):
        tile = _Tile(operands, part, steps, a_t)
        if index + 1 == len(tiles) or tiles[index + 1][1].start == 0:
            after = torch.zeros_like(tile.h[0])
        state = torch.zeros_like(after)
        if steps.start:
            state, end = kept[end - state.size(0) : end], end - state.size(0)
        tile.run(state)
        dy = tile.cut(grad.reshape(views[0].shape)).to(a_t.dtype)
        back = tile.run_back(dy, after)
        after = tile.decay[0] * back[0]
        found = _tile_gradients(tile, state, dy, back, grad_a)
        for view, value in zip(views, found, strict=True):
            view[part, steps] = value.transpose(0, 1).to(view.dtype)
    return grads[0], grads[1], grad_a.t().to(a.dtype), grads[2], grads[3]


def _tile_gradients(
    tile: _Tile, state: Tensor, dy: Tensor, back: Tensor, grad_a: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients to u, dt, b and c; that to A is added to `grad_a`. The decays are overwritten."""
    dc = tile.over_channels(tile.h, dy)
    db = tile.over_channels(back, tile.written)
    dwritten = tile.over_states(tile.b, back)  # [steps, rows, channels]
    rate = tile.decay.mul_(back)  # becomes the gradient to dt * A
    rate[0].mul_(state)
    rate[1:].mul_(tile.h[:-1])
    ddt = dwritten * tile.u + torch.linalg.vecdot(rate, tile.a, dim=2)
    grad_a += rate.mul_(tile.dt.unsqueeze(2)).sum((0, 1))
    return dwritten * tile.dt, ddt, db, dc


def _fake_gradients(grad, u, dt, a, b, c, start, kept, rows):
    return tuple(torch.empty_like(t) for t in (u, dt, a, b, c))


def _save(ctx, inputs, output):
    *tensors, rows = inputs
    ctx.save_for_backward(*tensors, output[1])
    ctx.rows = rows
    ctx.mark_non_differentiable(output[1])


def _backward(ctx, grad, _):
    return (*_scan_backward(grad, *ctx.saved_tensors, ctx.rows), None, None)


_scan = Operator("gnnzoo::tiled_scan", _forward, _fake, _backward, _save)
_scan_backward = Operator(
    "gnnzoo::tiled_scan_backward", _gradients, _fake_gradients, refuse_double_backward
)
