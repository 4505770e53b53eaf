"""Sparse times dense, with exact gradients to the dense operand and to the values.

``out[i] = sum_j values[i, j] * x[j]``. No tensor of entries x channels and no dense N x N is made
by the ``csr`` back-end, forwards or backwards: the gradient to ``x`` is a product with the
transpose, that to the values a dot product of two rows for each entry.
"""

import warnings

import torch
from torch import Tensor
from torch.nn import functional as F

from gnnzoo.ops import backends
from gnnzoo.ops.matrix import SparseMatrix
from gnnzoo.ops.operator import Operator, refuse_double_backward

CHUNK_ELEMENTS = 1 << 22  # floats per gathered block when values get a gradient the portable way
VECTOR_BYTES = 32

with warnings.catch_warnings():  # torch announces once per process that CSR tensors are in beta
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor([0, 0], [], torch.empty(0), (1, 1))


def spmm(matrix: SparseMatrix, x: Tensor) -> Tensor:
    """Product of a sparse matrix and a dense one.

    Half-precision `x` is multiplied in float32; the result is float32 under autocast and has the
    type of `x` otherwise.

    Shapes:
        matrix: ``[num_rows, num_cols]``.
        x: ``[num_cols, channels]``, floating point.
        returns: ``[num_rows, channels]``.

    Raises:
        ValueError: If the shapes, or the devices, do not fit.
        RuntimeError: On a second derivative.
    """
    check_operand(matrix, x)
    dense = x.to(compute_dtype(x)).contiguous()
    matrix = matrix.astype(dense.dtype)
    csr = matrix.csr
    if torch.is_grad_enabled() and (dense.requires_grad or matrix.values.requires_grad):
        other = matrix.transposed()
        out = _spmm(
            dense, matrix.values, csr.rowptr, csr.col,
            other.values, other.csr.rowptr, other.csr.col, csr.row,
        )  # fmt: skip
    else:
        out = _spmm(dense, matrix.values, csr.rowptr, csr.col, None, None, None, None)
    return restore_dtype(out, x)


def check_operand(matrix: SparseMatrix, x: Tensor) -> None:
    if x.dim() != 2 or x.size(0) != matrix.shape[1]:
        raise ValueError(
            f"x must have shape [{matrix.shape[1]}, channels] for a sparse matrix of shape "
            f"{list(matrix.shape)}, got {list(x.shape)}"
        )
    if not x.is_floating_point():
        raise ValueError(f"x must be floating point, got {x.dtype}")
    if x.device != matrix.device:
        raise ValueError(f"x is on {x.device}, the graph on {matrix.device}; move one of them")


