r"""Inverse square roots of symmetric 2 x 2 and 3 x 3 matrices in closed form, many at a time.

Matrices lie here with their entries first, ``[dim, dim, num]``, in float64: formulas in the
invariants of a matrix lose digits with the square of its condition, which float64 can spare where
the matrix itself is known in float32.

Gradients read the root alone. For :math:`S = A^{-1/2}` with eigenvalues :math:`\sigma_i` and
:math:`C` the symmetric part of the gradient to :math:`S`, the gradient to :math:`A` is
:math:`-\sigma_i^2 \sigma_j^2 / (\sigma_i + \sigma_j) \, C_{ij}` in the basis of eigenvectors; below
this is written without eigenvectors, and so without a case for repeated eigenvalues.
"""

import math

import torch
from torch import Tensor


def closed_root(matrices: Tensor) -> Tensor:
    """Inverse square root of positive definite matrices, ``[dim, dim, num]``, `dim` 2 or 3."""
    return (_root_of_two if matrices.size(0) == 2 else _root_of_three)(matrices)


def closed_root_backward(root: Tensor, grad: Tensor) -> Tensor:
    """Gradient to the matrices of `closed_root` from their root and a symmetric gradient to it."""
    return (_backward_of_two if root.size(0) == 2 else _backward_of_three)(root, grad)


def _root_of_two(a: Tensor) -> Tensor:
    root_det = _minors_of_two(a).sqrt()
    root_trace = (a[0, 0] + a[1, 1] + 2.0 * root_det).sqrt()  # trace of the square root
    adjugate = torch.stack([a[1, 1], -a[0, 1], -a[1, 0], a[0, 0]]).view_as(a)
    _add_to_diagonal(adjugate, root_det)
    return adjugate.div_(root_det * root_trace)


def _minors_of_two(a: Tensor) -> Tensor:
    return a[0, 0] * a[1, 1] - a[0, 1] * a[1, 0]


def _backward_of_two(s: Tensor, c: Tensor) -> Tensor:
    inner = product(product(s, c), s)
    outer = product(product(s, inner), s)
    return (outer + _minors_of_two(s) * inner) / (-2.0 * (s[0, 0] + s[1, 1]))


def _root_of_three(a: Tensor) -> Tensor:
    """By Cayley and Hamilton: with the invariants of :math:`R = A^{1/2}`, ``first`` to ``third``,
    :math:`R (A + second I) = first A + third I`."""
    r = _eigenvalues(a).sqrt_()
    first, third = r.sum(0), r.prod(0)
    second = r[0] * (r[1] + r[2]) + r[1] * r[2]
    denominator = first * a
    _add_to_diagonal(denominator, third)
    cofactors = _cofactors(denominator)
    numerator = a.clone()
    _add_to_diagonal(numerator, second)
    s = product(numerator, cofactors) / (denominator[0] * cofactors[0]).sum(0)
    return 0.5 * (s + s.transpose(0, 1))


def _eigenvalues(a: Tensor) -> Tensor:
    """``[3, num]``, largest first, by the cosine formula for the roots of a cubic."""
    mean = a.diagonal(dim1=0, dim2=1).sum(-1) / 3.0
    b = a.clone()
    _add_to_diagonal(b, -mean)
    size = ((b * b).sum((0, 1)) / 6.0).sqrt()
    b /= size.clamp_min(torch.finfo(a.dtype).tiny)  # all three equal: b is zero, and so is size
    half_det = 0.5 * (b[0] * _cofactors(b)[0]).sum(0)
    angle = half_det.clamp_(-1.0, 1.0).acos() / 3.0
    turns = torch.tensor([0.0, 4.0, 2.0], dtype=a.dtype, device=a.device) * (math.pi / 3.0)
    values = mean + 2.0 * size * (angle + turns.unsqueeze(1)).cos()
    return values.clamp_min_(torch.finfo(a.dtype).tiny)


def _backward_of_three(s: Tensor, c: Tensor) -> Tensor:
    """With the invariants of S. ``outside`` is right where i and j differ; ``z``, C times the
    divided difference of the characteristic polynomial, is zero there and mends the diagonal."""
    square = product(s, s)
    first, second = s.diagonal(dim1=0, dim2=1).sum(-1), _second(s, square)
    third = (s[0] * _cofactors(s)[0]).sum(0)
    sc = product(s, c)
    scs, both = product(sc, s), sc + sc.transpose(0, 1)
    outside = second**2 * scs - (second * third) * both + third**2 * c
    ssc = product(s, sc)
    z = ssc + ssc.transpose(0, 1) + scs - first * both + second * c
    sz = product(s, z)
    mended = second * product(sz, s) - 0.5 * third * (sz + sz.transpose(0, 1))
    return (outside + 0.5 * mended) / (third - first * second)


def _second(a: Tensor, square: Tensor) -> Tensor:
    trace = a.diagonal(dim1=0, dim2=1).sum(-1)
    return 0.5 * (trace * trace - square.diagonal(dim1=0, dim2=1).sum(-1))


def product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` with entries first, term by term: at these sizes faster than by library."""
    out = a[:, 0].unsqueeze(1) * b[0].unsqueeze(0)
    for k in range(1, b.size(0)):
        out.addcmul_(a[:, k].unsqueeze(1), b[k].unsqueeze(0))
    return out


def _cofactors(a: Tensor) -> Tensor:
    """Of 3 x 3 matrices; rows and columns go on in a cycle."""
    a = torch.cat([a, a[:2]])
    a = torch.cat([a, a[:, :2]], dim=1)
    return a[1:4, 1:4] * a[2:, 2:] - a[1:4, 2:] * a[2:, 1:4]


def _add_to_diagonal(a: Tensor, value: Tensor) -> None:
    a.diagonal(dim1=0, dim2=1).add_(value.unsqueeze(1))
