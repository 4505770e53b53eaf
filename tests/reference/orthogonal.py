"""Orthogonal matrices one at a time, written from the definitions."""

import math

import torch
from torch import Tensor


def orthogonal_map(params: Tensor, dim: int, method: str) -> Tensor:
    p = torch.zeros(dim, dim, dtype=params.dtype)
    rows, cols = torch.tril_indices(dim, dim, -1)
    p = p.index_put((rows, cols), params)
    eye = torch.eye(dim, dtype=params.dtype)
    if method == "householder":
        q = eye
        for a in (p + eye).unbind(1):
            q = q @ (eye - 2 * torch.outer(a, a) / a.dot(a))
        return q
    skew = p - p.T
    if method == "cayley":
        return torch.linalg.solve(eye - skew / 2, eye + skew / 2)
    if method == "exp":
        return torch.linalg.matrix_exp(skew)
    if dim == 1:
        return eye
    turns = 2 * math.pi * params
    if dim == 2:
        return turn(turns[0], 0, 1, 2)
    return turn(turns[0], 0, 1, 3) @ turn(turns[1], 2, 0, 3) @ turn(turns[2], 1, 2, 3)


def turn(angle: Tensor, i: int, j: int, dim: int) -> Tensor:
    """Rotation from axis i towards axis j: about z for (0, 1), y for (2, 0), x for (1, 2)."""
    q = torch.eye(dim, dtype=angle.dtype)
    q[i, i], q[j, i], q[i, j], q[j, j] = angle.cos(), angle.sin(), -angle.sin(), angle.cos()
    return q