def compute_dtype(x: Tensor) -> torch.dtype:
    """The type a product is computed in: float64 stays, everything else is float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def restore_dtype(out: Tensor, x: Tensor) -> Tensor:
    return out if torch.is_autocast_enabled(x.device.type) else out.to(x.dtype)


def multiply(
    x: Tensor, values: Tensor, rowptr: Tensor, col: Tensor, out: Tensor, beta: float = 0.0
) -> Tensor:
    """``out = beta * out + matrix @ x``, without autograd; `out` is written in place.

    Shapes:
        x: ``[num_cols, channels]``, contiguous.
        out: ``[num_rows, channels]``, contiguous.
    """
    if out.numel() == 0 or col.numel() == 0:
        return out.mul_(beta) if beta else out.zero_()
    name = backends.choose("spmm", x.device)
    if name == "csr":
        shape = (out.size(0), x.size(0))
        matrix = torch.sparse_csr_tensor(rowptr, col, values, shape, check_invariants=False)
        return out.addmm_(matrix, x, beta=beta)
    messages = x.index_select(0, col) * values.unsqueeze(-1)  # [num_entries, channels]
    out = out.mul_(beta) if beta else out.zero_()
    if name == "scatter":
        from torch_scatter import segment_csr

        return out.add_(segment_csr(messages, rowptr.long(), reduce="sum"))
    return out.index_add_(0, expand(rowptr, col), messages)


def expand(rowptr: Tensor, col: Tensor) -> Tensor:
    """``[num_entries]``: row of each entry."""
    rows = torch.arange(rowptr.numel() - 1, dtype=rowptr.dtype, device=rowptr.device)
    counts = (rowptr[1:] - rowptr[:-1]).long()
    return rows.repeat_interleave(counts, output_size=col.numel())


def edge_dot(left: Tensor, right: Tensor, rowptr: Tensor, col: Tensor, row: Tensor) -> Tensor:
    """Dot product ``<left[row], right[col]>`` for every entry of a pattern, without autograd.

    Shapes:
        left: ``[num_rows, channels]``.
        right: ``[num_cols, channels]``.
        returns: ``[num_entries]``.
    """
    out = left.new_empty(col.numel())
    if out.numel() == 0 or left.size(1) == 0:
        return out.zero_()
    if backends.choose("edge_dot", left.device) == "csr":
        shape = (left.size(0), right.size(0))
        left, right = _whole_vectors(left), _whole_vectors(right)
        pattern = torch.sparse_csr_tensor(rowptr, col, out.zero_(), shape, check_invariants=False)
        return torch.sparse.sampled_addmm(pattern, left, right.t(), beta=0.0).values()
    step = max(CHUNK_ELEMENTS // left.size(1), 1)
    for start in range(0, out.numel(), step):
        part = slice(start, start + step)
        product = left.index_select(0, row[part]).mul_(right.index_select(0, col[part]))
        torch.sum(product, 1, out=out[part])
    return out


def _whole_vectors(x: Tensor) -> Tensor:
    """Zero channels added until a row is whole vector registers, on a CPU.

    The library's dot product treats the channels that are left over one by one, each of them as
    slowly as 64 others together.
    """
    lanes = VECTOR_BYTES // x.element_size()
    left_over = x.size(1) % lanes
    if x.device.type != "cpu" or not left_over:
        return x
    return F.pad(x, (0, lanes - left_over))


def _forward(
    x: Tensor,
    values: Tensor,
    rowptr: Tensor,
    col: Tensor,
    values_t: Tensor | None,
    rowptr_t: Tensor | None,
    col_t: Tensor | None,
    row: Tensor | None,
) -> Tensor:
    return multiply(x, values, rowptr, col, x.new_empty(rowptr.numel() - 1, x.size(1)))


def _save(ctx, inputs, output) -> None:
    x, *pattern = inputs
    ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, *pattern)


def _backward(ctx, grad):
    x, _, rowptr, col, values_t, rowptr_t, col_t, row = ctx.saved_tensors
    grad = grad.contiguous()
    grad_x = grad_values = None
    if ctx.needs_input_grad[0]:
        grad_x = _spmm_backward(grad, values_t, rowptr_t, col_t)
    if ctx.needs_input_grad[1]:
        grad_values = _edge_dot(grad, x, rowptr, col, row)
    return grad_x, grad_values, None, None, None, None, None, None


def _transposed(grad: Tensor, values: Tensor, rowptr: Tensor, col: Tensor) -> Tensor:
    return multiply(grad, values, rowptr, col, grad.new_empty(rowptr.numel() - 1, grad.size(1)))


_spmm = Operator(
    "gnnzoo::spmm",
    _forward,
    lambda x, values, rowptr, *_: x.new_empty(rowptr.numel() - 1, x.size(1)),
    _backward,
    _save,
)
_spmm_backward = Operator(
    "gnnzoo::spmm_backward",
    _transposed,
    lambda grad, values, rowptr, col: grad.new_empty(rowptr.numel() - 1, grad.size(1)),
    refuse_double_backward,
)
_edge_dot = Operator(
    "gnnzoo::edge_dot",
    edge_dot,
    lambda left, right, rowptr, col, row: left.new_empty(col.numel()),
    refuse_double_backward,
)
