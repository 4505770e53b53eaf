"""Smoothed features of many hops, combined node by node by how smooth they are."""

import torch
from torch import Tensor

from gnnzoo.ops.components import connected_components
from gnnzoo.ops.graph import Graph
from gnnzoo.ops.matrix import SparseMatrix
from gnnzoo.ops.spmm import compute_dtype, spmm

STATIONARY = ("matched", "random_walk")
COMBINATIONS = ("adaptive", "last", "mean", "concat")
TINY = 1e-10


def adaptive_hops(
    x: Tensor,
    graph: Graph,
    num_hops: int,
    r: float = 0.5,
    stationary: str = "matched",
    temperature: float = 1.0,
    edge_weight: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Combine hops by a softmax over node smoothing levels.

    .. math::
        \bar x_i = \sum_l w_{il} x_i^{(l)}, \qquad w_i = \mathrm{softmax}_l\,
        \cos(x_i^{(l)}, x_i) (1 - \cos(x_i^{(l)}, x_i^{(\infty)})) / \tau

    One pass over the hops: sums with running maxima take the place of a stack of all hops.

    Args:
        x: Features.
        graph: Undirected; nodes without a self-loop get one.
        num_hops: K, smoothing steps.
        r: Share of the normalisation on the right, in [0, 1].
        stationary: Limit of the smoothing that hops are held against: that of the same r, or
            ``random_walk``, that of r = 0, as in the authors' code.
        temperature: Divides the levels, positive.
        edge_weight: ``[num_input_edges]``, the same both ways; 1 each if not given.

    Shapes:
        x: ``[num_nodes, channels]``, floating point.
        returns: ``[num_nodes, channels]``, and the weights ``[num_nodes, num_hops + 1]``.
    """
    matrix, degree = looped(x, graph, edge_weight)
    limit, component = _stationary(x, graph, degree, r if stationary == "matched" else 0.0)
    own = x.norm(dim=1) + TINY
    far = limit.norm(dim=1) + TINY
    h, levels = x, []
    total = top = combined = None
    for hop in range(num_hops + 1):
        if hop:
            h = smoothed(h, matrix, degree, r)
        size = h.norm(dim=1) + TINY
        near = (h * x).sum(1) / (size * own)
        smooth = (h * limit[component]).sum(1) / (size * far[component])
        level = near * (1 - smooth) / temperature
        levels.append(level)
        if top is None:
            top, total, combined = level, torch.ones_like(level), h
            continue
        higher = torch.maximum(top, level)
        before, now = (top - higher).exp(), (level - higher).exp()
        total = total * before + now
        combined = torch.addcmul(combined * before.unsqueeze(1), h, now.unsqueeze(1))
        top = higher
    return combined / total.unsqueeze(1), torch.stack(levels, dim=1).softmax(1)


def plain_hops(
    x: Tensor,
    graph: Graph,
    num_hops: int,
    combine: str,
    r: float = 0.5,
    edge_weight: Tensor | None = None,
) -> Tensor:
    """The last hop (SGC), the mean of all (S2GC) or all side by side (SIGN).

    Shapes:
        x: ``[num_nodes, channels]``, floating point.
        returns: ``[num_nodes, channels]``, with ``concat`` ``[num_nodes, (num_hops + 1) * c]``.
    """
    matrix, degree = looped(x, graph, edge_weight)
    hops = [x]
    for _ in range(num_hops):
        h = smoothed(hops[-1], matrix, degree, r)
        if combine == "last":
            hops = [h]
        elif combine == "mean" and len(hops) > 1:
            hops = [hops[0] + hops[1], h]
        else:
            hops.append(h)
    if combine == "concat":
        return torch.cat(hops, dim=1)
    return hops[-1] if combine == "last" else sum(hops[1:], hops[0]) / (num_hops + 1)


def looped(x: Tensor, graph: Graph, edge_weight: Tensor | None) -> tuple[SparseMatrix, Tensor]:
    """Adjacency with self-loops, and its row sums ``[num_nodes, 1]``."""
    matrix = graph.matrix(edge_weight, compute_dtype(x), add_self_loops=True)
    degree = x.new_zeros(graph.num_nodes, dtype=matrix.dtype)
    return matrix, degree.index_add(0, matrix.csr.row, matrix.values).unsqueeze(1)


def smoothed(h: Tensor, matrix: SparseMatrix, degree: Tensor, r: float) -> Tensor:
    r"""One step, :math:`D^{r-1} A D^{-r} h`."""
    return degree.pow(r - 1) * spmm(matrix, degree.pow(-r) * h)


def _stationary(x: Tensor, graph: Graph, degree: Tensor, r: float) -> tuple[Tensor, Tensor]:
    """Where smoothing ends: one direction per component, and the component of each node.

    Row i of the limit is that of its component times a number of i, which a cosine does not see.
    """
    component = connected_components(graph)
    count = int(component.max()) + 1 if component.numel() else 0
    mass = degree.pow(1 - r) * x
    return mass.new_zeros(count, x.size(1)).index_add(0, component, mass), component
