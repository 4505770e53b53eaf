"""Link sets of the Open Graph Benchmark, loaded by ogb but without its traps.

Those of `gnnzoo.data.ogb`, and one more: the splits are pickled arrays, which torch 2.6 or newer
does not load unless told that arrays are harmless.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import coalesce, to_undirected

from gnnzoo.data.card import load_card
from gnnzoo.data.dataset import GraphDataset
from gnnzoo.data.links import LinkSplit
from gnnzoo.data.mirrors import combined_sha256, dataset_lock, ensure_raw
from gnnzoo.data.ogb import quietly, read_ogb, safe_globals
from gnnzoo.data.weighted_links import WeightedParts

Split = Mapping[str, Mapping[str, Tensor]]

LISTS_LINKS_AGAIN = ("ogbl-collab",)  # once for each year


def ogb_link(
    name: str = "ogbl-ddi", check_sizes: bool = True, weights: bool = False
) -> GraphDataset:
    """Load a link set of OGB, made undirected, with its published split as links ``official``.

    The graph is the training graph, each edge once in both directions: ogbl-citation2 is directed
    and made undirected, links that ogbl-collab lists for several years become one edge, and years
    are left out. Training links stay as published, repetitions and directions included.

    Args:
        name: Name as OGB writes it: "ogbl-ddi", "ogbl-collab", "ogbl-ppa" or "ogbl-citation2".
        check_sizes: Hold the sizes against the card; off for a stand-in with the same layout.
        weights: Keep the weights of edges, those of all years added up; only ogbl-collab has some.

    Raises:
        MissingDataError: If the raw files are nowhere to be had.
        ValueError: If the sizes differ from the card, or there are no weights to keep.
    """
    if weights and name not in LISTS_LINKS_AGAIN:
        raise ValueError(f"{name} has no weights of edges; dataset.weights=false works")
    card = load_card(name.replace("-", "_"))
    folder = ensure_raw(card)
    with dataset_lock(card.name):
        raw, split, both_ways = _load(name, folder)
    edge_index = raw.edge_index
    if not both_ways or name in LISTS_LINKS_AGAIN:
        edge_index = to_undirected(edge_index, num_nodes=raw.num_nodes)
    data = Data(edge_index=edge_index, num_nodes=raw.num_nodes)
    if raw.x is not None:
        data.x = raw.x.float()
    val_weight = None
    if weights:
        own = raw.edge_weight.view(-1).float()
        data.edge_index, data.edge_weight = coalesce(raw.edge_index, own, raw.num_nodes, "sum")
        val_weight = split["valid"]["weight"].view(-1).float()
    parts = WeightedParts(
        _positives(split["train"]),
        _part(split["valid"]),
        _part(split["test"]),
        edge_index,
        val_weight,
    )
    if check_sizes:
        every = (parts.train, parts.val.positives, parts.test.positives)
        card.check_sizes(
            num_nodes=raw.num_nodes,
            num_links=sum(links.size(1) for links in every),
            num_features=0 if raw.x is None else raw.x.size(1),
        )
    files = card.files["graph"]
    graph = {name: sha256 for name, sha256 in files.sha256.items() if name.startswith("raw/")}
    return GraphDataset(
        name=card.name,
        data=data,
        sha256=combined_sha256(replace(files, sha256=graph), folder),
        card=card,
        links={"official": lambda: parts},
    )


def _positives(part: Mapping[str, Tensor]) -> Tensor:
    """``[2, num_positives]``; OGB stores edges in rows, citations as two lists."""
    if "edge" in part:
        return part["edge"].t().contiguous()
    return torch.stack([part["source_node"], part["target_node"]])


def _part(part: Mapping[str, Tensor]) -> LinkSplit:
    if "edge_neg" in part:
        return LinkSplit(_positives(part), part["edge_neg"].t().contiguous())
    targets = part["target_node_neg"]  # [num_positives, num_own]
    sources = part["source_node"].unsqueeze(1).expand_as(targets)
    return LinkSplit(_positives(part), torch.stack([sources, targets]))


def _load(name: str, folder: Path) -> tuple[Data, Split, bool]:
    """Load through ogb.

    Returns:
        The graph, the split, and whether ogb has put both directions of each edge into the graph.
    """

    def read(dataset: Any) -> tuple[Data, Split]:
        return dataset[0], dataset.get_edge_split()

    with safe_globals(), _safe_arrays(), quietly():
        found, both = read_ogb(name, folder, "linkproppred", "PygLinkPropPredDataset", read)
    return *found, both


def _safe_arrays() -> contextlib.AbstractContextManager[None]:
    """Let ``torch.load(weights_only=True)`` read arrays of numbers, pickled by any NumPy."""
    rebuild = np.empty(0).__reduce__()[0]
    kinds = [type(np.dtype(kind)) for kind in ("i4", "i8", "f4", "f8")]
    names = [f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")]
    return torch.serialization.safe_globals(
        [*((rebuild, name) for name in names), np.ndarray, np.dtype, *kinds]
    )
