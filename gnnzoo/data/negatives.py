"""Pairs of nodes that are no links, drawn uniformly and without trial and error.

Pairs are numbered; those that are taken (links) are skipped by a search in their sorted numbers.
So every draw counts, on sparse graphs and on nearly complete ones alike, and nothing of size
``num_nodes`` squared is made.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gnnzoo.ops import Graph


@dataclass(frozen=True)
class UniformNegatives:
    """Training negatives: ordered pairs of different nodes that are not an edge of the graph.

    Pairs are drawn independently of each other, so that one may come twice. Give the training
    graph: links held out for validation and test are not known here and may be drawn.
    """

    keeps_source = False

    def __call__(self, graph: Graph, num: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``num`` pairs.

        Args:
            graph: The graph to avoid.
            num: Number of pairs.
            generator: Of the graph's device; None for torch's global one.

        Shapes:
            returns: ``[2, num]``, int64, on the graph's device.

        Raises:
            ValueError: If the graph has every edge there can be.
        """
        row, col = graph.csr.row.long(), graph.csr.col.long()
        others = graph.num_nodes - 1  # a row has a place for each node but its own
        taken = (row * others + col - (col > row).long())[row != col]  # rises as the entries do
        free = graph.num_nodes * others - len(taken)
        if num and free < 1:
            raise ValueError(
                f"the graph has all edges that {graph.num_nodes} nodes can have; "
                "there is no pair left to draw as a negative"
            )
        rank = torch.randint(max(free, 1), (num,), generator=generator, device=graph.device)
        number = nth_missing(taken, rank)
        row = number.div(max(others, 1), rounding_mode="floor")
        col = number - row * others
        return torch.stack([col + (col >= row).long(), row])


@dataclass(frozen=True)
class RandomDestinations:
    """Training negatives of ogbl-citation2: the source of a link, and any node as destination.

    Nothing is filtered: the pair may be a link, or one node twice, as published.
    """

    keeps_source = True

    def __call__(
        self,
        graph: Graph,
        num: int,
        generator: torch.Generator | None = None,
        sources: Tensor | None = None,
    ) -> Tensor:
        """Draw ``num`` pairs.

        Args:
            graph: The training graph.
            num: Number of pairs.
            generator: Of the graph's device; None for torch's global one.
            sources: ``[num]``, int64: sources of the links that the pairs stand against; None takes
                those of random edges.

        Shapes:
            returns: ``[2, num]``, int64, on the graph's device.

        Raises:
            ValueError: If ``sources`` has another length, or the graph has no edges to take from.
        """
        if sources is None:
            if num and graph.num_edges == 0:
                raise ValueError("the graph has no edges whose sources could be taken")
            size = (num,)
            entry = torch.randint(
                max(graph.num_edges, 1), size, generator=generator, device=graph.device
            )
            sources = graph.csr.col[entry].long()
        if sources.shape != (num,):
            raise ValueError(f"sources must have shape [{num}], got {list(sources.shape)}")
        destinations = torch.randint(
            max(graph.num_nodes, 1), (num,), generator=generator, device=graph.device
        )
        return torch.stack([sources.to(graph.device), destinations])


def distinct_non_links(
    links: Tensor, num_nodes: int, num: int, generator: torch.Generator | None = None
) -> Tensor:
    """Different unordered pairs of different nodes that are no links, all equally likely.

    Shapes:
        links: ``[2, num_links]``, int64, of either direction, with repetitions or not.
        returns: ``[2, num]``, int64, the smaller id first, in random order.

    Raises:
        ValueError: If there are fewer such pairs.
    """
    row, col = links.min(dim=0).values, links.max(dim=0).values
    nodes = torch.arange(num_nodes)
    starts = nodes * (num_nodes - 1) - nodes * (nodes - 1) // 2  # pairs of smaller first ids
    taken = (starts[row] + col - row - 1)[row != col].unique()
    free = num_nodes * (num_nodes - 1) // 2 - len(taken)
    if free < num:
        raise ValueError(
            f"{num} pairs that are no links are needed as negatives, but {num_nodes} nodes with "
            f"{len(taken)} links leave {free}; hold out smaller shares"
        )
    number = nth_missing(taken, distinct_numbers(free, num, generator))
    row = torch.searchsorted(starts, number, right=True) - 1
    return torch.stack([row, number - starts[row] + row + 1])


def nth_missing(taken: Tensor, rank: Tensor) -> Tensor:
    """The number at each place, from 0, among the whole numbers that are not taken.

    Shapes:
        taken: ``[num_taken]``, int64, ascending, without repetition.
        rank: ``[...]``, int64.
    """
    missing_before = taken - torch.arange(len(taken), device=taken.device)
    return rank + torch.searchsorted(missing_before, rank, right=True)


def distinct_numbers(high: int, num: int, generator: torch.Generator | None = None) -> Tensor:
    """Different whole numbers below ``high`` in random order, every list of them equally likely.

    Shapes:
        returns: ``[num]``, int64.
    """
    if 4 * num >= high:
        return torch.randperm(high, generator=generator)[:num]
    drawn = torch.empty(0, dtype=torch.int64)
    while len(drawn) < num:
        drawn = torch.cat([drawn, torch.randint(high, (num,), generator=generator)])
        values, place = drawn.unique(return_inverse=True)
        first = torch.full_like(values, len(drawn))
        first.scatter_reduce_(0, place, torch.arange(len(drawn)), "amin")
        drawn = drawn[first.sort().values]
    return drawn[:num]
