"""The nodes that simple heuristics find most likely to be linked to a node, although they are not.

Dense rows of scores are made for a block of nodes at a time, so memory is bounded whatever the size
of the graph.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gnnzoo.ops import Graph, spmm

HEURISTICS = ("ra", "ppr", "cosine")
DAMPING = 0.85
DECIMALS = 12  # rounding errors do not part equals
MAX_ENTRIES = 2**22  # scores of one block and heuristic, 32 MiB


def hard_negatives(
    nodes: Tensor,
    known: Graph,
    messages: Graph,
    x: Tensor | None,
    num: int,
    heuristics: Sequence[str] = HEURISTICS,
    tolerance: float = 1e-7,
    seed: int = 0,
) -> Tensor:
    """For each node, those that are not linked to it but rank highest by some heuristic.

    Candidates are ranked by each heuristic, equal scores sharing a rank; a score of zero is no rank
    at all. The best of its ranks counts for a candidate, and the first ``num`` are taken. Equally
    good ones come in an order drawn for each node from ``seed``; so do those without any rank,
    which are taken only when the others are used up. Where a node has fewer candidates than
    ``num``, they are taken again from the first.

    Args:
        nodes: Nodes to find others for.
        known: All links; a node itself and its neighbours here are no candidates.
        messages: The graph of the heuristics, undirected.
        x: Features, read by "cosine" only.
        num: Others per node.
        heuristics: Of "ra" (resource allocation), "ppr" (personalised PageRank, damping 0.85) and
            "cosine" (of features).
        tolerance: Largest error of a PageRank vector, as a sum of absolute values.
        seed: Decides between equals.

    Shapes:
        nodes: ``[num_nodes_asked]``, int64.
        x: ``[num_nodes, num_features]``.
        returns: ``[num_nodes_asked, num]``, int64, the hardest first.

    Raises:
        ValueError: If a heuristic is unknown or lacks features, or a node is linked to all others.
    """
    _check_heuristics(heuristics, x)
    num_nodes = known.num_nodes
    find = {
        "ra": lambda block: resource_allocation(messages, block),
        "ppr": lambda block: pagerank(messages, block, tolerance),
        "cosine": lambda block: cosine(x, block),
    }
    found = [nodes.new_empty(0, num)]
    for block in nodes.split(max(MAX_ENTRIES // max(num_nodes, 1), 1)):
        scores = [find[name](block) for name in heuristics]
        found.append(_hardest(block, scores, _excluded(known, block), num, seed))
    return torch.cat(found)


def resource_allocation(graph: Graph, nodes: Tensor) -> Tensor:
    r"""Resource allocation of some nodes with all: :math:`\sum_{u \in N(i) \cap N(j)} 1 / d_u`.

    Paper: "Predicting missing links via local information" (Zhou, Lü and Zhang, 2009).

    Shapes:
        nodes: ``[num_rows]``, int64.
        returns: ``[num_rows, num_nodes]``, float64.
    """
    matrix = graph.matrix(dtype=torch.float64)
    neighbours = spmm(matrix, _columns(graph, nodes))
    return spmm(matrix, neighbours / _degree(graph)).t()


def pagerank(graph: Graph, nodes: Tensor, tolerance: float) -> Tensor:
    r"""Personalised PageRank from some nodes to all, :math:`p = (1 - c) e + c A D^{-1} p`.

    Shapes:
        nodes: ``[num_rows]``, int64.
        returns: ``[num_rows, num_nodes]``, float64.
    """
    matrix, degree = graph.matrix(dtype=torch.float64), _degree(graph)
    start = (1 - DAMPING) * _columns(graph, nodes)  # [num_nodes, num_rows]
    p = start
    for _ in range(math.ceil(math.log(tolerance) / math.log(DAMPING))):
        p = start + DAMPING * spmm(matrix, p / degree)
    return p.t()


def cosine(x: Tensor, nodes: Tensor) -> Tensor:
    """Cosine of the features of some nodes with those of all; 0 for features that are all zero.

    Products come first and lengths after, so that counts of words are multiplied exactly and equal
    similarities stay equal.

    Shapes:
        x: ``[num_nodes, num_features]``.
        nodes: ``[num_rows]``, int64.
        returns: ``[num_rows, num_nodes]``, float64.
    """
    x = x.float()
    length = torch.linalg.vector_norm(x, dim=1, dtype=torch.float64)
    scale = torch.where(length > 0, length, torch.inf).reciprocal()
    return (x[nodes] @ x.t()).double() * (scale[nodes].unsqueeze(1) * scale)


def _hardest(
    nodes: Tensor, scores: Sequence[Tensor], excluded: Tensor, num: int, seed: int
) -> Tensor:
    """The first ``num`` candidates by their best rank.

    Shapes:
        scores: of each heuristic ``[num_rows, num_nodes]``.
        excluded: ``[num_rows, num_nodes]``, bool.
    """
    num_nodes = excluded.size(1)
    free = num_nodes - excluded.sum(dim=1, keepdim=True)
    if (free == 0).any():
        raise ValueError(
            f"node {int(nodes[free.squeeze(1) == 0][0])} is linked to all others, so that there is "
            "no negative for it"
        )
    best = torch.full(excluded.shape, num_nodes)
    for score in scores:
        score = score.round(decimals=DECIMALS).masked_fill(excluded, 0.0)
        better = torch.searchsorted((-score).sort(dim=1).values, -score)  # how many are strictly so
        best = torch.where(score > 0, torch.minimum(best, better), best)
    place = best + _order(nodes, num_nodes, seed)
    chosen = place.masked_fill(excluded, torch.inf).argsort(dim=1)
    return chosen.gather(1, torch.arange(num) % free)


def _order(nodes: Tensor, num_nodes: int, seed: int) -> Tensor:
    """Numbers in [0, 1) that depend on the node and the seed alone, ``[num_rows, num_nodes]``."""
    generator = torch.Generator()
    numbers = torch.empty(len(nodes), num_nodes, dtype=torch.float64)
    for row, node in zip(numbers, nodes.tolist(), strict=True):
        row.uniform_(generator=generator.manual_seed(seed * num_nodes + node))
    return numbers


def _excluded(known: Graph, nodes: Tensor) -> Tensor:
    """A node itself and its neighbours, ``[num_rows, num_nodes]``, bool."""
    rows, entries = known.csr.select_rows(nodes)
    mask = torch.zeros(len(nodes), known.num_nodes, dtype=torch.bool)
    mask[rows.row.long(), known.csr.col[entries].long()] = True
    mask[torch.arange(len(nodes)), nodes] = True
    return mask


def _columns(graph: Graph, nodes: Tensor) -> Tensor:
    """A one in the row of each node, ``[num_nodes, num_rows]``, float64."""
    columns = torch.zeros(graph.num_nodes, len(nodes), dtype=torch.float64)
    columns[nodes, torch.arange(len(nodes))] = 1.0
    return columns


def _degree(graph: Graph) -> Tensor:
    """``[num_nodes, 1]``, float64, at least 1."""
    return graph.in_degree().double().clamp(min=1).unsqueeze(1)


def _check_heuristics(heuristics: Sequence[str], x: Tensor | None) -> None:
    unknown = [name for name in heuristics if name not in HEURISTICS]
    if unknown or not heuristics or isinstance(heuristics, str):
        raise ValueError(
            f"heuristics must list some of {', '.join(HEURISTICS)}, got {heuristics!r}"
        )
    if "cosine" in heuristics and x is None:
        raise ValueError(
            "the heuristic cosine compares features, which this data set has not; "
            "protocol.heuristics=[ra,ppr] works"
        )
