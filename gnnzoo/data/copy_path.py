"""Paths whose far nodes have to copy what stands at one end: a task about nothing but distance."""

import hashlib

import torch
from torch_geometric.data import Data

from gnnzoo.data.card import load_card
from gnnzoo.data.dataset import GraphDataset, Masks

SHARES = (0.5, 0.25)  # of the paths, for training and validation


def copy_path(
    path_length: int = 32, num_paths: int = 200, num_classes: int = 4, seed: int = 0
) -> GraphDataset:
    """Make disjoint paths, one end of each marked with a class that its farther half has to name.

    The one feature that is not zero is the class of the marked end, one-hot. Labelled are the nodes
    farther from it than half the path, so that what passes messages less than `path_length` / 2
    times is at chance, and ids of nodes within a path are shuffled. Its one split, ``fixed``,
    trains on half of the paths and validates on a quarter. Classes are equally frequent in all
    three parts, up to one path.

    Args:
        path_length: Nodes of each path.
        num_paths: Number of paths.
        num_classes: Number of classes.
        seed: Of the generator of classes and ids; torch's global one is not touched.

    Raises:
        ValueError: If a number is too small.
    """
    least = {"path_length": (path_length, 2), "num_classes": (num_classes, 2)}
    least["num_paths"] = (num_paths, 4 * max(num_classes, 1))
    for name, (value, minimum) in least.items():
        if not isinstance(value, int) or value < minimum:
            raise ValueError(f"{name} must be a whole number from {minimum}, got {value!r}")
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(num_paths) % num_classes  # [num_paths]
    start = torch.arange(num_paths).unsqueeze(1) * path_length
    order = torch.rand(num_paths, path_length, generator=generator).argsort(1)
    node = start + order  # [num_paths, path_length], from the marked end on
    x = torch.zeros(num_paths * path_length, num_classes)
    x[node[:, 0], label] = 1
    y = torch.full((num_paths * path_length,), -1)
    far = node[:, path_length // 2 :]
    y[far] = label.unsqueeze(1).expand_as(far)
    steps = torch.stack([node[:, :-1].flatten(), node[:, 1:].flatten()])
    edge_index = torch.cat([steps, steps.flip(0)], dim=1)
    content = torch.cat([edge_index.flatten(), y]).numpy().astype("<i8").tobytes()
    return GraphDataset(
        name="copy_path",
        data=Data(x=x, edge_index=edge_index, y=y),
        num_classes=num_classes,
        sha256=hashlib.sha256(content).hexdigest(),
        card=load_card("copy_path"),
        masks={"fixed": lambda: _split(num_paths, path_length, y)},
    )


def _split(num_paths: int, path_length: int, labels: torch.Tensor) -> Masks:
    """Whole paths for each part; classes go round from path to path, so runs of paths hold all."""
    path = torch.arange(num_paths).repeat_interleave(path_length)
    first, second = (round(num_paths * share) for share in (SHARES[0], sum(SHARES)))
    asked = labels >= 0
    return (
        asked & (path < first),
        asked & (path >= first) & (path < second),
        asked & (path >= second),
    )
