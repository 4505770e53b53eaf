"""Completed overlaps by dense rows, for small graphs where almost every link is asked about."""

import torch
from torch import Tensor

from gnnzoo.nn.calibration import Calibration
from gnnzoo.ops import Graph
from gnnzoo.ops.overlap import without_loops
from gnnzoo.ops.spmm import compute_dtype

MAX_NODES = 8192
MAX_VALUES = 1 << 26  # numbers of all nodes beside some pairs, made at a time


def worth_a_table(graph: Graph, pairs: Tensor) -> bool:
    """Whether the pairs ask about more links than there are, and all of them fit into memory."""
    if graph.num_nodes > MAX_NODES:
        return False
    return int(graph.in_degree()[pairs].sum()) >= graph.num_nodes**2


def all_links(num_nodes: int, device: torch.device) -> Tensor:
    """``[2, num_nodes * (num_nodes + 1) / 2]``: every unordered pair, nodes with themselves too."""
    return torch.triu_indices(num_nodes, num_nodes, device=device)


def symmetric_table(links: Tensor, values: Tensor, num_nodes: int) -> Tensor:
    """``[num_nodes, num_nodes]`` from the values of `all_links`."""
    table = values.new_empty(num_nodes, num_nodes)
    table[links[0], links[1]] = values
    table[links[1], links[0]] = values
    return table


def complete_by_table(
    x: Tensor,
    graph: Graph,
    pairs: Tensor,
    table: Tensor,
    calibration: Calibration,
    log_prior: Tensor | float,
    with_themselves: bool,
) -> tuple[Tensor, Tensor]:
    """Overlaps with completed neighbours, pooled as products of dense matrices.

    Args:
        x: What is pooled.
        graph: Whose edges count.
        pairs: ``[2, num_pairs]``, int64.
        table: Logits of all links.
        calibration: Makes probabilities of them.
        log_prior: One number, or one for each pair, ``[num_pairs]``.
        with_themselves: Whether a pair that is an edge completes links of a node with itself.

    Shapes:
        x: ``[num_nodes, channels]``.
        table: ``[num_nodes, num_nodes]``.
        returns: sums ``[num_pairs, channels]``, and the number of nodes in each, ``[num_pairs]``.
    """
    edges, dtype = _mask(graph), compute_dtype(x)
    step = max(MAX_VALUES // max(graph.num_nodes, 1), 1)
    priors = log_prior.split(step) if isinstance(log_prior, Tensor) else None
    sums, counts = [], []
    for number, (first, second) in enumerate(part.unbind(0) for part in pairs.split(step, dim=1)):
        prior = log_prior if priors is None else priors[number].unsqueeze(1)
        of_first, of_second = edges[first], edges[second]  # [num_part, num_nodes]
        first_only, second_only = of_first & ~of_second, of_second & ~of_first
        if not with_themselves:
            first_only.scatter_(1, second.unsqueeze(1), False)
            second_only.scatter_(1, first.unsqueeze(1), False)
        weight = (of_first & of_second).to(dtype)
        weight = weight + first_only * calibration(table[second], prior)
        weight = weight + second_only * calibration(table[first], prior)
        sums.append((weight.to(dtype) @ x.to(dtype)).to(x.dtype))
        counts.append((of_first & of_second).sum(1) + first_only.sum(1) + second_only.sum(1))
    return torch.cat(sums), torch.cat(counts)


def _mask(graph: Graph) -> Tensor:
    csr = without_loops(graph.csr)
    mask = torch.zeros(csr.shape, dtype=torch.bool, device=csr.device)
    mask[csr.row.long(), csr.col.long()] = True
    return mask
