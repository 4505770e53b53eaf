"""Sets of graphs whose publishers stored training, validation and test as lists of graphs."""

import io
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnnzoo.data.card import load_card
from gnnzoo.data.graph_task import GraphParts, GraphSet
from gnnzoo.data.graph_union import graph_union
from gnnzoo.data.mirrors import combined_sha256, ensure_raw
from gnnzoo.data.pickles import UnsafePickleError

PARTS = ("train", "val", "test")
ATOMS, BONDS = (28,), (4,)  # categories of ZINC


def join_parts(parts: Sequence[Sequence[Mapping[str, Tensor]]]) -> tuple[Data, GraphParts]:
    """The union of all graphs of all parts, one part after the other, and which graphs are whose.

    Args:
        parts: Lists of graphs with ``x``, ``edge_index``, ``y`` and perhaps ``edge_attr``.
    """
    graphs = [graph for part in parts for graph in part]

    def rows(key: str) -> Tensor:
        return torch.cat([graph[key] for graph in graphs])

    union = graph_union(
        torch.cat([graph["edge_index"] for graph in graphs], dim=1),
        torch.tensor([graph["x"].size(0) for graph in graphs]),
        torch.tensor([graph["edge_index"].size(1) for graph in graphs]),
        rows("y"),
        rows("x"),
        rows("edge_attr") if "edge_attr" in graphs[0] else None,
    )
    ends = torch.tensor([len(part) for part in parts]).cumsum(0)[:-1].tolist()
    return union, torch.arange(len(graphs)).tensor_split(ends)


def superpixels(name: str = "MNIST", check_sizes: bool = True) -> GraphSet:
    """Load images as graphs of superpixels, as PyG's ``GNNBenchmarkDataset`` stores them.

    Features are the colour and both coordinates, the feature of an edge its length. The published
    split is ``official``.

    Args:
        name: "MNIST" or "CIFAR10".
        check_sizes: Hold the sizes against the card; off for a stand-in with the same layout.

    Raises:
        MissingDataError: If the raw file is nowhere to be had.
        ValueError: If the sizes differ from the card.
    """
    card = load_card(name.lower())
    folder = ensure_raw(card)
    parts = torch.load(folder / f"{name}_v2.pt", weights_only=True)
    for graph in (graph for part in parts for graph in part):
        graph["x"] = torch.cat([graph["x"], graph.pop("pos")], dim=1)
        graph["edge_attr"] = graph["edge_attr"].view(-1, 1)
        graph["y"] = graph["y"].view(1)
    union, official = join_parts(parts)
    num_classes = int(union.y.max()) + 1
    if check_sizes:
        card.check_sizes(
            num_graphs=union.y.numel(), num_features=union.x.size(1), num_classes=num_classes
        )
    return GraphSet(
        name=card.name,
        data=union,
        num_classes=num_classes,
        sha256=combined_sha256(card.files["graph"], folder),
        card=card,
        graphs={"official": lambda: [official]},
    )


def zinc(check_sizes: bool = True) -> GraphSet:
    """Load the 12,000 molecules of ZINC that are commonly used, with their split as ``official``.

    The target is the constrained solubility. Features are categories: 28 kinds of atoms with their
    neighbourhoods, and 4 of bonds. The raw files are pickles, which may hold tensors and nothing
    else.

    Args:
        check_sizes: Hold the sizes against the card; off for a stand-in with the same layout.

    Raises:
        MissingDataError: If the raw files are nowhere to be had.
        UnsafePickleError: If a raw file calls for anything but tensors.
        ValueError: If the sizes differ from the card.
    """
    card = load_card("zinc")
    folder, chosen = ensure_raw(card), ensure_raw(card, "subset")
    parts = []
    for part in PARTS:
        molecules = _Tensors(folder / f"{part}.pickle").load()
        index = (chosen / f"{part}.index").read_text(encoding="utf-8")
        parts.append([_molecule(molecules[int(i)]) for i in index.strip().strip(",").split(",")])
    union, official = join_parts(parts)
    union.node_categories, union.edge_categories = ATOMS, BONDS
    if check_sizes:
        card.check_sizes(num_graphs=len(union.y), num_tasks=union.y.size(1))
    return GraphSet(
        name="zinc",
        data=union,
        sha256=combined_sha256(card.files["graph"], folder),
        card=card,
        target="values",
        graphs={"official": lambda: [official]},
    )


def _molecule(stored: Mapping[str, Any]) -> dict[str, Tensor]:
    bonds = stored["bond_type"].long()  # [num_atoms, num_atoms], 0 where there is none
    edge_index = bonds.nonzero().t().contiguous()
    return {
        "x": stored["atom_type"].long().view(-1, 1),
        "edge_index": edge_index,
        "edge_attr": bonds[edge_index[0], edge_index[1]].view(-1, 1),
        "y": torch.as_tensor(stored["logP_SA_cycle_normalized"]).float().view(1, 1),
    }


class _Tensors(pickle.Unpickler):
    """Opens a pickle of plain containers and tensors, and refuses everything else."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.BytesIO(path.read_bytes()))
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return _storage
        if (module, name) in {
            ("torch._utils", "_rebuild_tensor_v2"),
            ("collections", "OrderedDict"),
        }:
            return super().find_class(module, name)
        raise UnsafePickleError(
            f"{self.path} is a pickle that would call {module}.{name}, and was not opened; "
            "put the published file in its place"
        )


def _storage(content: bytes) -> Any:
    return torch.load(io.BytesIO(content), weights_only=True)
