"""Handwritten digits as pixel graphs: real graphs to classify that need no download."""

import hashlib

import torch
from torch import Tensor

from gnnzoo.data.card import load_card
from gnnzoo.data.digits import MAX_PIXEL
from gnnzoo.data.graph_task import GraphParts, GraphSet
from gnnzoo.data.graph_union import graph_union
from gnnzoo.data.splits import random_shares

SIDE = 8  # pixels


def digits_grid() -> GraphSet:
    """Load scikit-learn's digits (1,797 images) as one graph of 8 x 8 pixels each.

    Pixels are joined to those beside, above and below them, both ways. Features are the brightness
    and both coordinates, scaled to [0, 1]. Its one split, ``fixed``, has 60 % of each class for
    training, 20 % for validation and the rest for testing, drawn once with generator seed 0.
    """
    from sklearn.datasets import load_digits  # a second of imports that other data do not need

    pixels, labels = load_digits(return_X_y=True)
    card, num_graphs = load_card("digits_grid"), len(pixels)
    y = torch.from_numpy(labels).long()
    grid, place = _grid(), torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE))
    brightness = torch.from_numpy(pixels / MAX_PIXEL).float().view(-1, 1)
    where = (place / (SIDE - 1)).repeat(num_graphs, 1)
    data = graph_union(
        grid.repeat(1, num_graphs),
        torch.full((num_graphs,), SIDE * SIDE),
        torch.full((num_graphs,), grid.size(1)),
        y,
        x=torch.cat([brightness, where], dim=1),
    )
    num_classes = int(y.max()) + 1
    card.check_sizes(
        num_graphs=num_graphs,
        num_nodes=data.num_nodes,
        num_edges=data.num_edges,
        num_features=data.x.size(1),
        num_classes=num_classes,
    )

    def fixed() -> list[GraphParts]:
        masks = random_shares(y, num_classes, train=0.6, val=0.2, seed=0)
        return [tuple(mask.nonzero().squeeze(1) for mask in masks)]

    content = pixels.astype("<f8").tobytes() + labels.astype("<i8").tobytes()
    return GraphSet(
        name="digits_grid",
        data=data,
        num_classes=num_classes,
        sha256=hashlib.sha256(content).hexdigest(),
        card=card,
        graphs={"fixed": fixed},
    )


def _grid() -> Tensor:
    """``[2, 224]``: pixels side by side and one above the other, both ways."""
    number = torch.arange(SIDE * SIDE).view(SIDE, SIDE)
    beside = torch.stack([number[:, :-1].flatten(), number[:, 1:].flatten()])
    below = torch.stack([number[:-1].flatten(), number[1:].flatten()])
    one_way = torch.cat([beside, below], dim=1)
    return torch.cat([one_way, one_way.flip(0)], dim=1)
