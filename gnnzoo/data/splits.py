"""Splits of nodes into training, validation and test: drawing, checking, identifying them."""

import hashlib

import numpy as np
import torch
from torch import Tensor

from gnnzoo.data.dataset import Masks


def random_per_class(
    y: Tensor,
    num_classes: int,
    num_train_per_class: int,
    num_val: int,
    num_test: int | None,
    seed: int,
) -> Masks:
    """Draw the same number of training nodes from each class, and the others from what is left.

    The generator is its own: the global random state is neither read nor moved.

    Args:
        y: Labels, -1 for nodes without one, which are never drawn.
        num_classes: Number of classes.
        num_train_per_class: Training nodes per class.
        num_val: Validation nodes.
        num_test: Test nodes; None takes all that are left.
        seed: Seed of the generator.

    Shapes:
        y: ``[num_nodes]``, int64.
        returns: three masks ``[num_nodes]``, bool.

    Raises:
        ValueError: If a class or the whole graph has too few nodes.
    """
    _check_counts(num_train_per_class, num_val, num_test)
    generator = torch.Generator().manual_seed(seed)
    train = []
    for label in range(num_classes):
        nodes = (y == label).nonzero().view(-1)
        if len(nodes) < num_train_per_class:
            raise ValueError(
                f"class {label} has {len(nodes)} nodes, fewer than "
                f"num_train_per_class={num_train_per_class}; choose a smaller number"
            )
        order = torch.randperm(len(nodes), generator=generator)
        train.append(nodes[order[:num_train_per_class]])
    train_mask = _mask(torch.cat(train), len(y))
    rest = ((y >= 0) & ~train_mask).nonzero().view(-1)
    num_needed = num_val + (1 if num_test is None else num_test)
    if len(rest) < num_needed:
        raise ValueError(
            f"{len(rest)} labelled nodes are left after training nodes are drawn, but "
            f"num_val={num_val} and num_test={'rest' if num_test is None else num_test} need "
            f"{num_needed}; choose smaller numbers"
        )
    rest = rest[torch.randperm(len(rest), generator=generator)]
    end = None if num_test is None else num_val + num_test
    return train_mask, _mask(rest[:num_val], len(y)), _mask(rest[num_val:end], len(y))


def check_masks(masks: Masks, y: Tensor) -> None:
    """Check one split: parts that are not empty, do not overlap and hold labelled nodes only.

    Shapes:
        masks: three of ``[num_nodes]``, bool.
        y: ``[num_nodes]``, int64.

    Raises:
        ValueError: If a part is empty, a node is in two parts, or a node has no label.
    """
    parts = dict(zip(("train_mask", "val_mask", "test_mask"), masks, strict=True))
    for name, mask in parts.items():
        if mask.dtype != torch.bool or mask.shape != y.shape:
            raise ValueError(
                f"{name} must be bool of shape {list(y.shape)}, "
                f"got {mask.dtype} of shape {list(mask.shape)}"
            )
        if not mask.any():
            raise ValueError(f"{name} is empty; every part of a split needs a node")
        unlabelled = (mask & (y < 0)).nonzero()
        if len(unlabelled):
            raise ValueError(
                f"{name} holds node {int(unlabelled[0])}, which has no label (y = -1); "
                "take it out of the mask"
            )
    names = list(parts)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        shared = (parts[names[first]] & parts[names[second]]).nonzero()
        if len(shared):
            raise ValueError(
                f"node {int(shared[0])} is in both {names[first]} and {names[second]} "
                f"({len(shared)} such nodes); the parts of a split must not overlap"
            )


def split_sha256(masks: Masks) -> str:
    """Checksum that identifies a split: the number of nodes and the three masks."""
    digest = hashlib.sha256(str(len(masks[0])).encode())
    for mask in masks:
        digest.update(np.packbits(mask.numpy()).tobytes())
    return digest.hexdigest()


def _check_counts(num_train_per_class: int, num_val: int, num_test: int | None) -> None:
    counts = {"num_train_per_class": num_train_per_class, "num_val": num_val, "num_test": num_test}
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")


def _mask(nodes: Tensor, num_nodes: int) -> Tensor:
    mask = torch.zeros(num_nodes, dtype=torch.bool)
    mask[nodes] = True
    return mask
