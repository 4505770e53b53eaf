"""Cora and CiteSeer, the citation graphs of Planetoid, with their published splits.

The raw files are parsed at every start (a fifth of a second) instead of keeping PyG's
``processed`` folder: there is no cache that a kill could leave half-written.
"""

from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data
from torch_geometric.io import read_planetoid_data

from gnnzoo.data.card import Card, load_card
from gnnzoo.data.dataset import GraphDataset, Masks
from gnnzoo.data.mirrors import ChecksumError, combined_sha256, ensure_raw

NUM_GEOM_GCN_SPLITS = 10


def planetoid(name: str = "Cora") -> GraphDataset:
    """Load a Planetoid graph.

    Its masks are ``public`` (Yang et al. 2016: 20 nodes per class, 500, 1,000) and ``geom-gcn``
    (Pei et al. 2020: ten splits, which do not cover every node).

    Args:
        name: "Cora" or "CiteSeer".

    Returns:
        The graph, undirected, features as stored (not normalised).

    Raises:
        MissingDataError: If the raw files are nowhere to be had.
        ChecksumError: If a raw file is not the published one; it is then not opened.
    """
    card = load_card(name.lower())
    _require_checksums(card)
    folder = ensure_raw(card)
    # The files are pickles: they are opened only now that their checksums have matched.
    raw = read_planetoid_data(str(folder), name)
    data = Data(x=raw.x, edge_index=raw.edge_index, y=raw.y)
    num_classes = int(raw.y.max()) + 1
    card.check_sizes(
        num_nodes=data.x.size(0),
        num_edges=data.edge_index.size(1),
        num_features=data.x.size(1),
        num_classes=num_classes,
    )
    return GraphDataset(
        name=card.name,
        data=data,
        num_classes=num_classes,
        sha256=combined_sha256(card.files["graph"], folder),
        card=card,
        masks={
            "public": lambda: (raw.train_mask, raw.val_mask, raw.test_mask),
            "geom-gcn": lambda: _geom_gcn_masks(card),
        },
    )


def _require_checksums(card: Card) -> None:
    unknown = [name for name, sha256 in card.files["graph"].sha256.items() if sha256 is None]
    if unknown:
        raise ChecksumError(
            f"{unknown[0]} is a pickle and the card of {card.name} has no checksum for it; "
            "add the sha256 of the published file to the card"
        )


def _geom_gcn_masks(card: Card) -> Masks:
    folder: Path = ensure_raw(card, "geom-gcn")
    columns: dict[str, list[torch.Tensor]] = {"train_mask": [], "val_mask": [], "test_mask": []}
    for split in range(NUM_GEOM_GCN_SPLITS):
        path = folder / f"{card.name}_split_0.6_0.2_{split}.npz"
        with np.load(path, allow_pickle=False) as stored:
            for key, column in columns.items():
                column.append(torch.from_numpy(stored[key]).bool())
    train, val, test = (torch.stack(column, dim=1) for column in columns.values())
    return train, val, test
