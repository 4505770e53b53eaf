"""Rotations of the plane and of space in closed form, many at a time, and their derivatives.

As in `gnnzoo.ops.reflections` entries come first: ``[dim, dim, num]`` and ``[num_params, num]``.
"""

import math

import torch
from torch import Tensor


def plane_angle(params: Tensor, method: str) -> tuple[Tensor, Tensor, Tensor | float]:
    """Cosine and sine of the angle, and its derivative to the parameter; each ``[num]``."""
    p = params[0]
    if method == "householder":
        rate = 2.0 / (1.0 + p * p)
        return 1.0 - rate, -rate * p, rate
    if method == "cayley":
        rate = 4.0 / (4.0 + p * p)
        return 2.0 * rate - 1.0, rate * p, rate
    rate = 1.0 if method == "exp" else 2.0 * math.pi
    angle = rate * p
    return angle.cos(), angle.sin(), rate


def plane(params: Tensor, method: str) -> Tensor:
    """Rotations by the angles of `plane_angle`, ``[2, 2, num]``."""
    cos, sin, _ = plane_angle(params, method)
    return torch.stack([cos, -sin, sin, cos]).view(2, 2, -1)


def plane_backward(params: Tensor, method: str, grad: Tensor) -> Tensor:
    """Gradient to the parameters, ``[1, num]``, of the gradient to `plane`, ``[2, 2, num]``."""
    cos, sin, rate = plane_angle(params, method)
    out = cos * (grad[1, 0] - grad[0, 1]) - sin * (grad[0, 0] + grad[1, 1])
    return (out * rate).unsqueeze(0)


def space(params: Tensor, method: str) -> Tensor:
    r"""Rotations of space, ``[3, 3, num]``.

    For ``cayley`` and ``exp`` by Rodrigues' formula :math:`I + f A + g A^2` with
    :math:`A^2 = w w^T - |w|^2 I`; for ``euler`` about the axes z, y, x by full turns.
    """
    if method == "euler":
        return _euler(params)
    w = _axis(params)
    square = _square(w)
    f, g = _rodrigues(square, method)
    q = (g * w).unsqueeze(1) * w.unsqueeze(0)
    q.diagonal(dim1=0, dim2=1).add_((1.0 - g * square).unsqueeze(1))
    x, y, z = (f * w).unbind()
    for row, column, entry in ((2, 1, x), (0, 2, y), (1, 0, z)):
        q[row, column] += entry
        q[column, row] -= entry
    return q


def space_backward(params: Tensor, method: str, q: Tensor, torque: Tensor) -> Tensor:
    r"""Gradient to the parameters of `space`.

    A step turns the rotation by a vector that is linear in the step,
    :math:`dQ = [J\, dw]_\times Q`, so the gradient is :math:`J^T t` for the torque's vector
    :math:`t`; by Rodrigues' formula :math:`J^T t = f t - g\, w \times t + h\, w (w \cdot t)` with
    :math:`h = (1 - f) / |w|^2` for the exponential and 0 for Cayley's map.

    Shapes:
        params: ``[3, num]``.
        q: ``[3, 3, num]``.
        torque: ``[3, 3, num]``, :math:`G Q^T - Q G^T` for a gradient :math:`G` to the rotations.
        returns: ``[3, num]``.
    """
    t = torch.stack([torque[2, 1], torque[0, 2], torque[1, 0]])
    if method == "euler":
        angle = 2.0 * math.pi * params[0]
        second = angle.cos() * t[1] - angle.sin() * t[0]
        return torch.stack([t[2], second, (q[:, 0] * t).sum(0)]) * (2.0 * math.pi)
    w = _axis(params)
    square = _square(w)
    f, g = _rodrigues(square, method)
    (x, y, z), (a, b, c) = (g * w).unbind(), t.unbind()
    out = f * t - torch.stack([y * c - z * b, z * a - x * c, x * b - y * a])
    if method == "exp":
        out += ((1.0 - f) / square * (w * t).sum(0)) * w
    return _axis(out)


def _axis(params: Tensor) -> Tensor:
    """The vector of a skew matrix from its entries (1, 0), (2, 0), (2, 1); its own inverse."""
    w = params.flip(0)
    w[1].neg_()
    return w


def _square(w: Tensor) -> Tensor:
    """Squared lengths, never zero: quotients then have their limits."""
    return (w * w).sum(0).clamp_min_(torch.finfo(w.dtype).tiny)


def _rodrigues(square: Tensor, method: str) -> tuple[Tensor, Tensor]:
    if method == "cayley":
        f = 4.0 / (4.0 + square)
        return f, 0.5 * f
    angle = square.sqrt()
    half = 0.5 * angle
    return angle.sin() / angle, 0.5 * (half.sin() / half).square()


def _euler(params: Tensor) -> Tensor:
    angle = 2.0 * math.pi * params
    (ca, cb, cc), (sa, sb, sc) = angle.cos().unbind(), angle.sin().unbind()
    csb, ssb = ca * sb, sa * sb
    rows = [ca * cb, csb * sc - sa * cc, csb * cc + sa * sc]
    rows += [sa * cb, ssb * sc + ca * cc, ssb * cc - ca * sc]
    rows += [-sb, cb * sc, cb * cc]
    return torch.stack(rows).view(3, 3, -1)
