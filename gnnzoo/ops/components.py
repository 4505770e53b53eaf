"""Connected components of a graph."""

import torch
from torch import Tensor

from gnnzoo.ops.csr import builder
from gnnzoo.ops.graph import Graph


@builder
def connected_components(graph: Graph) -> Tensor:
    """Number of the component of each node, counted in order of their first nodes.

    Direction does not count. Every node takes the smallest label around it, and labels follow
    their own labels until nothing changes, so that rounds grow with the logarithm of a path.

    Shapes:
        returns: ``[num_nodes]``, int64, from 0 without gaps.
    """
    row, col = graph.csr.row.long(), graph.csr.col.long()
    label = torch.arange(graph.num_nodes, device=graph.device)
    while True:
        smaller = label.scatter_reduce(0, row, label[col], "amin")
        smaller = smaller.scatter_reduce(0, col, label[row], "amin")
        # What a node hears goes to its label too, which joins whole trees at once.
        smaller = smaller.scatter_reduce(0, label, smaller, "amin")
        while not torch.equal(smaller, smaller[smaller]):
            smaller = smaller[smaller]
        if torch.equal(smaller, label):
            return label.unique(return_inverse=True)[1]
        label = smaller
