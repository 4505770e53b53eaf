"""Inverse square roots of many small symmetric positive definite matrices.

Everything is computed in float64, whatever comes in and goes out: a hub's matrix may be 10,000
times longer one way than another, and float32 would leave two or three digits of the short way.
"""

import torch
from torch import Tensor

from gnnzoo.ops.closed_roots import closed_root, closed_root_backward
from gnnzoo.ops.operator import Operator, refuse_double_backward
from gnnzoo.ops.spmm import compute_dtype

METHODS = ("eigh", "cholesky")


def inverse_root(matrices: Tensor, method: str = "eigh") -> Tensor:
    r"""A matrix :math:`W` with :math:`W A W^T = I` for each :math:`A`.

    - ``eigh``: the symmetric one, :math:`A^{-1/2}`; in closed form for dim 1 and 2, and for dim 3
      where matrices are not float64. Its gradient, by Daleckii and Krein, is finite for repeated
      eigenvalues too.
    - ``cholesky``: the lower triangular one, :math:`C^{-1}` for :math:`A = C C^T`. It differs from
      the symmetric one by an orthogonal matrix from the left, so :math:`W L W^T` has the same
      spectrum but lies in another basis.

    Only the symmetric part of :math:`A` is read. Half precision comes out as float32. There is no
    second derivative.

    Paper: "Neural Sheaf Diffusion" (Bodnar et al., NeurIPS 2022), normalised sheaf Laplacian,
    https://arxiv.org/abs/2202.04579
    Differs from the official code: neither noise nor clamps are needed for finite gradients.

    Shapes:
        matrices: ``[num, dim, dim]``, floating point, positive definite (not checked: other ones
            give NaN or nonsense; see `pseudo_inverse_root`).
        returns: ``[num, dim, dim]``.

    Raises:
        ValueError: If the shape, the type or the method is wrong.
        RuntimeError: On a second derivative.
    """
    check_matrices(matrices)
    if method not in METHODS:
        names = " or ".join(map(repr, METHODS))
        raise ValueError(f"method of inverse roots must be {names}, got {method!r}")
    matrices = matrices.to(compute_dtype(matrices))
    dim = matrices.size(1)
    if dim == 1:
        return matrices.rsqrt()
    if method == "cholesky":
        return _factor(matrices)
    return _closed(matrices) if _has_closed_root(matrices) else _by_eigenvectors(matrices)[0]


