"""What a protocol of links adds to a plain split: weights of edges, and how large the test is."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import coalesce, to_undirected

from gnnzoo.data.links import LinkParts, LinkSplit, LinkTask


@dataclass(frozen=True)
class WeightedSplit(LinkSplit):
    """Pairs to score, and message edges with weights.

    Attributes:
        edge_weight: ``[num_edges]``, of ``edge_index``; None: all count the same.
    """

    edge_weight: Tensor | None = None


@dataclass(frozen=True)
class WeightedParts(LinkParts):
    """A published split whose validation links have weights, which the graph does not hold.

    Attributes:
        val_weight: ``[num_val]``, used where the test passes messages along validation links.
    """

    val_weight: Tensor | None = None


@dataclass(frozen=True)
class ProtocolTask(LinkTask):
    """A task that still tells how many negatives the test has once the test is hidden.

    Attributes:
        num_test_negatives: Shared ones, or those of each positive.
    """

    num_test_negatives: int | None = None


def weights_of(data: Data, edge_index: Tensor) -> Tensor | None:
    """Weights of edges of a graph, both directions alike; None where the graph has none.

    Repeated edges count with the sum of their weights, and the two directions of a link with their
    mean.

    Shapes:
        edge_index: ``[2, num_edges]``, int64.
        returns: ``[num_edges]``.

    Raises:
        ValueError: If one of the edges is none of the graph, in either direction.
    """
    if data.get("edge_weight") is None:
        return None
    num_nodes = data.num_nodes
    known, weight = coalesce(data.edge_index, data.edge_weight, num_nodes, reduce="sum")
    known, weight = to_undirected(known, weight, num_nodes, reduce="mean")
    keys, wanted = (edges[0] * num_nodes + edges[1] for edges in (known, edge_index))
    place = torch.searchsorted(keys, wanted)
    found = place < keys.numel()
    found[found.clone()] = keys[place[found]] == wanted[found]
    if not found.all():
        first, second = edge_index[:, int(found.int().argmin())].tolist()
        raise ValueError(
            f"the split has link ({first}, {second}), which is no edge of the data set and has no "
            "edge_weight; a data set without edge_weight needs none"
        )
    return weight[place]


def joined_edges(
    edge_index: Tensor, weight: Tensor, links: Tensor, link_weight: Tensor, num_nodes: int
) -> tuple[Tensor, Tensor]:
    """Edges of a graph and links in both directions, as sorted edges; weights of repeats added up.

    Shapes:
        edge_index: ``[2, num_edges]``; weight: ``[num_edges]``.
        links: ``[2, num_links]``; link_weight: ``[num_links]``.
    """
    edges = torch.cat([edge_index, links, links.flip(0)], dim=1)
    weights = torch.cat([weight, link_weight, link_weight])
    return coalesce(edges, weights, num_nodes, reduce="sum")
