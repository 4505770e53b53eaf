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
    num_val: int | None,
    num_test: int | None,
    seed: int,
    num_val_per_class: int | None = None,
) -> Masks:
    """Draw the same number of training nodes from each class, and the others from what is left.

    One permutation of each class in turn, then one of all that is left, class by class as drawn:
    with the published seed this gives the splits of "Classic GNNs are Strong Baselines" (Luo, Shi
    and Wu, NeurIPS 2024). The generator is its own: the global random state is neither read nor
    moved.

    Args:
        y: Labels, -1 for nodes without one, which are never drawn.
        num_classes: Number of classes.
        num_train_per_class: Training nodes per class.
        num_val: Validation nodes, from all classes together; None with ``num_val_per_class``.
        num_test: Test nodes; None takes all that are left.
        seed: Seed of the generator.
        num_val_per_class: Validation nodes per class, instead of ``num_val``.

    Shapes:
        y: ``[num_nodes]``, int64.
        returns: three masks ``[num_nodes]``, bool.

    Raises:
        ValueError: If a class or the whole graph has too few nodes, or not exactly one of
            ``num_val`` and ``num_val_per_class`` is given.
    """
    _check_counts(num_train_per_class, num_val, num_val_per_class, num_test)
    generator = torch.Generator().manual_seed(seed)
    train, val, rest = [], [], []
    for label in range(num_classes):
        nodes = _shuffled((y == label).nonzero().view(-1), generator)
        end = num_train_per_class + (num_val_per_class or 0)
        if len(nodes) < end:
            more = f" and num_val_per_class={num_val_per_class}" if num_val_per_class else ""
            raise ValueError(
                f"class {label} has {len(nodes)} nodes, fewer than "
                f"num_train_per_class={num_train_per_class}{more}; set protocol.num_train_per_class"
            )
        train.append(nodes[:num_train_per_class])
        val.append(nodes[num_train_per_class:end])
        rest.append(nodes[end:])
    train_mask, val_mask = _mask(torch.cat(train), len(y)), _mask(torch.cat(val), len(y))
    rest = torch.cat(rest)
    num_left = num_val or 0
    num_needed = num_left + (1 if num_test is None else num_test)
    if len(rest) < num_needed:
        raise ValueError(
            f"{len(rest)} labelled nodes are left after those of each class are drawn, but "
            f"num_val={num_left} and num_test={'rest' if num_test is None else num_test} need "
            f"{num_needed}; set protocol.num_val and protocol.num_test"
        )
    rest = _shuffled(rest, generator)
    end = None if num_test is None else num_left + num_test
    val_mask |= _mask(rest[:num_left], len(y))
    return train_mask, val_mask, _mask(rest[num_left:end], len(y))


def random_shares(y: Tensor, num_classes: int, train: float, val: float, seed: int) -> Masks:
    """Draw the same share of each class for training, another for validation; the rest tests.

    The generator is its own: the global random state is neither read nor moved.

    Args:
        y: Labels, -1 for nodes without one, which are never drawn.
        num_classes: Number of classes.
        train: Share of each class to train on, in (0, 1); counts are rounded.
        val: Share of each class to validate on, in (0, 1 - train).
        seed: Seed of the generator.

    Shapes:
        y: ``[num_nodes]``, int64.
        returns: three masks ``[num_nodes]``, bool.

    Raises:
        ValueError: If the shares are not positive, or leave nothing to test on.
    """
    if not (train > 0 and val > 0 and train + val < 1):
        raise ValueError(f"train and val must be positive shares below 1, got {train} and {val}")
    generator = torch.Generator().manual_seed(seed)
    parts: tuple[list[Tensor], ...] = ([], [], [])
    for label in range(num_classes):
        nodes = _shuffled((y == label).nonzero().view(-1), generator)
        first, second = round(train * len(nodes)), round((train + val) * len(nodes))
        for part, drawn in zip(parts, nodes.tensor_split((first, second)), strict=True):
            part.append(drawn)
    train_mask, val_mask, test_mask = (_mask(torch.cat(part), len(y)) for part in parts)
    return train_mask, val_mask, test_mask


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


def _check_counts(
    num_train_per_class: int,
    num_val: int | None,
    num_val_per_class: int | None,
    num_test: int | None,
) -> None:
    if (num_val is None) == (num_val_per_class is None):
        raise ValueError(
            "give either num_val or num_val_per_class and leave the other null, "
            f"got {num_val} and {num_val_per_class}"
        )
    counts = {
        "num_train_per_class": num_train_per_class,
        "num_val": num_val,
        "num_val_per_class": num_val_per_class,
        "num_test": num_test,
    }
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")


def _shuffled(nodes: Tensor, generator: torch.Generator) -> Tensor:
    return nodes[torch.randperm(len(nodes), generator=generator)]


def _mask(nodes: Tensor, num_nodes: int) -> Tensor:
    mask = torch.zeros(num_nodes, dtype=torch.bool)
    mask[nodes] = True
    return mask
