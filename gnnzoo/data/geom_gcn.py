"""WebKB and Actor in the text format of Geom-GCN, with its ten splits."""

from collections.abc import Callable
from pathlib import Path

from torch_geometric.data import Data

from gnnzoo.data.card import load_card
from gnnzoo.data.dataset import GraphDataset, published
from gnnzoo.data.mirrors import combined_sha256, ensure_raw
from gnnzoo.data.pyg import parse_raw


def _webkb(name: str) -> Callable[[Path], Data]:
    return lambda folder: parse_raw("WebKB", folder, name=name)


PARSERS: dict[str, Callable[[Path], Data]] = {
    "texas": _webkb("texas"),
    "wisconsin": _webkb("wisconsin"),
    "cornell": _webkb("cornell"),
    "actor": lambda folder: parse_raw("Actor", folder),
}


def geom_gcn(name: str, directed: bool = False, check_sizes: bool = True) -> GraphDataset:
    """Load a graph published with Geom-GCN; its ten splits are the masks ``geom-gcn``.

    Args:
        name: "texas", "wisconsin", "cornell" or "actor".
        directed: Keep the arcs as published (the set ``<name>_directed``); otherwise each becomes
            an undirected edge. Self-loops stay, repeated arcs are merged.
        check_sizes: Hold the sizes against the card; off for a stand-in with the same layout.

    Raises:
        MissingDataError: If the raw files are nowhere to be had.
        ValueError: If there is no such graph, or the sizes differ from the card.
    """
    if name not in PARSERS:
        raise ValueError(f"name must be one of {', '.join(PARSERS)}, got {name!r}")
    card = load_card(f"{name}_directed" if directed else name)
    folder = ensure_raw(card)
    ensure_raw(card, "geom-gcn")  # the same folder: PyG reads graph and splits together
    raw = PARSERS[name](folder)
    return published(
        card,
        raw,
        sha256=combined_sha256(card.files["graph"], folder),
        masks={"geom-gcn": lambda: (raw.train_mask, raw.val_mask, raw.test_mask)},
        keep_arcs=directed,
        check_sizes=check_sizes,
    )
