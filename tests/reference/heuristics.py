"""Link heuristics on dense matrices, written from the formulas; rows are neighbourhoods."""

import torch
from torch import Tensor


def overlap(a: Tensor, node_weight: Tensor) -> Tensor:
    """Sum over common neighbours u of ``a[i, u] * a[j, u]`` times what u counts for."""
    return a @ torch.diag(node_weight) @ a.T


def katz(a: Tensor, beta: float, max_length: int | None) -> Tensor:
    if max_length is None:
        eye = torch.eye(len(a), dtype=a.dtype)
        return torch.linalg.inv(eye - beta * a) - eye
    powers = (beta**k * torch.linalg.matrix_power(a, k) for k in range(1, max_length + 1))
    return sum(powers)


def pagerank(a: Tensor, damping: float) -> Tensor:
    """Row i is the stationary distribution of the walk that returns to i; ``a[v, u]``: u to v."""
    n, rows = len(a), []
    for i in range(n):
        home = torch.zeros(n, dtype=a.dtype)
        home[i] = 1
        degree = a.sum(0)
        step = torch.where(
            degree > 0, a / degree.clamp(min=1), home[:, None]
        )  # columns add up to 1
        rows.append(torch.linalg.solve(torch.eye(n) - damping * step, (1 - damping) * home))
    return torch.stack(rows)


def inverse_distance(a: Tensor) -> Tensor:
    """``a[v, u]``: an edge from u to v."""
    n = len(a)
    out = torch.full((n, n), 1 / 999, dtype=a.dtype)
    reached = torch.eye(n, dtype=torch.bool)
    for length in range(1, n):
        new = ((reached.to(a.dtype) @ a.T) > 0) & ~reached
        out[new] = 1 / length
        reached |= new
    return out
