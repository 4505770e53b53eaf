"""Handwritten digits as a nearest-neighbour graph: real data that need no download."""

import hashlib

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gnnzoo.data.card import load_card
from gnnzoo.data.dataset import GraphDataset
from gnnzoo.data.splits import random_per_class

MAX_PIXEL = 16.0


def digits(num_neighbors: int = 8) -> GraphDataset:
    """Load scikit-learn's digits (1,797 images, 64 pixels) with a nearest-neighbour graph.

    Pixels are scaled to [0, 1]. Each image is joined to its nearest neighbours in pixel space;
    labels play no part. Its one split, ``fixed``, has 20 images per class for training, 500 for
    validation and the rest for testing, drawn once with generator seed 0.

    Args:
        num_neighbors: Neighbours per image, before the graph is made undirected.

    Raises:
        ValueError: If ``num_neighbors`` is below 1 or not below the number of images.
    """
    from sklearn.datasets import load_digits  # a second of imports that other data do not need

    pixels, labels = load_digits(return_X_y=True)
    if not 1 <= num_neighbors < len(pixels):
        raise ValueError(
            f"num_neighbors must be between 1 and {len(pixels) - 1}, got {num_neighbors}"
        )
    card = load_card("digits")
    y = torch.from_numpy(labels).long()
    data = Data(
        x=torch.from_numpy(pixels / MAX_PIXEL).float(),
        edge_index=_nearest_neighbours(pixels, num_neighbors),
        y=y,
    )
    num_classes = int(y.max()) + 1
    card.check_sizes(num_nodes=len(pixels), num_features=pixels.shape[1], num_classes=num_classes)
    content = pixels.astype("<f8").tobytes() + labels.astype("<i8").tobytes()
    return GraphDataset(
        name="digits",
        data=data,
        num_classes=num_classes,
        sha256=hashlib.sha256(content).hexdigest(),
        card=card,
        masks={
            "fixed": lambda: random_per_class(
                y, num_classes, num_train_per_class=20, num_val=500, num_test=None, seed=0
            )
        },
    )


def _nearest_neighbours(pixels: np.ndarray, num_neighbors: int) -> Tensor:
    """Edges to the nearest rows, undirected; of equally near rows the first ones are taken.

    Pixels are whole numbers, so squared distances are exact and ties are the same everywhere.
    """
    from sklearn.metrics.pairwise import euclidean_distances

    distances = euclidean_distances(pixels, squared=True)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :num_neighbors]
    source = torch.from_numpy(nearest.reshape(-1))
    target = torch.arange(len(pixels)).repeat_interleave(num_neighbors)
    return to_undirected(torch.stack([source, target]), num_nodes=len(pixels))
