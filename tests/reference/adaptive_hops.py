"""Node-adaptive combination of hops on dense matrices, node by node."""

import torch
from torch import Tensor

from tests.reference import dense


def looped(edge_index: Tensor, num_nodes: int) -> Tensor:
    a = (dense.adjacency(edge_index, num_nodes) > 0).double()
    return a.fill_diagonal_(1.0)


def stack(x: Tensor, edge_index: Tensor, num_hops: int, r: float) -> Tensor:
    """``[num_hops + 1, num_nodes, channels]``."""
    a = looped(edge_index, x.size(0))
    d = a.sum(1)
    step = d[:, None] ** (r - 1) * a * d[None, :] ** -r
    return torch.stack([torch.linalg.matrix_power(step, k) @ x for k in range(num_hops + 1)])


def limit(x: Tensor, edge_index: Tensor, r: float) -> Tensor:
    """Row i: the sum over its component of (d_i^r d_j^(1 - r) / mass) x_j."""
    n = x.size(0)
    a = looped(edge_index, n)
    reach = torch.linalg.matrix_power(a, n) > 0
    d = a.sum(1)
    out = torch.zeros_like(x)
    for i in range(n):
        nodes = reach[i].nonzero().squeeze(1)
        share = d[i] ** r * d[nodes] ** (1 - r) / d[nodes].sum()
        out[i] = share @ x[nodes]
    return out


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return a @ b / ((a.norm() + 1e-10) * (b.norm() + 1e-10))


def combined(
    x: Tensor, edge_index: Tensor, num_hops: int, r: float, limit_r: float, temperature: float
) -> tuple[Tensor, Tensor]:
    hops, far = stack(x, edge_index, num_hops, r), limit(x, edge_index, limit_r)
    weights = x.new_empty(x.size(0), num_hops + 1)
    for i in range(x.size(0)):
        levels = [cosine(h[i], x[i]) * (1 - cosine(h[i], far[i])) for h in hops]
        weights[i] = (torch.stack(levels) / temperature).softmax(0)
    return torch.einsum("nl,lnf->nf", weights, hops), weights
