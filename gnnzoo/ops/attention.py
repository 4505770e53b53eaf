r"""Softmax over each row of a pattern and the weighted sum it stands for, as one operator.

.. math::
    l_{ij} = \mathrm{LeakyReLU}(t_i + s_j), \quad p_{ij} = w_{ij} e^{l_{ij} - \max_j l_{ij}},
    \quad Z_i = \sum_j p_{ij}, \quad o_i = Z_i^{-1} \sum_j m_{ij}\, p_{ij}\, x_j

Backward, with :math:`g_i = Z_i^{-1}\, \partial L / \partial o_i`:

.. math::
    \partial L / \partial p_{ij} = m_{ij} \langle g_i, x_j \rangle - \langle g_i, o_i \rangle

so the sum over a row that every softmax needs backwards is a dot product of two rows of the result,
with dropout (the factors m) or without.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from gnnzoo.ops.csr import CSR
from gnnzoo.ops.spmm import compute_dtype, edge_dot, multiply, refuse_double_backward


def attend(
    csr: CSR,
    x: Tensor,
    source: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    factor: Tensor | None = None,
    negative_slope: float = 0.2,
) -> Tensor:
    """Average of the rows of `x` that each row of a pattern lists, weighed by attention.

    No tensor of entries x channels is made, forwards or backwards. Several heads are one call:
    see `CSR.interleaved`.

    Args:
        csr: Who attends to whom; rows attend.
        x: What is averaged.
        source: Score of each column, s.
        target: Score of each row, t.
        weight: Factors w of the exponentials, not negative; they count in the sum Z too. A row
            whose weights are all 0 gets zeros.
        factor: Factors m of the normalised attention, such as dropout's. They get no gradient.
        negative_slope: Slope of the LeakyReLU below zero.

    Shapes:
        csr: ``[num_rows, num_cols]``.
        x: ``[num_cols, channels]``, floating point; half precision is computed in float32.
        source: ``[num_cols]``. target: ``[num_rows]``.
        weight, factor: ``[num_entries]``.
        returns: ``[num_rows, channels]``, float32 or float64; zeros in a row without entries.

    Raises:
        ValueError: If a shape does not fit.
        RuntimeError: On a second derivative.
    """
    sizes = {"source": csr.num_cols, "target": csr.num_rows}
    sizes |= {"weight": csr.num_entries, "factor": csr.num_entries}
    given = {"source": source, "target": target, "weight": weight, "factor": factor}
    for name, value in given.items():
        if value is not None and value.shape != (sizes[name],):
            raise ValueError(f"{name} must have shape [{sizes[name]}], got {list(value.shape)}")
    if x.dim() != 2 or x.size(0) != csr.num_cols:
        raise ValueError(f"x must have shape [{csr.num_cols}, channels], got {list(x.shape)}")
    dtype = compute_dtype(x)
    tensors = [None if t is None else t.to(dtype).contiguous() for t in (x, *given.values())]
    tail = (None, None, None)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        other, perm = csr.transposed()
        tail = (other.rowptr, other.col, perm)
    return _attend(*tensors, csr.rowptr, csr.col, csr.row, *tail, negative_slope)[0]


def _row_sums(values: Tensor, rowptr: Tensor, col: Tensor, num_cols: int) -> Tensor:
    """``[num_rows]``: a product with ones, which is faster than any reduction by segments."""
    out = values.new_empty(rowptr.numel() - 1, 1)
    return multiply(values.new_ones(num_cols, 1), values, rowptr, col, out).squeeze(1)


@torch.library.custom_op("gnnzoo::attend", mutates_args=())
def _attend(
    x: Tensor,
    source: Tensor,
    target: Tensor,
    weight: Tensor | None,
    factor: Tensor | None,
    rowptr: Tensor,
    col: Tensor,
    row: Tensor,
    rowptr_t: Tensor | None,
    col_t: Tensor | None,
    perm: Tensor | None,
    negative_slope: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The result; and for the backward pass the exponentials, which logits are positive, 1 / Z."""
    logits = source.index_select(0, col).add_(target.index_select(0, row))
    positive = logits > 0
    share = F.leaky_relu_(logits, negative_slope)
    peak = torch.segment_reduce(share, "max", offsets=rowptr, unsafe=True)
    share = share.sub_(peak.index_select(0, row)).exp_()
    attention = share if weight is None else share * weight
    total = _row_sums(attention, rowptr, col, x.size(0))
    scale = torch.where(total > 0, total, 1.0).reciprocal_()
    attention = attention if factor is None else attention * factor
    out = multiply(x, attention, rowptr, col, x.new_empty(total.numel(), x.size(1)))
    return out.mul_(scale.unsqueeze(1)), share, positive, scale


@_attend.register_fake
def _(x, source, target, weight, factor, rowptr, col, row, rowptr_t, col_t, perm, negative_slope):
    share = x.new_empty(col.numel())
    out = x.new_empty(target.numel(), x.size(1))
    return out, share, torch.empty_like(share, dtype=torch.bool), torch.empty_like(target)


@torch.library.custom_op("gnnzoo::attend_backward", mutates_args=())
def _attend_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor | None,
    factor: Tensor | None,
    rowptr: Tensor,
    col: Tensor,
    row: Tensor,
    rowptr_t: Tensor,
    col_t: Tensor,
    perm: Tensor,
    out: Tensor,
    share: Tensor,
    positive: Tensor,
    scale: Tensor,
    negative_slope: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients to x, source, target and the weights (empty where there are none)."""
    num_rows = grad.size(0)
    grad = grad * scale.unsqueeze(1)
    inner = edge_dot(grad, x, rowptr, col, row)
    inner = inner if factor is None else inner.mul_(factor)
    inner.sub_((grad * out).sum(1).index_select(0, row)).mul_(share)
    logits = inner if weight is None else inner * weight
    logits = torch.where(positive, logits, logits * negative_slope)
    attention = share if weight is None else share * weight
    attention = attention if factor is None else attention * factor
    grad_x = multiply(grad, attention.index_select(0, perm), rowptr_t, col_t, torch.empty_like(x))
    source = _row_sums(logits.index_select(0, perm), rowptr_t, col_t, num_rows)
    target = _row_sums(logits, rowptr, col, x.size(0))
    return grad_x, source, target, inner.new_empty(0) if weight is None else inner


@_attend_backward.register_fake
def _(
    grad, x, weight, factor, rowptr, col, row, rowptr_t, col_t, perm, out, share, positive, scale,
    negative_slope,
):  # fmt: skip
    source, target = x.new_empty(x.size(0)), torch.empty_like(scale)
    return torch.empty_like(x), source, target, share.new_empty(0 if weight is None else len(share))


def _save(ctx, inputs, output) -> None:
    x, _, _, *rest, ctx.negative_slope = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)
    ctx.has_weight = rest[0] is not None
    ctx.save_for_backward(x, *rest, *output)


def _backward(ctx, grad, *_):
    if grad is None:
        return (None,) * 12
    grad_x, source, target, weight = _attend_backward(
        grad.contiguous(), *ctx.saved_tensors, ctx.negative_slope
    )
    return grad_x, source, target, weight if ctx.has_weight else None, *[None] * 8


_attend.register_autograd(_backward, setup_context=_save)
_attend_backward.register_autograd(refuse_double_backward)
