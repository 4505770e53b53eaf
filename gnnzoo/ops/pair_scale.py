r"""A graph's own normalised Laplacian from a weight of each pair, as one operator.

.. math:: a_e = w_e s_u s_v, \qquad b_v = D_v s_v^2, \qquad s_v = (D_v + c)^{-1/2}, \quad
    D_v = \sum_{e \ni v} w_e

are the entries off the diagonal, but for their sign, and those on it; without normalisation
:math:`s = 1`.
"""

import torch
from torch import Tensor

from gnnzoo.ops.matrix import SparseMatrix
from gnnzoo.ops.operator import Operator, refuse_double_backward
from gnnzoo.ops.spmm import multiply


def pair_scale(
    weight: Tensor, incidence: SparseMatrix, ends: Tensor, normalize: bool, augmented: bool
) -> tuple[Tensor, Tensor]:
    """Entries off and on the diagonal.

    Args:
        weight: w, not negative.
        incidence: ``[num_nodes, num_pairs]``, which pairs each node is an end of.
        ends: The two ends of each pair.
        normalize: Whether there is s.
        augmented: Whether c is 1; otherwise it is 0, and so is s of a node of degree 0.

    Shapes:
        weight: ``[num_pairs]``. ends: ``[2, num_pairs]``.
        returns: ``[num_pairs]`` and ``[num_nodes]``.
    """
    csr = incidence.csr
    sent, diagonal, _ = _pair_scale(
        weight, incidence.values, csr.rowptr, csr.col, ends, normalize, augmented
    )
    return sent, diagonal


def _sums(pairs: Tensor, ones: Tensor, rowptr: Tensor, col: Tensor) -> Tensor:
    out = pairs.new_empty(rowptr.numel() - 1, 1)
    return multiply(pairs.unsqueeze(1), ones, rowptr, col, out).squeeze(1)


def root(degree: Tensor, augmented: bool) -> Tensor:
    """Inverse square roots of degrees; 0 of 0."""
    if augmented:
        return (degree + 1.0).rsqrt_()
    return torch.where(degree > 0, degree, torch.inf).rsqrt_()


def pair_scale_forward(
    weight: Tensor,
    ones: Tensor,
    rowptr: Tensor,
    col: Tensor,
    ends: Tensor,
    normalize: bool,
    augmented: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    degree = _sums(weight, ones, rowptr, col)
    if not normalize:
        return weight.clone(), degree, weight.new_empty(0)
    scale = root(degree, augmented)
    at_ends = scale.take(ends)  # [2, num_pairs]
    return (at_ends[0] * at_ends[1]).mul_(weight), degree.mul_(scale).mul_(scale), scale


def pair_scale_gradients(
    grad_sent: Tensor,
    grad_diagonal: Tensor,
    weight: Tensor,
    scale: Tensor,
    ones: Tensor,
    rowptr: Tensor,
    col: Tensor,
    ends: Tensor,
    augmented: bool,
) -> Tensor:
    if scale.numel() == 0:
        return grad_sent + grad_diagonal.take(ends).sum(0)
    at_ends = scale.take(ends)
    product = at_ends[0] * at_ends[1]
    # With a_e = w s_u s_v, s_v times the gradient to s_v is the sum of a_e times that to a_e.
    by_scale = _sums(product * weight * grad_sent, ones, rowptr, col)
    square = scale.square()
    if augmented:
        by_scale.addcmul_(square, grad_diagonal, value=-2.0)  # b = 1 - s^2
    by_degree = by_scale.mul_(square).mul_(-0.5)
    return by_degree.take(ends).sum(0).addcmul_(product, grad_sent)


def _save(ctx, inputs, output) -> None:
    weight, ones, rowptr, col, ends, _, ctx.augmented = inputs
    ctx.mark_non_differentiable(output[2])
    ctx.save_for_backward(weight, output[2], ones, rowptr, col, ends)


def _backward(ctx, grad_sent, grad_diagonal, _):
    return _pair_scale_backward(grad_sent, grad_diagonal, *ctx.saved_tensors, ctx.augmented), *[
        None
    ] * 6


_pair_scale = Operator(
    "gnnzoo::pair_scale",
    pair_scale_forward,
    lambda weight, ones, rowptr, col, ends, normalize, augmented: (
        torch.empty_like(weight),
        weight.new_empty(rowptr.numel() - 1),
        weight.new_empty(rowptr.numel() - 1 if normalize else 0),
    ),
    _backward,
    _save,
)
_pair_scale_backward = Operator(
    "gnnzoo::pair_scale_backward",
    pair_scale_gradients,
    lambda grad_sent, *_: torch.empty_like(grad_sent),
    refuse_double_backward,
)
