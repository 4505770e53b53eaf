r"""Softmax over each row of a pattern and the weighted sum it stands for, as one operator.

.. math::
    l_{ij} = \mathrm{LeakyReLU}(t_i + s_j), \quad
    a_{ij} = \frac{w_{ij} e^{l_{ij}}}{\sum_k w_{ik} e^{l_{ik}}}, \quad
    o_i = \sum_j m_{ij}\, a_{ij}\, x_j

Backward, with the gradients :math:`g_i` to :math:`o_i`:

.. math::
    \partial L / \partial l_{ij}
    = a_{ij} (m_{ij} \langle g_i, x_j \rangle - \langle g_i, o_i \rangle)

so the sum over a row that every softmax needs backwards is a dot product with a row of the result,
with dropout (the factors m) or without.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from gnnzoo.ops import backends
from gnnzoo.ops.csr import CSR
from gnnzoo.ops.operator import Operator, refuse_double_backward
from gnnzoo.ops.spmm import compute_dtype, edge_dot, multiply

CLOSE = 30.0  # exp(-30) is far from the smallest number of float32


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
    """``[num_rows]``: a product with ones, which is faster than a reduction by segments."""
    ones, shape = values.new_ones(num_cols), (rowptr.numel() - 1, num_cols)
    if backends.choose("spmm", values.device) == "csr" and values.numel():
        matrix = torch.sparse_csr_tensor(rowptr, col, values, shape, check_invariants=False)
        return torch.mv(matrix, ones)  # twice as fast as a product of width 1
    out = values.new_empty(shape[0], 1)
    return multiply(ones.unsqueeze(1), values, rowptr, col, out).squeeze(1)


def _forward(
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
) -> tuple[Tensor, Tensor, Tensor]:
    """The result; and for the backward pass t_i + s_j and a_ij without its factor w_ij."""
    logits = source.index_select(0, col).add_(target.index_select(0, row))
    share = F.leaky_relu(logits, negative_slope)
    shift = _shift(share, weight, rowptr, row)
    share.sub_(shift)
    if weight is not None:
        share.clamp_max_(CLOSE)  # an entry of weight 0, which the shift does not see
    share.exp_()
    total = _row_sums(share if weight is None else share * weight, rowptr, col, x.size(0))
    share.mul_(torch.where(total > 0, total, 1.0).reciprocal_().index_select(0, row))
    attention = _product(share, weight, factor)
    out = multiply(x, attention, rowptr, col, x.new_empty(total.numel(), x.size(1)))
    return out, logits, share


def _shift(logits: Tensor, weight: Tensor | None, rowptr: Tensor, row: Tensor) -> Tensor:
    """What is taken off the logits so that no exponential overflows and no row of them vanishes.

    Softmax does not mind which constant. Where all logits are close, one does for every row; on
    other devices than a CPU finding that out would wait for the device. Entries of weight 0 do not
    count: beside a large one of them all others would vanish.
    """
    if weight is not None:
        logits = logits.masked_fill(weight == 0, torch.finfo(logits.dtype).min)
    if logits.device.type == "cpu" and logits.numel():
        low, high = logits.aminmax()
        if high - low <= CLOSE:
            return high
    peak = torch.segment_reduce(logits, "max", offsets=rowptr, unsafe=True)
    return peak.index_select(0, row)


def _product(share: Tensor, *factors: Tensor | None) -> Tensor:
    for factor in factors:
        share = share if factor is None else share * factor
    return share


def _fake(
    x, source, target, weight, factor, rowptr, col, row, rowptr_t, col_t, perm, negative_slope
):
    logits = x.new_empty(col.numel())
    return x.new_empty(target.numel(), x.size(1)), logits, torch.empty_like(logits)


def _gradients(
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
    logits: Tensor,
    share: Tensor,
    negative_slope: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients to x, source, target and the weights (empty where there are none)."""
    num_rows, num_cols = grad.size(0), x.size(0)
    inner = edge_dot(grad, x, rowptr, col, row)
    inner = inner if factor is None else inner.mul_(factor)
    from_row = torch.mv(grad * out, grad.new_ones(grad.size(1)))  # faster than a sum of few columns
    inner.sub_(from_row.index_select(0, row)).mul_(share)
    grad_weight = inner.new_empty(0) if weight is None else inner
    inner = _product(inner, weight)
    inner = torch.ops.aten.leaky_relu_backward(inner, logits, negative_slope, False)
    target = _row_sums(inner, rowptr, col, num_cols)
    source = _row_sums(inner.index_select(0, perm), rowptr_t, col_t, num_rows)
    attention = _product(share, weight, factor).index_select(0, perm)
    grad_x = multiply(grad, attention, rowptr_t, col_t, torch.empty_like(x))
    return grad_x, source, target, grad_weight


def _fake_gradients(
    grad, x, weight, factor, rowptr, col, row, rowptr_t, col_t, perm, out, logits, share,
    negative_slope,
):  # fmt: skip
    source, target = x.new_empty(x.size(0)), x.new_empty(grad.size(0))
    grad_weight = share.new_empty(0 if weight is None else share.numel())
    return torch.empty_like(x), source, target, grad_weight


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


_attend = Operator("gnnzoo::attend", _forward, _fake, _backward, _save)
_attend_backward = Operator(
    "gnnzoo::attend_backward", _gradients, _fake_gradients, refuse_double_backward
)
