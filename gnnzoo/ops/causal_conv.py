r"""A short convolution of each channel over the tokens before, within their sequence.

.. math:: y_t = \beta + \sum_{j=0}^{W-1} w_{W-1-j} \odot x_{t-j} \, [\mathrm{pos}_t \ge j]

As many shifted products as the window is wide, some rows at a time while they are in the cache.
"""

import torch
from torch import Tensor

from gnnzoo.ops.operator import Operator, refuse_double_backward
from gnnzoo.ops.sequences import Sequences, as_sequences
from gnnzoo.ops.spmm import compute_dtype
from gnnzoo.ops.ssd import check_shapes
from gnnzoo.ops.ssd_block import blocks

BLOCK_CELLS = {"cpu": 1 << 16, "cuda": 1 << 27}  # rows x channels of a block


def causal_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    seg: Tensor | Sequences | None = None,
) -> Tensor:
    """Depthwise convolution that sees a token and those shortly before it, never another sequence.

    Computed in float32, or float64 for float64 input.

    Args:
        x: Features of the tokens.
        weight: Factors of each channel, that of the token itself last.
        bias: Added to each channel, or None.
        seg: The sequence of each token, not decreasing, or `Sequences`; None for one sequence.

    Shapes:
        x: ``[num_tokens, channels]``. weight: ``[channels, width]``. bias: ``[channels]``.
        seg: ``[num_tokens]``.
        returns: as `x`.

    Raises:
        ValueError: If shapes or devices do not fit.
        RuntimeError: On a second derivative.
    """
    if x.dim() != 2 or weight.dim() != 2:
        raise ValueError(
            "x must have shape [num_tokens, channels] and weight [channels, width], "
            f"got {list(x.shape)} and {list(weight.shape)}"
        )
    wanted = {"weight": (weight, (x.size(1), weight.size(1)))}
    check_shapes(x, wanted if bias is None else wanted | {"bias": (bias, (x.size(1),))})
    sequences = as_sequences(seg, x.size(0), x.device)
    with torch.autocast(x.device.type, enabled=False):
        return _conv(x, weight, bias, sequences.position)


def _rows(x: Tensor) -> int:
    cells = BLOCK_CELLS.get(x.device.type, BLOCK_CELLS["cpu"])
    return max(cells // max(x.size(1), 1), 1)


def _forward(x: Tensor, weight: Tensor, bias: Tensor | None, position: Tensor) -> Tensor:
    out, dtype = torch.empty_like(x), compute_dtype(x)
    factors = weight.t().to(dtype).flip(0).contiguous()  # [width, channels], own token first
    for part in blocks(x.size(0), _rows(x)):
        near = x[max(part.start - len(factors) + 1, 0) : part.stop].to(dtype)
        seen, length = position[part].unsqueeze(1), part.stop - part.start
        total = near[near.size(0) - length :] * factors[0]
        for back, factor in enumerate(factors[1:], 1):
            before = _before(near, length, back)
            count = before.size(0)
            total[length - count :] += (before * factor).mul_(seen[length - count :] >= back)
        out[part] = total if bias is None else total.add_(bias)
    return out


def _before(near: Tensor, length: int, back: int) -> Tensor:
    """The rows `back` before the last `length` ones, without those that do not exist."""
    return near[max(near.size(0) - length - back, 0) : max(near.size(0) - back, 0)]


def _fake(x, weight, bias, position):
    return torch.empty_like(x)


def _gradients(
    grad: Tensor, x: Tensor, weight: Tensor, position: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients to x, the weight and a bias."""
    dtype = compute_dtype(x)
    factors = weight.t().to(dtype).flip(0).contiguous()
    grad_x, grad_factors = torch.empty_like(x), torch.zeros_like(factors)
    grad_bias = torch.zeros_like(factors[0])
    for part in blocks(x.size(0), _rows(x)):
        # All later tokens that see the block's.
        later = slice(part.start, min(part.stop + len(factors) - 1, x.size(0)))
        dy, seen = grad[later].to(dtype), position[later].unsqueeze(1)
        length, own = part.stop - part.start, x[part].to(dtype)
        total = torch.zeros_like(own)
        for back, factor in enumerate(factors):
            reach = dy[back : back + length]
            count = reach.size(0)
            reach = reach * (seen[back : back + length] >= back) if back else reach
            total[:count].addcmul_(reach, factor)
            grad_factors[back] += (reach * own[:count]).sum(0)
        grad_bias += dy[:length].sum(0)
        grad_x[part] = total
    return grad_x, grad_factors.flip(0).t().to(weight.dtype).contiguous(), grad_bias


def _fake_gradients(grad, x, weight, position):
    return torch.empty_like(x), torch.empty_like(weight), weight.new_empty(weight.size(0))


def _save(ctx, inputs, output):
    x, weight, bias, position = inputs
    ctx.save_for_backward(x, weight, position)
    ctx.bias_dtype = None if bias is None else bias.dtype


def _backward(ctx, grad):
    grad_x, grad_weight, grad_bias = _conv_backward(grad, *ctx.saved_tensors)
    return grad_x, grad_weight, grad_bias.to(ctx.bias_dtype) if ctx.bias_dtype else None, None


_conv = Operator("gnnzoo::causal_conv", _forward, _fake, _backward, _save)
_conv_backward = Operator(
    "gnnzoo::causal_conv_backward", _gradients, _fake_gradients, refuse_double_backward
)
