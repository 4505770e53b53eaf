"""Local principal components node by node and edge by edge, written from the definition."""

import torch
from torch import Tensor


def neighbours(x: Tensor, edge_index: Tensor, dim: int) -> list[list[int]]:
    num_nodes = x.size(0)
    found = [set() for _ in range(num_nodes)]
    for u, v in edge_index.t().tolist():
        if u != v:
            found[u].add(v)
            found[v].add(u)
    for v in range(num_nodes):
        others = [u for u in range(num_nodes) if u != v and u not in found[v]]
        others.sort(key=lambda u: (round(float((x[u] - x[v]).square().sum()), 9), u))
        found[v] |= set(others[: max(dim - len(found[v]), 0)])
    return [sorted(f) for f in found]


def frames(x: Tensor, edge_index: Tensor, dim: int, generic: Tensor) -> Tensor:
    """``[num_nodes, channels, dim]``, for neighbourhoods of full rank."""
    out = []
    for v, others in enumerate(neighbours(x, edge_index, dim)):
        differences = torch.stack([x[u] - x[v] for u in others], dim=1)
        left = torch.linalg.svd(differences, full_matrices=False)[0][:, :dim]
        out.append(left * (generic @ left).sign())
    return torch.stack(out)


def transport(frames: Tensor, v: int, u: int) -> Tensor:
    left, _, right = torch.linalg.svd(frames[v].T @ frames[u])
    return left @ right
