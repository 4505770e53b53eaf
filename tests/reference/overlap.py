"""Overlaps of neighbourhoods on dense matrices."""

import torch
from torch import Tensor


def dense_bags(offsets: Tensor, node: Tensor, num_nodes: int, weight: Tensor | None = None):
    """``[num_bags, num_nodes]``: how often, or with which weight, each bag holds each node."""
    weight = torch.ones(node.numel(), dtype=torch.float64) if weight is None else weight
    out = []
    for first, last in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        zeros = weight.new_zeros(num_nodes)
        out.append(zeros.index_put((node[first:last],), weight[first:last], accumulate=True))
    return torch.stack(out) if out else weight.new_zeros(0, num_nodes)


def dense_overlap(edge_index: Tensor, num_nodes: int, pairs: Tensor) -> tuple[Tensor, ...]:
    """``[num_pairs, num_nodes]`` each: common neighbours, those of the first only, of the second.

    Neighbours are in-neighbours; nobody is a neighbour of itself.
    """
    d = torch.zeros(num_nodes, num_nodes, dtype=torch.float64)
    d[edge_index[1], edge_index[0]] = 1
    d.fill_diagonal_(0)
    first, second = d[pairs[0]], d[pairs[1]]
    return first * second, first * (1 - second), second * (1 - first)
