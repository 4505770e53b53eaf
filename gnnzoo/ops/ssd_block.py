"""A few chunks of tokens of the scan with one decay per head: what both its passes compute."""

from collections.abc import Iterator

import torch
from torch import Tensor

#: Cells of pairwise decays and features, twice, of one block of chunks.
BLOCK_CELLS = {"cpu": 1 << 18, "cuda": 1 << 24}


def blocks(num_tokens: int, size: int) -> Iterator[slice]:
    """Ranges of at most `size` tokens."""
    for start in range(0, num_tokens, size):
        yield slice(start, min(start + size, num_tokens))


def block_size(x: Tensor, chunk: int) -> int:
    cells = BLOCK_CELLS.get(x.device.type, BLOCK_CELLS["cpu"])
    count = max(cells // max(x.size(1) * (chunk + 2 * x.size(2)) * chunk, 1), 1)
    return min(count, -(-x.size(0) // chunk)) * chunk


class Block:
    """What both passes compute of some chunks in a row.

    K chunks of Q tokens, H heads of P channels, N states. The last chunk is filled up with tokens
    that write nothing and stay for ever.

    Shapes:
        x, w: ``[K, Q, H, P]``. dt, s: ``[K, Q, H]``. b, c: ``[K, Q, N]``.
        decay: ``[K, H, Q, Q]``, of what token j wrote when token i reads.
        states: ``[K + 1, N, H * P]``, before each chunk and after the last one.
    """

    def __init__(self, operands: tuple[Tensor, ...], part: slice, chunk: int) -> None:
        x, dt, self.a, b, c, position = operands
        self.chunk, self.dtype = chunk, self.a.dtype
        self.count = -(-(part.stop - part.start) // chunk)
        self.part = part
        self.x, self.dt, self.b, self.c = (self.chunks(t) for t in (x, dt, b, c))
        position = self.chunks(position, torch.int32)  # [K, Q]
        place = torch.arange(chunk, dtype=torch.int32, device=x.device)
        back = place.unsqueeze(1) - place  # [Q, Q], how far back token j is
        self.same = (back >= 0) & (back <= position.unsqueeze(-1))  # [K, Q, Q]
        self.goes_on = (position > place).unsqueeze(-1)  # [K, Q, 1], sequence began before
        self.w = self.x * self.dt.unsqueeze(-1)
        self.s = (self.dt * self.a).cumsum(1)
        s = self.s.transpose(1, 2).contiguous()  # [K, H, Q]
        barred = torch.zeros_like(self.same, dtype=self.dtype).masked_fill_(~self.same, -torch.inf)
        self.decay = (s.unsqueeze(-1) - s.unsqueeze(-2)).add_(barred.unsqueeze(1)).exp_()
        self.scores = self.c @ self.b.transpose(1, 2)  # [K, Q, Q]
        self.w_heads = self.w.transpose(1, 2).contiguous()  # [K, H, Q, P]

    def chunks(self, tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """The block's rows of a tensor, by chunk: ``[K, Q, ...]``."""
        rows = tensor[self.part].to(dtype or self.dtype)
        missing = self.count * self.chunk - rows.size(0)
        if missing:
            rows = torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])])
        return rows.reshape(self.count, self.chunk, *rows.shape[1:])

    def rows(self, chunks: Tensor) -> Tensor:
        """Undo `chunks`."""
        return chunks.flatten(0, 1)[: self.part.stop - self.part.start]

    def inner(self, mixed: Tensor) -> Tensor:
        """What tokens read that tokens of their own chunk wrote: ``[K, Q, H, P]``."""
        return (mixed @ self.w_heads).transpose(1, 2)

    def hand_on(self, state: Tensor) -> None:
        """States at the borders of the chunks, from the one before the block."""
        last = self.s[:, -1:]
        self.kept = (last - self.s).exp_() * self.same[:, -1].unsqueeze(-1)  # [K, Q, H]
        self.shrink = last.exp() * self.goes_on[:, -1:]  # [K, 1, H]
        self.read = self.s.exp() * self.goes_on  # [K, Q, H]
        self.w_kept = (self.w * self.kept.unsqueeze(-1)).flatten(2)  # [K, Q, H * P]
        written = self.b.transpose(1, 2) @ self.w_kept  # [K, N, H * P]
        self.states = recur(self.wide(self.shrink), written, state)

    def wide(self, factor: Tensor) -> Tensor:
        """One number per head for each of its channels."""
        return factor.repeat_interleave(self.w.size(-1), -1)

    def outer(self) -> Tensor:
        """What tokens read that the chunks before have left: ``[K, Q, H, P]``."""
        left = (self.c @ self.states[:-1]).view(self.w.shape)
        return left * self.read.unsqueeze(-1)


def recur(factor: Tensor, added: Tensor, state: Tensor) -> Tensor:
    """``h[0] = state, h[k + 1] = factor[k] h[k] + added[k]``, all of them.

    Step by step on a CPU; elsewhere by doubling, since launches cost more than work.

    Shapes:
        factor: ``[K, 1, channels]``. added: ``[K, num_states, channels]``.
        state: ``[num_states, channels]``.
        returns: ``[K + 1, num_states, channels]``.
    """
    out = torch.cat([state.unsqueeze(0), added])
    if added.device.type == "cpu":
        for k in range(added.size(0)):
            out[k + 1].addcmul_(factor[k], out[k])
        return out
    return recur_by_doubling(factor, out)


def recur_by_doubling(factor: Tensor, out: Tensor) -> Tensor:
    """As `recur`, from the first state and what is added in one tensor."""
    factor, reach = torch.cat([torch.ones_like(factor[:1]), factor]), 1
    while reach < out.size(0):
        out = torch.cat([out[:reach], torch.addcmul(out[reach:], factor[reach:], out[:-reach])])
        factor = torch.cat([factor[:reach], factor[reach:] * factor[:-reach]])
        reach *= 2
    return out
