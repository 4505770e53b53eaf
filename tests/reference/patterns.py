"""Directed patterns on dense matrices: every word's matrix is really made."""

import math

import torch
from torch import Tensor


def word_matrix(edge_index: Tensor, num_nodes: int, pattern: str, loops: bool = True) -> Tensor:
    """Rows are sources, as in the paper; repeated edges count once, self-loops not at all."""
    a = torch.zeros(num_nodes, num_nodes, dtype=torch.float64)
    a[edge_index[0], edge_index[1]] = 1.0
    a.fill_diagonal_(0.0)
    m = torch.eye(num_nodes, dtype=torch.float64)
    for letter in pattern.split("/"):
        m = m @ (a if letter == "successors" else a.t())
    return m + torch.eye(num_nodes) if loops and "/" not in pattern else m


def normalized(m: Tensor, r: float, norm: str = "row") -> Tensor:
    rows = m.sum(1)
    columns = rows if norm == "row" else m.sum(0)
    return power(rows, r - 1)[:, None] * m * power(columns, -r)[None, :]


def power(d: Tensor, exponent: float) -> Tensor:
    out = torch.ones_like(d)
    for i, value in enumerate(d.tolist()):
        if exponent:
            out[i] = value**exponent if value else 0.0
    return out


def hop_factor(hop: int, decay: str | None) -> float:
    if decay == "official":
        return math.log(1 / hop) + 1 + 1e-6
    return math.log(1 / hop + 1) if decay == "gcnii" else 1.0


def stacks(
    x: Tensor,
    edge_index: Tensor,
    patterns: tuple[str, ...],
    num_hops: int,
    r: float,
    decay: str | None = None,
    norm: str = "row",
    loops: bool = True,
) -> Tensor:
    """``[num_nodes, 1 + num_patterns * num_hops, channels]``."""
    x = x.double()
    rows = [x]
    for pattern in patterns:
        s = normalized(word_matrix(edge_index, x.size(0), pattern, loops), r, norm)
        h = x
        for hop in range(1, num_hops + 1):
            h = s @ (hop_factor(hop, decay) * h)
            rows.append(h)
    return torch.stack(rows, dim=1)