def root_forward(matrices: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The symmetric root of `inverse_root` without autograd, dim 2 and up; `root_gradient` reads
    what comes second."""
    if _has_closed_root(matrices):
        root = _closed_forward(matrices)
        return root, [root]
    root, *kept = _eigh_forward(matrices)
    return root, kept


def root_gradient(grad: Tensor, kept: list[Tensor]) -> Tensor:
    """Gradient to the matrices of `root_forward`."""
    return (_closed_gradient if len(kept) == 1 else _eigh_gradient)(grad, *kept)


def _has_closed_root(matrices: Tensor) -> bool:
    dim = matrices.size(1)
    return dim == 2 or (dim == 3 and matrices.dtype != torch.float64)


@torch.no_grad()
def pseudo_inverse_root(matrices: Tensor) -> Tensor:
    r"""Symmetric root of the pseudo-inverse; without gradient, which does not exist everywhere.

    Eigenvalues up to the largest one times ``dim`` times the precision of the type count as zero
    and stay zero: a zero matrix, as of an isolated node, gives zeros.

    Shapes:
        matrices: ``[num, dim, dim]``, floating point, positive semidefinite.
        returns: ``[num, dim, dim]``.

    Raises:
        ValueError: If the shape or the type is wrong.
    """
    check_matrices(matrices)
    dtype = compute_dtype(matrices)
    values, vectors = torch.linalg.eigh(_symmetric(matrices.double()))
    precision = torch.finfo(matrices.dtype).eps * matrices.size(1)
    floor = values[:, -1:].clamp_min(0.0) * precision
    scale = torch.where(values > floor, values, torch.inf).rsqrt()  # 1 / sqrt(inf) = 0
    return ((vectors * scale.unsqueeze(1)) @ vectors.mT).to(dtype)


def check_matrices(matrices: Tensor) -> None:
    if matrices.dim() != 3 or matrices.size(1) != matrices.size(2) or matrices.size(1) == 0:
        raise ValueError(f"matrices must have shape [num, dim, dim], got {list(matrices.shape)}")
    if not matrices.is_floating_point():
        raise ValueError(f"matrices must be floating point, got {matrices.dtype}")


def _symmetric(a: Tensor) -> Tensor:
    return 0.5 * (a + a.mT)


def _entries_first(matrices: Tensor) -> Tensor:
    """``[num, dim, dim]`` -> symmetric parts ``[dim, dim, num]``, float64."""
    first = matrices.permute(1, 2, 0).to(torch.float64).contiguous()
    return 0.5 * (first + first.transpose(0, 1))


def _entries_last(first: Tensor, like: Tensor) -> Tensor:
    out = like.new_empty(like.shape)
    out.permute(1, 2, 0).copy_(first)
    return out


def _closed_forward(matrices: Tensor) -> Tensor:
    return _entries_last(closed_root(_entries_first(matrices)), matrices)


def _closed_gradient(grad: Tensor, root: Tensor) -> Tensor:
    out = closed_root_backward(_entries_first(root), _entries_first(grad))
    return _entries_last(out, root)


def _eigh_forward(matrices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The root; eigenvectors; square roots of the eigenvalues."""
    values, vectors = torch.linalg.eigh(_symmetric(matrices.double()))
    lengths = values.sqrt()
    root = (vectors / lengths.unsqueeze(1)) @ vectors.mT
    return root.to(matrices.dtype), vectors.contiguous(), lengths


def _eigh_gradient(grad: Tensor, vectors: Tensor, lengths: Tensor) -> Tensor:
    inner = vectors.mT @ _symmetric(grad.double()) @ vectors
    rows, columns = lengths.unsqueeze(2), lengths.unsqueeze(1)
    inner = inner / (rows * columns * (rows + columns))
    return (-vectors @ inner @ vectors.mT).to(grad.dtype)


def _factor_forward(matrices: Tensor) -> Tensor:
    # Not to ask for the status spares a GPU the wait.
    lower = torch.linalg.cholesky_ex(_symmetric(matrices.double())).L
    eye = torch.eye(matrices.size(1), dtype=torch.float64, device=matrices.device)
    inverse = torch.linalg.solve_triangular(lower, eye.expand_as(lower), upper=False)
    return inverse.to(matrices.dtype).contiguous()


def _factor_gradient(grad: Tensor, inverse: Tensor) -> Tensor:
    """From ``d(inverse) = -half(inverse d(matrix) inverse.T) inverse``, where ``half`` keeps the
    lower half and halves the diagonal."""
    wide = inverse.double()
    half = (grad.double() @ wide.mT).tril()
    half.diagonal(dim1=1, dim2=2).mul_(0.5)
    return _symmetric(-wide.mT @ half @ wide).to(grad.dtype)


def _save_output(ctx, inputs, output) -> None:
    ctx.save_for_backward(output)


def _save_eigenvectors(ctx, inputs, output) -> None:
    ctx.save_for_backward(*output[1:])


_closed_backward = Operator(
    "gnnzoo::closed_inverse_root_backward",
    _closed_gradient,
    lambda grad, root: torch.empty_like(root),
    refuse_double_backward,
)
_closed = Operator(
    "gnnzoo::closed_inverse_root",
    _closed_forward,
    lambda matrices: matrices.new_empty(matrices.shape),
    lambda ctx, grad: _closed_backward(grad, *ctx.saved_tensors),
    _save_output,
)
_eigh_backward = Operator(
    "gnnzoo::eigh_inverse_root_backward",
    _eigh_gradient,
    lambda grad, vectors, lengths: grad.new_empty(grad.shape),
    refuse_double_backward,
)
_by_eigenvectors = Operator(
    "gnnzoo::eigh_inverse_root",
    _eigh_forward,
    lambda matrices: (
        matrices.new_empty(matrices.shape),
        matrices.new_empty(matrices.shape, dtype=torch.float64),
        matrices.new_empty(matrices.shape[:2], dtype=torch.float64),
    ),
    lambda ctx, grad, *_: _eigh_backward(grad, *ctx.saved_tensors),
    _save_eigenvectors,
)
_factor_backward = Operator(
    "gnnzoo::inverse_factor_backward",
    _factor_gradient,
    lambda grad, inverse: torch.empty_like(inverse),
    refuse_double_backward,
)
_factor = Operator(
    "gnnzoo::inverse_factor",
    _factor_forward,
    lambda matrices: matrices.new_empty(matrices.shape),
    lambda ctx, grad: _factor_backward(grad, *ctx.saved_tensors),
    _save_output,
)
