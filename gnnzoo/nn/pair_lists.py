"""Lists of node pairs and of the nodes that belong to each of them."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gnnzoo.ops import Bags, Graph


def pieces(graph: Graph, pairs: Tensor, most: int) -> Iterator[Tensor]:
    """The pairs in parts whose nodes have about `most` neighbours together, or one pair.

    Shapes:
        pairs: ``[2, num_pairs]``, int64; parts alike.
    """
    total = graph.csr.row_counts().long()[pairs].sum(0).cumsum(0)
    if total.numel() == 0 or int(total[-1]) <= most:
        yield pairs
        return
    sizes = torch.bincount(total.div(most, rounding_mode="floor").cpu())
    yield from pairs.split(sizes[sizes > 0].tolist(), dim=1)


def neighbors_of(graph: Graph, pairs: Tensor) -> Tensor:
    """Nodes that are a neighbour of a node of some pair, ascending, each once, int64."""
    asked = torch.zeros(graph.num_nodes, dtype=torch.bool, device=graph.device)
    asked[pairs.flatten()] = True
    found = torch.zeros_like(asked)
    found[graph.csr.col[asked[graph.csr.row]]] = True
    return found.nonzero().squeeze(1)


def unique_pairs(pairs: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    """The different unordered pairs, and which of them each given pair is.

    Shapes:
        pairs: ``[2, num_pairs]``, int64.
        returns: ``[2, num_different]`` and ``[num_pairs]``, int64.
    """
    first, second = pairs  # a minimum over the rows of one tensor takes a hundred times longer
    key = torch.minimum(first, second) * num_nodes + torch.maximum(first, second)
    key, place = key.unique(return_inverse=True)
    low = key.div(max(num_nodes, 1), rounding_mode="floor")
    return torch.stack([low, key - low * num_nodes]), place


def select(num_bags: int, owner: Tensor, node: Tensor, keep: Tensor) -> Bags:
    """Bags of some of the items that are listed bag by bag.

    Shapes:
        owner, node: ``[num_items]``, int64, the bag of each item and what it is.
        keep: ``[num_items]``, bool.
    """
    owner = owner[keep]
    offsets = owner.new_zeros(num_bags + 1)
    torch.cumsum(torch.bincount(owner, minlength=num_bags), 0, out=offsets[1:])
    return Bags(offsets, node[keep])


def merged(bags: list[Bags]) -> tuple[Bags, Tensor]:
    """For each pair one bag of what its bags in all lists hold, the first list's items first.

    Returns:
        The bags, and where each item of the lists, one list after the other, went:
        ``[num_items]``, int64.
    """
    counts = torch.stack([part.counts() for part in bags])  # [num_lists, num_bags]
    before = counts.cumsum(0) - counts
    offsets = counts.new_zeros(counts.size(1) + 1)
    torch.cumsum(counts.sum(0), 0, out=offsets[1:])
    shifts = offsets[:-1] + before - torch.stack([part.offsets[:-1] for part in bags])
    place = torch.cat(
        [
            torch.arange(part.num_items, device=part.node.device).add_(shift[part.owner()])
            for part, shift in zip(bags, shifts, strict=True)
        ]
    )
    node = torch.empty_like(place)
    node[place] = torch.cat([part.node for part in bags])
    return Bags(offsets, node), place
