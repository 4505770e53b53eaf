"""Molecules of the Open Graph Benchmark, loaded by ogb but without its traps.

Those are dealt with in `gnnzoo.data.ogb`.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnnzoo.data.card import Card, load_card
from gnnzoo.data.graph_task import GraphParts, GraphSet
from gnnzoo.data.graph_union import from_slices
from gnnzoo.data.mirrors import combined_sha256, dataset_lock, ensure_raw
from gnnzoo.data.ogb import quietly, read_ogb, safe_globals

# Atomic number, chirality, degree, formal charge, attached hydrogens, radical electrons,
# hybridisation, aromatic, in a ring; the last of most is "other".
ATOM_CATEGORIES = (119, 5, 12, 12, 10, 6, 6, 2, 2)
BOND_CATEGORIES = (5, 6, 2)  # type, stereo, conjugated


def ogb_graphs(name: str = "ogbg-molbace", check_sizes: bool = True) -> GraphSet:
    """Load molecules with their published scaffold split as ``official``.

    Features are categories: nine of each atom and three of each bond.

    Args:
        name: Name as OGB writes it, such as "ogbg-molhiv".
        check_sizes: Hold the sizes against the card; off for a stand-in with the same layout.

    Raises:
        MissingDataError: If the raw files are nowhere to be had.
        ValueError: If the sizes differ from the card, or a category is out of range.
    """
    card = load_card(name.replace("-", "_"))
    folder = ensure_raw(card)
    with dataset_lock(card.name):
        raw, slices, split, task = _load(name, folder)
    raw.y = raw.y.float()
    parts = tuple(split[part] for part in ("train", "valid", "test"))
    target = "values" if task == "regression" else "labels"
    sha256 = combined_sha256(card.files["graph"], folder)
    return molecules(card, from_slices(raw, slices), parts, target, sha256, check_sizes)


def molecules(
    card: Card, union: Data, parts: GraphParts, target: str, sha256: str, check_sizes: bool
) -> GraphSet:
    """A set of molecules with OGB's features of atoms and bonds, sizes and categories checked.

    Args:
        card: The card of the set.
        union: ``x`` and ``edge_attr`` as `ogb.utils.smiles2graph` makes them; ``y`` float32.
        parts: Its published split.
        target: "labels" or "values".
        sha256: Checksum of the raw content.
        check_sizes: Hold the sizes against the card.
    """
    if check_sizes:
        card.check_sizes(
            num_graphs=union.ptr.numel() - 1,
            num_nodes=union.num_nodes,
            num_edges=union.num_edges,
            num_tasks=union.y.size(1),
        )
    for what, value, sizes in (
        ("atom", union.x, ATOM_CATEGORIES),
        ("bond", union.edge_attr, BOND_CATEGORIES),
    ):
        _check_categories(card.name, what, value, sizes)
    union.node_categories, union.edge_categories = ATOM_CATEGORIES, BOND_CATEGORIES
    return GraphSet(
        name=card.name,
        data=union,
        sha256=sha256,
        card=card,
        target=target,
        graphs={"official": lambda: [parts]},
    )


def _check_categories(name: str, what: str, value: Tensor, sizes: tuple[int, ...]) -> None:
    if value.dim() != 2 or value.size(1) != len(sizes):
        raise ValueError(f"{name} must have {len(sizes)} {what} features, got {list(value.shape)}")
    bad = (value < 0) | (value >= torch.tensor(sizes))
    if bad.any():
        row, column = bad.nonzero()[0].tolist()
        raise ValueError(
            f"{what} {row} of {name} has {int(value[row, column])} in column {column}, which has "
            f"{sizes[column]} categories from 0"
        )


def _load(name: str, folder: Path) -> tuple[Data, dict[str, Tensor], dict[str, Tensor], str]:
    """All graphs joined, where each begins, the split, and the kind of targets."""

    def read(dataset: Any) -> tuple[Data, dict[str, Tensor], dict[str, Tensor], str]:
        return dataset._data, dataset.slices, dataset.get_idx_split(), dataset.task_type

    with safe_globals(), quietly():
        found, _ = read_ogb(name, folder, "graphproppred", "PygGraphPropPredDataset", read)
    return found
