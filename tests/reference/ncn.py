"""Neural common neighbour on dense matrices and in double loops, written from the equations."""

import torch
from torch import Tensor


def neighbor_sets(a: Tensor) -> list[set[int]]:
    """Nodes with an entry in each row, the node itself left out."""
    return [set(row.nonzero().flatten().tolist()) - {i} for i, row in enumerate(a)]


def largest(a: Tensor, x: Tensor) -> Tensor:
    """Row by row the largest of ``a[i, u] * x[u]`` over the nonzeros of ``a``, 0 where none is."""
    rows = [[value * x[u] for u, value in enumerate(row) if value] for row in a]
    return torch.stack([torch.stack(r).amax(0) if r else torch.zeros_like(x[0]) for r in rows])


def smoothed(name: str, a: Tensor, x: Tensor) -> Tensor:
    """One aggregation over a matrix without self-loops, rows as targets."""
    degree = a.sum(1)
    if name == "gcn":
        n = (1 + degree).rsqrt()[:, None]
        return n * (a @ (n * x) + n * x)
    if name == "mean":
        return torch.where(degree[:, None] > 0, a @ x / degree[:, None].clamp(min=1e-300), 0.0)
    return a @ x if name == "sum" else largest(a, x)
