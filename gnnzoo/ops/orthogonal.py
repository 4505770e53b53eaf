"""Orthogonal matrices from free parameters, one small matrix for each row of parameters.

The number of operations launched decides on small graphs and the memory that they touch on large
ones. So parameters are turned once so that each of them is one vector over all matrices, the rest
is a fixed handful of operations on such vectors, and gradients are computed in closed form from
the parameters and the matrices alone.
"""

import torch
from torch import Tensor

from gnnzoo.ops.operator import Operator, refuse_double_backward
from gnnzoo.ops.reflections import reflect, reflect_backward
from gnnzoo.ops.rotations import plane, plane_backward, space, space_backward
from gnnzoo.ops.spmm import compute_dtype

METHODS = ("householder", "cayley", "exp", "euler")


def num_parameters(dim: int, method: str = "householder") -> int:
    """Free parameters of one orthogonal matrix: ``dim * (dim - 1) / 2`` for every method.

    Raises:
        ValueError: If `dim` is below 1, the method is unknown, or `dim` too large for ``euler``.
    """
    if method not in METHODS:
        names = ", ".join(map(repr, METHODS))
        raise ValueError(f"method of orthogonal maps must be one of {names}, got {method!r}")
    if dim < 1:
        raise ValueError(f"orthogonal maps need dim of at least 1, got {dim}")
    if method == "euler" and dim > 3:
        raise ValueError(f"euler angles are for dim up to 3, got {dim}; use method='householder'")
    return dim * (dim - 1) // 2


def orthogonal_maps(params: Tensor, dim: int, method: str = "householder") -> Tensor:
    r"""Orthogonal matrices :math:`Q` from parameters.

    The parameters are the entries of a matrix :math:`P` below its diagonal, row by row: (1, 0),
    (2, 0), (2, 1), and so on.

    - ``householder``: :math:`Q = H_1 \dots H_d` with :math:`H_j = I - 2 a_j a_j^T / |a_j|^2`, where
      :math:`a_j` is column j of :math:`P` with 1 on the diagonal. The last reflection, without
      parameters, is among them: :math:`\det Q = (-1)^d`.
    - ``cayley``: :math:`Q = (I - A/2)^{-1} (I + A/2)` with :math:`A = P - P^T`; determinant 1.
    - ``exp``: :math:`Q = \exp(A)`; determinant 1.
    - ``euler``: for d = 2 a rotation by :math:`2 \pi p`, for d = 3
      :math:`R_z(2 \pi p_1) R_y(2 \pi p_2) R_x(2 \pi p_3)`; determinant 1.

    Matrices are computed in float32 where the parameters are of half precision, and in their own
    type otherwise. Second derivatives exist for ``cayley`` and ``exp`` with d of 4 or more only.

    Paper: "Neural Sheaf Diffusion" (Bodnar et al., NeurIPS 2022), the maps of O(d) bundles,
    https://arxiv.org/abs/2202.04579
    Differs from the official code: ``cayley`` and ``exp`` have no parameters on the diagonal, where
    they cancel.

    Shapes:
        params: ``[num, num_parameters(dim, method)]``, floating point.
        returns: ``[num, dim, dim]``.

    Raises:
        ValueError: If `params` has the wrong shape or type, or as in `num_parameters`.
    """
    width = num_parameters(dim, method)
    if params.dim() != 2 or params.size(1) != width:
        raise ValueError(
            f"params must have shape [num, {width}] for {method} maps of dim {dim}, "
            f"got {list(params.shape)}"
        )
    if not params.is_floating_point():
        raise ValueError(f"params must be floating point, got {params.dtype}")
    params = params.to(compute_dtype(params))
    if dim == 1:
        sign = -1.0 if method == "householder" else 1.0
        return params.sum(1).add(sign).view(-1, 1, 1)  # the sum of nothing keeps the graph whole
    if dim > 3 and method in ("cayley", "exp"):
        return _by_library(params, dim, method)
    return _maps(params, dim, method)


def _by_library(params: Tensor, dim: int, method: str) -> Tensor:
    below = torch.ones(dim, dim, dtype=torch.bool, device=params.device).tril(-1)
    skew = params.new_zeros(params.size(0), dim, dim).masked_scatter(below, params)
    skew = skew - skew.mT
    if method == "exp":
        return torch.linalg.matrix_exp(skew)
    eye = torch.eye(dim, dtype=params.dtype, device=params.device)
    # Never singular, and not to ask for the status spares a GPU the wait. The library answers
    # column by column, so the transposed inverse of the transposed matrix is contiguous.
    return 2.0 * torch.linalg.inv_ex(eye + 0.5 * skew).inverse.mT - eye


def maps_forward(params: Tensor, dim: int, method: str) -> Tensor:
    first = params.t().contiguous()  # [num_params, num]
    if dim == 2:
        q = plane(first, method)
    elif method == "householder":
        q = reflect(first, dim)
    else:
        q = space(first, method)
    out = params.new_empty(params.size(0), dim, dim)
    out.permute(1, 2, 0).copy_(q)  # in this order several times faster than `q.permute(..)` copied
    return out


def maps_gradient(grad: Tensor, params: Tensor, q: Tensor, dim: int, method: str) -> Tensor:
    first, grad = params.t().contiguous(), grad.permute(1, 2, 0)
    if dim == 2:
        return plane_backward(first, method, grad).t().contiguous()
    q = q.permute(1, 2, 0).contiguous()  # [dim, dim, num]
    torque = _torque(grad.contiguous(), q)
    if method == "householder":
        result = reflect_backward(first, dim, torque)
    else:
        result = space_backward(first, method, q, torque)
    out = torch.empty_like(params)
    out.t().copy_(result)
    return out


def _torque(grad: Tensor, q: Tensor) -> Tensor:
    """``grad @ q.T - q @ grad.T`` with entries first.

    Term by term, not by library: at these sizes faster, and neither autocast nor a GPU's reduced
    precision rounds it.
    """
    product = grad[:, 0].unsqueeze(1) * q[:, 0].unsqueeze(0)
    for k in range(1, q.size(1)):
        product.addcmul_(grad[:, k].unsqueeze(1), q[:, k].unsqueeze(0))
    return product - product.transpose(0, 1)


def _backward(ctx, grad):
    params, q = ctx.saved_tensors
    return _maps_backward(grad, params, q, *ctx.settings), None, None


def _save(ctx, inputs, output) -> None:
    params, *ctx.settings = inputs
    ctx.save_for_backward(params, output)


_maps = Operator(
    "gnnzoo::orthogonal_maps",
    maps_forward,
    lambda params, dim, method: params.new_empty(params.size(0), dim, dim),
    _backward,
    _save,
)
_maps_backward = Operator(
    "gnnzoo::orthogonal_maps_backward",
    maps_gradient,
    lambda grad, params, q, dim, method: torch.empty_like(params),
    refuse_double_backward,
)
