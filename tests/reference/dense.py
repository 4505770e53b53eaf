"""Slow versions on dense matrices, written from the equations."""

import torch
from torch import Tensor


def adjacency(edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None = None) -> Tensor:
    """Rows are targets; repeated edges add up."""
    if edge_weight is None:
        edge_weight = torch.ones(edge_index.size(1), dtype=torch.float64)
    zeros = edge_weight.new_zeros(num_nodes, num_nodes)
    return zeros.index_put((edge_index[1], edge_index[0]), edge_weight, accumulate=True)


def gcn_norm(edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None = None) -> Tensor:
    """D^-1/2 (A + missing self-loops) D^-1/2 for a graph without repeated self-loops."""
    a = adjacency(edge_index, num_nodes, edge_weight)
    has_loop = torch.zeros(num_nodes, dtype=torch.bool)
    has_loop[edge_index[0, edge_index[0] == edge_index[1]]] = True
    a = a + torch.diag((~has_loop).to(a.dtype))
    degree = a.sum(1)
    scale = torch.where(degree > 0, degree, torch.inf) ** -0.5
    return scale[:, None] * a * scale[None, :]


def gated_hops(a: Tensor, z: Tensor, s: Tensor, b: Tensor | float, num_hops: int) -> Tensor:
    hops = [torch.linalg.matrix_power(a, k) @ z for k in range(num_hops + 1)]
    return sum(torch.sigmoid(h @ s + b)[:, None] * h for h in hops)
