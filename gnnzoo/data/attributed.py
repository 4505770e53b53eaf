"""Attributed graphs stored as CSR arrays: Amazon, Coauthor and the full citation graphs."""

import torch
from torch import Tensor
from torch_geometric.io import read_npz

from gnnzoo.data.card import Card, load_card
from gnnzoo.data.dataset import GraphDataset, Masks, published
from gnnzoo.data.mirrors import combined_sha256, ensure_raw
from gnnzoo.data.npz import read_arrays


def attributed(name: str, directed: bool = False, check_sizes: bool = True) -> GraphDataset:
    """Load a graph of Shchur et al. 2018 or of Bojchevski and Günnemann 2018.

    Words are 0/1 and self-loops are removed, as PyG does. Where a 60/20/20 split of Luo et al. 2024
    is published, it is the masks ``luo2024``; the graphs themselves come without a split.

    Args:
        name: Name of the card, without ``_directed``: "computers", "photo", "cs", "physics",
            "cora_ml", "citeseer_full" or "dblp".
        directed: Keep the arcs as published (the set ``<name>_directed``); otherwise each becomes
            an undirected edge.
        check_sizes: Hold the sizes against the card; off for a stand-in with the same layout.

    Raises:
        MissingDataError: If the raw files are nowhere to be had.
        ValueError: If the sizes differ from the card.
    """
    card = load_card(f"{name}_directed" if directed else name)
    folder = ensure_raw(card)
    (file,) = card.files["graph"].sha256
    raw = read_npz(str(folder / file), to_undirected=not directed)
    num_nodes = len(raw.y)
    return published(
        card,
        raw,
        sha256=combined_sha256(card.files["graph"], folder),
        masks={"luo2024": lambda: _luo2024(card, num_nodes)} if "luo2024" in card.files else {},
        keep_arcs=directed,
        check_sizes=check_sizes,
    )


def _luo2024(card: Card, num_nodes: int) -> Masks:
    folder = ensure_raw(card, "luo2024")
    (file,) = card.files["luo2024"].sha256
    arrays = read_arrays(folder / file, {"train", "valid", "test"})

    def mask(part: str) -> Tensor:
        nodes = torch.zeros(num_nodes, dtype=torch.bool)
        nodes[torch.from_numpy(arrays[part])] = True
        return nodes

    return mask("train"), mask("valid"), mask("test")
