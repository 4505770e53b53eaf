"""Heuristics from dense matrices, and both ways to rank candidates by them, one by one."""

import torch
from torch import Tensor


def resource_allocation(a: Tensor) -> Tensor:
    degree = a.sum(dim=0)
    return a @ torch.diag(torch.where(degree > 0, 1 / degree, 0.0)) @ a


def pagerank(a: Tensor, damping: float = 0.85) -> Tensor:
    """Row i: from node i."""
    degree = a.sum(dim=0)
    walk = a @ torch.diag(torch.where(degree > 0, 1 / degree, 0.0))
    return ((1 - damping) * torch.linalg.inv(torch.eye(len(a)).to(a) - damping * walk)).t()


def cosine(x: Tensor) -> Tensor:
    x = x.double()
    length = x.norm(dim=1, keepdim=True)
    x = torch.where(length > 0, x / length, 0.0)
    return x @ x.t()


def best_ranks(scores: list[Tensor], candidates: list[int], zeros_rank: bool = False) -> dict:
    """Best rank of each candidate, from 0; infinite where no heuristic gives it a score.

    With ``zeros_rank`` the released rule: scores of zero share the rank after the last.
    """
    best = dict.fromkeys(candidates, float("inf"))
    for score in scores:
        values = {v: round(float(score[v]), 12) for v in candidates}
        positive = [value for value in values.values() if value > 0]
        for v, value in values.items():
            if value > 0:
                best[v] = min(best[v], sum(other > value for other in positive))
            elif zeros_rank:
                best[v] = min(best[v], len(positive))
    return best
