"""How labels lie on a graph: classes, homophily, and which classes edges join."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.utils import homophily

from gnnzoo.ops import Graph


def label_measures(graph: Graph, y: Tensor, num_classes: int) -> dict[str, Any]:
    r"""How labels lie, and how they mix along edges between labelled nodes, self-loops left out.

    ``edge``, ``node`` and ``class_insensitive`` homophily are PyG's, so that nodes without incoming
    edges count 0 in ``node``. ``adjusted`` subtracts what the sizes of the classes alone give, 0
    where edges ignore labels, and is 1 where all edges stay inside a class:

    .. math:: \frac{h_{edge} - \sum_k o_k i_k}{1 - \sum_k o_k i_k}

    with :math:`o_k` and :math:`i_k` the shares of edges that start and end in class k; on an
    undirected graph both are :math:`D_k / 2|E|`. ``informativeness`` is the share of what is open
    about the label of one end of an edge that the label of the other end tells, direction left
    aside: the mutual information of both over the entropy of one, between 0 and 1.

    Paper: "Characterizing Graph Datasets for Node Classification: Homophily-Heterophily Dichotomy
    and Beyond" (Platonov et al., NeurIPS 2023), eqs. 1 and 5, https://arxiv.org/abs/2209.06177

    Returns:
        Counts, and ``mixing``: ``[num_classes][num_classes]``, of the edges that leave a class the
        share that ends in each; None for a class without edges. Homophily and mixing are left out
        where no edge joins labelled nodes.
    """
    labelled = (y >= 0).nonzero().squeeze(1)
    sizes = torch.bincount(y[labelled], minlength=num_classes)
    found: dict[str, Any] = {
        "num_classes": num_classes,
        "labelled_nodes": len(labelled),
        "smallest_class": int(sizes.min()),
        "largest_class": int(sizes.max()),
    }
    place = torch.full_like(y, -1)
    place[labelled] = torch.arange(len(labelled), device=y.device)
    edges = place[graph.edge_index]
    edges = edges[:, (edges >= 0).all(dim=0) & (edges[0] != edges[1])]
    if edges.size(1) == 0:
        return found
    known = y[labelled]
    counts = torch.bincount(
        known[edges[0]] * num_classes + known[edges[1]], minlength=num_classes**2
    )
    counts = counts.view(num_classes, num_classes).double()
    shares = counts / counts.sum()
    by_chance = float(shares.sum(dim=1) @ shares.sum(dim=0))
    edge = float(shares.trace())
    found["homophily"] = {
        "edge": homophily(edges, known, method="edge"),
        "node": homophily(edges, known, method="node"),
        "class_insensitive": _class_insensitive(edges, known),
        "adjusted": (edge - by_chance) / (1 - by_chance) if by_chance < 1 - 1e-12 else None,
    }
    found["informativeness"] = _informativeness((shares + shares.t()) / 2)
    rows = counts / counts.sum(dim=1, keepdim=True)
    found["mixing"] = [row.tolist() if bool(row.isfinite().all()) else None for row in rows]
    return found


def _informativeness(shares: Tensor) -> float | None:
    """Of symmetric shares ``[num_classes, num_classes]``; None if all ends are of one class."""
    ends = shares.sum(dim=1)
    one, both = -ends.xlogy(ends).sum(), -shares.xlogy(shares).sum()
    return float((2 * one - both) / one) if one > 0 else None


def _class_insensitive(edges: Tensor, y: Tensor) -> float | None:
    """PyG's, over the classes that occur; it needs two of them."""
    classes, y = y.unique(return_inverse=True)
    return homophily(edges, y, method="edge_insensitive") if len(classes) > 1 else None
