"""The heterophilous graphs of Platonov et al. 2023, one ``.npz`` file each, with ten splits.

Their collection also holds Chameleon and Squirrel: the graphs and splits of Geom-GCN in one small
file instead of slow text, and versions from which repeated nodes were filtered out.
"""

import torch
from torch_geometric.utils import coalesce

from gnnzoo.data.card import load_card
from gnnzoo.data.dataset import GraphDataset, published
from gnnzoo.data.mirrors import combined_sha256, ensure_raw
from gnnzoo.data.npz import read_arrays
from gnnzoo.data.pyg import parse_raw


def heterophilous(
    name: str,
    directed: bool = False,
    masks: str = "heterophilous",
    check_sizes: bool = True,
) -> GraphDataset:
    """Load a graph in the format of Platonov et al. with its ten splits.

    Args:
        name: Name of the card, without ``_directed``: "minesweeper", "chameleon_filtered" ...
        directed: Keep the arcs as published (the set ``<name>_directed``); otherwise each becomes
            an undirected edge. Self-loops stay, repeated arcs are merged.
        masks: Name given to the splits.
        check_sizes: Hold the sizes against the card; off for a stand-in with the same layout.

    Raises:
        MissingDataError: If the raw file is nowhere to be had.
        ValueError: If the sizes differ from the card.
    """
    card = load_card(f"{name}_directed" if directed else name)
    folder = ensure_raw(card)
    (file,) = card.files["graph"].sha256
    raw = parse_raw("HeterophilousGraphDataset", folder, name=file.removesuffix(".npz"))
    if directed:  # PyG has made the graph undirected
        arcs = torch.from_numpy(read_arrays(folder / file, {"edges"})["edges"])
        raw.edge_index = coalesce(arcs.t().contiguous(), num_nodes=raw.num_nodes)
    return published(
        card,
        raw,
        sha256=combined_sha256(card.files["graph"], folder),
        masks={masks: lambda: (raw.train_mask, raw.val_mask, raw.test_mask)},
        keep_arcs=directed,
        check_sizes=check_sizes,
    )
