"""Cora, CiteSeer and PubMed, the citation graphs of Planetoid, with their published splits.

The raw files are parsed at every start (a fifth of a second) instead of keeping PyG's
``processed`` folder: there is no cache that a kill could leave half-written.
"""

from pathlib import Path

import numpy as np
import torch
from torch_geometric.io import read_planetoid_data

from gnnzoo.data.card import Card, load_card
from gnnzoo.data.dataset import GraphDataset, Masks, published
from gnnzoo.data.mirrors import combined_sha256, ensure_raw
from gnnzoo.data.pickles import require_harmless

NUM_GEOM_GCN_SPLITS = 10


def planetoid(name: str = "Cora", check_sizes: bool = True) -> GraphDataset:
    """Load a Planetoid graph.

    Its masks are ``public`` (Yang et al. 2016: 20 nodes per class, 500, 1,000) and ``geom-gcn``
    (Pei et al. 2020: ten splits, which do not cover every node).

    The raw files are pickles. They are opened when their checksum is the one on the card; a file
    without one (PubMed's) is opened only when it names nothing but arrays, CSR matrices and
    dictionaries of lists.

    Args:
        name: "Cora", "CiteSeer" or "PubMed".
        check_sizes: Hold the sizes against the card; off for a stand-in with the same layout.

    Returns:
        The graph, undirected, features as stored (not normalised).

    Raises:
        MissingDataError: If the raw files are nowhere to be had.
        ChecksumError: If a raw file is not the published one; it is then not opened.
        UnsafePickleError: If a file without checksum calls for anything else; likewise.
    """
    card = load_card(name.lower())
    folder = ensure_raw(card)
    for file, sha256 in card.files["graph"].sha256.items():
        if sha256 is None and not file.endswith(".index"):  # which is text
            require_harmless(folder / file)
    raw = read_planetoid_data(str(folder), name)
    return published(
        card,
        raw,
        sha256=combined_sha256(card.files["graph"], folder),
        masks={
            "public": lambda: (raw.train_mask, raw.val_mask, raw.test_mask),
            "geom-gcn": lambda: _geom_gcn_masks(card),
        },
        keep_arcs=True,  # both arcs of each edge are stored, in PyG's order
        check_sizes=check_sizes,
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
