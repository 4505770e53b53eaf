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


def ncn_logit(
    model, x: Tensor, pooled_x: Tensor, nodes: dict[int, float], i: int, j: int
) -> Tensor:
    """z of one pair whose overlap holds the given nodes with the given weights."""
    c = sum((w * pooled_x[u] for u, w in nodes.items()), torch.zeros_like(x[0]))
    h = model.product_mlp(x[i] * x[j]) + model.beta * model.overlap_mlp(c)
    return model.score_mlp(h)[0]


def with_mlp(model, x: Tensor) -> Tensor:
    return x if model.node_mlp is None else torch.stack([v + model.node_mlp(v) for v in x])


def ncnc_logit(model, x: Tensor, sets: list[set[int]], i: int, j: int, depth: int) -> Tensor:
    """z of one pair by recursion, every completed link asked about by itself."""
    pooled = with_mlp(model, x)
    nodes = dict.fromkeys(sets[i] & sets[j], 1.0)
    if depth:
        inner = pooled if model.reference_compat else x
        for near, far in ((i, j), (j, i)):
            for u in sets[near] - sets[far]:
                if u == far and not model.reference_compat:
                    continue
                s = ncnc_logit(model, inner, sets, far, u, depth - 1)
                p = torch.sigmoid(model.scale * (s - model.offset))
                pt = model.pt
                if model.chance_mlp is not None:
                    pt = torch.sigmoid(model.chance_mlp(x[i] * x[j])[0])
                nodes[u] = nodes.get(u, 0.0) + model.alpha * pt * p / (pt * p + 1 - p)
    return ncn_logit(model, x, pooled, nodes, i, j)


def two_steps(sets: list[set[int]]) -> list[set[int]]:
    return [set().union(*(sets[v] for v in around)) for around in sets]
