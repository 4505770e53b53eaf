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


def unique_pairs(pairs: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    """The different unordered pairs, and which of them each given pair is.

    Shapes:
        pairs: ``[2, num_pairs]``, int64.
        returns: ``[2, num_different]`` and ``[num_pairs]``, int64.
    """
    key = pairs.amin(0) * num_nodes + pairs.amax(0)
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


def side_by_side(bags: list[Bags]) -> Bags:
    """All bags of the first, then all of the second, and so on, as one list."""
    counts = torch.cat([part.counts() for part in bags])
    offsets = counts.new_zeros(counts.numel() + 1)
    torch.cumsum(counts, 0, out=offsets[1:])
    return Bags(offsets, torch.cat([part.node for part in bags]))
