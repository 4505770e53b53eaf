"""Peptides of the Long Range Graph Benchmark, made from SMILES or as the publishers stored them."""

import ast
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from gnnzoo.data.card import load_card
from gnnzoo.data.graph_task import GraphParts, GraphSet
from gnnzoo.data.graph_union import graph_union
from gnnzoo.data.kept_tensors import kept_tensors
from gnnzoo.data.mirrors import combined_sha256, dataset_lock, ensure_raw
from gnnzoo.data.ogb_graphs import molecules
from gnnzoo.data.stored_parts import PARTS, join_parts

SOURCES = ("smiles", "stored")
SPLIT = "splits_random_stratified_peptide.pickle"


def peptides(
    name: str = "peptides_func", source: str = "smiles", check_sizes: bool = True
) -> GraphSet:
    """Load 15,535 peptides as graphs of atoms, with their published split as ``official``.

    Atoms and bonds have OGB's features. From SMILES they are made once, which takes minutes, and
    kept beside the raw files.

    Args:
        name: "peptides_func", ten labels, or "peptides_struct", eleven values that the publishers
            standardised over all peptides.
        source: "smiles", which needs RDKit, or "stored": graphs as PyG's ``LRGBDataset`` reads
            them. Values are published as stored graphs only.
        check_sizes: Hold the sizes against the card; off for a stand-in with the same layout.

    Raises:
        MissingDataError: If the raw files are nowhere to be had.
        ImportError: If RDKit is needed and not installed.
        ValueError: If a setting is unknown, or the sizes differ from the card.
    """
    card = load_card(name)
    if source not in SOURCES or source not in card.files:
        known = ", ".join(key for key in SOURCES if key in card.files)
        raise ValueError(f"source of {name} must be one of {known}, got {source!r}")
    folder = ensure_raw(card, source)
    sha256 = combined_sha256(card.files[source], folder)
    if source == "smiles":
        union, parts = _from_smiles(card.name, folder, sha256)
    else:
        fields = ("x", "edge_attr", "edge_index", "y")
        read = (torch.load(folder / f"{part}.pt", weights_only=True) for part in PARTS)
        stored = [[dict(zip(fields, graph, strict=True)) for graph in part] for part in read]
        union, parts = join_parts(stored)
    union.y = union.y.float()
    target = "labels" if name == "peptides_func" else "values"
    return molecules(card, union, parts, target, sha256, check_sizes)


def _from_smiles(name: str, folder: Path, sha256: str) -> tuple[Data, GraphParts]:
    import pandas as pd

    # A pickle of arrays, opened because its checksum is the one on the card.
    split = pickle.loads((folder / SPLIT).read_bytes())
    parts = tuple(torch.as_tensor(split[part]).long() for part in PARTS)
    table = pd.read_csv(folder / "raw/peptide_multi_class_dataset.csv.gz")
    with dataset_lock(name):  # featurised once, by whoever comes first
        kept = kept_tensors(
            folder / "processed/graphs.safetensors",
            sha256,
            lambda: _featurised(table["smiles"], _smiles2graph()),
        )
    graphs = {key: value.long() for key, value in kept.items()}
    y = torch.tensor([ast.literal_eval(labels) for labels in table["labels"]])
    return graph_union(y=y, **graphs), parts


def _smiles2graph() -> Callable[[str], dict[str, Any]]:
    try:
        import rdkit  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "graphs of SMILES need RDKit: pip install 'gnnzoo[molecules]'; or "
            "dataset.source=stored loads the graphs that the publishers made"
        ) from error
    from ogb.utils import smiles2graph

    return smiles2graph


def _featurised(smiles: Any, smiles2graph: Callable[[str], dict[str, Any]]) -> dict[str, Tensor]:
    graphs = [smiles2graph(text) for text in smiles]
    rows = {"x": "node_feat", "edge_attr": "edge_feat"}
    found = {
        "edge_index": torch.cat([torch.as_tensor(g["edge_index"]) for g in graphs], dim=1),
        "num_nodes": torch.tensor([int(g["num_nodes"]) for g in graphs]),
        "num_edges": torch.tensor([g["edge_index"].shape[1] for g in graphs]),
        **{key: torch.cat([torch.as_tensor(g[row]) for g in graphs]) for key, row in rows.items()},
    }
    return {key: value.int() for key, value in found.items()}  # half the file
