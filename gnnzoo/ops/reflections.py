"""Products of Householder reflections, many small ones at a time.

Matrices lie here with their entries first, ``[dim, dim, num]``: every operation then runs over
whole vectors of `num` numbers, and how many operations there are does not depend on `num`.
"""

import torch
from torch import Tensor


def reflect(params: Tensor, dim: int) -> Tensor:
    r"""The product :math:`H_1 H_2 \dots H_d` of all `dim` reflections.

    Shapes:
        params: ``[dim * (dim - 1) / 2, num]``, the entries below the diagonal, row by row.
        returns: ``[dim, dim, num]``.
    """
    vectors, scale = _vectors(params, dim)
    q = params.new_zeros(dim, dim, params.size(1))
    q.diagonal(dim1=0, dim2=1).fill_(1.0)
    q[-1, -1] = -1.0  # the last reflection has no parameter
    for j in reversed(range(dim - 1)):
        a, block = vectors[j, j:], q[j:, j:]
        seen = (a.unsqueeze(1) * block).sum(0)
        block.addcmul_((scale[j] * a).unsqueeze(1), seen.unsqueeze(0), value=-1.0)
    return q


def reflect_backward(params: Tensor, dim: int, torque: Tensor) -> Tensor:
    r"""Gradient to the parameters of `reflect`.

    With :math:`H_j = I - b a a^T` a step :math:`da` turns the product by the skew matrix
    :math:`b (da\, a^T - a\, da^T)`, up to a multiple of :math:`a` in :math:`da` that changes
    nothing. So the gradient to :math:`a_j` is :math:`y = b A a` for the torque :math:`A` as seen
    behind the first :math:`j - 1` reflections, and behind the next one the torque is
    :math:`H_j A H_j = A + a y^T - y a^T`.

    Shapes:
        params: ``[dim * (dim - 1) / 2, num]``.
        torque: ``[dim, dim, num]``, :math:`G Q^T - Q G^T` for a gradient :math:`G` to the product.
        returns: ``[dim * (dim - 1) / 2, num]``.
    """
    vectors, scale = _vectors(params, dim)
    grads = []
    for j in range(dim - 1):
        a = vectors[j, j:]
        grads.append(scale[j] * (torque * a).sum(1))
        if j < dim - 2:
            turn = a[1:].unsqueeze(1) * grads[j][1:].unsqueeze(0)
            torque = torque[1:, 1:] + turn - turn.transpose(0, 1)
    return torch.stack([grads[j][i - j] for i in range(dim) for j in range(i)])


def _vectors(params: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """``[dim, dim, num]``, row ``j`` the vector of reflection ``j``; and 2 over squared lengths."""
    vectors = params.new_zeros(dim, dim, params.size(1))
    vectors.diagonal(dim1=0, dim2=1).fill_(1.0)
    for i in range(1, dim):
        vectors[:i, i] = params[i * (i - 1) // 2 : i * (i + 1) // 2]
    return vectors, 2.0 / vectors.square().sum(1)
