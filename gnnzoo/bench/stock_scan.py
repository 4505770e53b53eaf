"""The selective scan in plain PyTorch as small Mamba implementations run it: a parallel scan.

What makes it slow is followed on purpose: decays and inputs of every token, channel and state are
spelt out, filled up to a power of two, and combined in a tree of strided views.
"""

import torch
from torch import Tensor


def stock_selective_scan(
    u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor
) -> Tensor:
    r"""``h_t = exp(dt_t a) h_{t-1} + dt_t u_t b_t``, ``y_t = h_t c_t + d u_t`` of one sequence.

    Paper: "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (Gu and Dao, 2023),
    https://arxiv.org/abs/2312.00752, with the scan of "Prefix Sums and Their Applications"
    (Blelloch, 1990).

    Shapes:
        u, dt: ``[num_tokens, channels]``. a: ``[channels, num_states]``.
        b, c: ``[num_tokens, num_states]``. d: ``[channels]``.
        returns: as `u`.
    """
    decay = torch.exp(dt.unsqueeze(-1) * a)  # [num_tokens, channels, num_states]
    written = (dt.unsqueeze(-1) * b.unsqueeze(1)) * u.unsqueeze(-1)
    h = ParallelScan.apply(decay, written)
    return (h @ c.unsqueeze(-1)).squeeze(-1) + d * u


class ParallelScan(torch.autograd.Function):
    """``h_t = decay_t h_{t-1} + x_t`` along the first axis, forwards and backwards by a tree."""

    @staticmethod
    def forward(ctx, decay: Tensor, x: Tensor) -> Tensor:
        num_tokens = x.size(0)
        h = scan_in_place(_padded(decay), _padded(x))
        ctx.save_for_backward(decay, h)
        return h[:, :num_tokens].transpose(0, 1)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        decay, h = ctx.saved_tensors
        num_tokens = grad.size(0)
        later = torch.cat([decay[1:], torch.zeros_like(decay[:1])])
        total = scan_in_place(_padded(later.flip(0)), _padded(grad.flip(0)))
        total = total[:, :num_tokens].flip(1)  # [channels, num_tokens, num_states]
        grad_decay = torch.zeros_like(total)
        grad_decay[:, 1:] = h[:, : num_tokens - 1] * total[:, 1:]
        return grad_decay.transpose(0, 1), total.transpose(0, 1)


def _padded(tensor: Tensor) -> Tensor:
    """Channels first, tokens filled up with zeros to a power of two, in fresh memory."""
    length = 1 << max(tensor.size(0) - 1, 0).bit_length()
    out = tensor.new_zeros(tensor.size(1), length, tensor.size(2))
    out[:, : tensor.size(0)] = tensor.transpose(0, 1)
    return out


def scan_in_place(decay: Tensor, x: Tensor) -> Tensor:
    """The scan along axis 1, whose length is a power of two; both operands are overwritten.

    Shapes:
        decay, x: ``[channels, length, num_states]``.
    """
    length, step = x.size(1), 1
    while step < length:  # up: every second node of a level takes in its left neighbour
        left, right = slice(step - 1, None, 2 * step), slice(2 * step - 1, None, 2 * step)
        x[:, right].addcmul_(decay[:, right], x[:, left])
        decay[:, right].mul_(decay[:, left])
        step *= 2
    step //= 4
    while step >= 1:  # down: the others take in what lies before them
        left, right = slice(2 * step - 1, -1, 2 * step), slice(3 * step - 1, None, 2 * step)
        count = x[:, right].size(1)
        x[:, right].addcmul_(decay[:, right], x[:, left][:, :count])
        decay[:, right].mul_(decay[:, left][:, :count])
        step //= 2
    return x
