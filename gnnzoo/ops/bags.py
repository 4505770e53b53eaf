"""Bags of nodes: one list of nodes for each pair, and sums of features over them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gnnzoo.ops.csr import builder
from gnnzoo.ops.spmm import compute_dtype, restore_dtype


@dataclass(frozen=True)
class Bags:
    """Bag ``b`` holds ``node[offsets[b]:offsets[b + 1]]``.

    Args:
        offsets: ``[num_bags + 1]``, int64, from 0 to ``num_items``, not decreasing.
        node: ``[num_items]``, int64.
    """

    offsets: Tensor
    node: Tensor

    @property
    def num_bags(self) -> int:
        return self.offsets.numel() - 1

    @property
    def num_items(self) -> int:
        return self.node.numel()

    def counts(self) -> Tensor:
        """``[num_bags]``, int64: items in each bag."""
        return self.offsets[1:] - self.offsets[:-1]

    @builder
    def owner(self) -> Tensor:
        """``[num_items]``, int64: the bag of each item."""
        bags = torch.arange(self.num_bags, device=self.offsets.device)
        return bags.repeat_interleave(self.counts(), output_size=self.num_items)

    def __repr__(self) -> str:
        return f"Bags(num_bags={self.num_bags}, num_items={self.num_items})"


def pool_bags(x: Tensor, bags: Bags, weight: Tensor | None = None) -> Tensor:
    """Sum of features over the nodes of each bag; zero for an empty one.

    No row is copied for each item, forwards or backwards. Half-precision `x` is added up in
    float32; the result is float32 under autocast and has the type of `x` otherwise.

    Args:
        x: Features of all nodes.
        bags: Whose features to add up.
        weight: Factor of each item; 1 if not given.

    Shapes:
        x: ``[num_nodes, channels]``, floating point.
        weight: ``[num_items]``, floating point.
        returns: ``[num_bags, channels]``, differentiable with respect to `x` and `weight`.

    Raises:
        ValueError: If a shape, type or device is wrong.
    """
    if x.dim() != 2 or not x.is_floating_point():
        raise ValueError(
            f"x must be floating point of shape [num_nodes, channels], "
            f"got {x.dtype} of shape {list(x.shape)}"
        )
    if x.device != bags.node.device:
        raise ValueError(f"x is on {x.device}, the bags on {bags.node.device}; move one of them")
    dense = x.to(compute_dtype(x))
    if weight is not None:
        if weight.shape != bags.node.shape or not weight.is_floating_point():
            raise ValueError(
                f"weight must be floating point of shape [{bags.num_items}], one per item, "
                f"got {weight.dtype} of shape {list(weight.shape)}"
            )
        weight = weight.to(dense.dtype)
    out = F.embedding_bag(
        bags.node, dense, bags.offsets, mode="sum", include_last_offset=True,
        per_sample_weights=weight,
    )  # fmt: skip
    return restore_dtype(out, x)


@builder
def sample_bags(
    bags: Bags, most: int, generator: torch.Generator | None = None
) -> tuple[Bags, Tensor]:
    """Draw `most` items, with replacement, from every bag that holds more.

    Each drawn item weighs ``size / most`` and every other one 1, so that weighted sums are those of
    the whole bags on average. Bags that are small enough come back as they are.

    Args:
        bags: Where to draw from.
        most: Most items per bag, -1 for all.
        generator: Source of the draws, on the device of the bags.

    Returns:
        The smaller bags, and float32 weights ``[num_items]`` of their items.

    Raises:
        ValueError: If `most` is neither -1 nor positive.
    """
    if most < 1 and most != -1:
        raise ValueError(f"most must be at least 1, or -1 for all, got {most}")
    device, counts = bags.node.device, bags.counts()
    if most == -1 or not (large := counts > most).any():
        return bags, torch.ones(bags.num_items, device=device)
    offsets = torch.zeros_like(bags.offsets)
    torch.cumsum(counts.clamp(max=most), 0, out=offsets[1:])
    drawn = Bags(offsets, torch.arange(int(offsets[-1]), device=device))
    owner = drawn.owner()
    within = drawn.node - offsets[owner]
    pick = large[owner].nonzero().squeeze(1)
    share = torch.rand(pick.numel(), generator=generator, dtype=torch.float64, device=device)
    within[pick] = (share * counts[owner[pick]]).long()
    weight = (counts / most).clamp(min=1.0)[owner]
    return Bags(offsets, bags.node[bags.offsets[owner] + within]), weight.float()
