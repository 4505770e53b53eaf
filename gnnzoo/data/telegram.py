"""Telegram: channels that pass on each other's messages; directed, and without features."""

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import degree

from gnnzoo.data.card import load_card
from gnnzoo.data.dataset import GraphDataset, published
from gnnzoo.data.mirrors import combined_sha256, ensure_raw
from gnnzoo.data.npz import read_arrays

FEATURES = ("identity", "degree")


def telegram(features: str = "identity", check_sizes: bool = True) -> GraphDataset:
    """Load Telegram with its arcs; nodes have no features of their own, so these are made.

    Arcs carry counts of messages, which are not used. No split is published.

    Args:
        features: "identity" (one-hot node numbers: each node has weights of its own) or "degree"
            (logarithms of one plus in-degree and out-degree, two numbers that also describe nodes
            never seen).
        check_sizes: Hold the sizes against the card; off for a stand-in with the same layout.

    Raises:
        MissingDataError: If the raw files are nowhere to be had.
        ValueError: If ``features`` is unknown, or the sizes differ from the card.
    """
    if features not in FEATURES:
        raise ValueError(f"features must be {' or '.join(FEATURES)}, got {features!r}")
    card = load_card("telegram")
    folder = ensure_raw(card)
    y = torch.from_numpy(np.load(folder / "telegram_labels.npy", allow_pickle=False)).long()
    edge_index = _arcs(folder / "telegram_adj.npz")
    x = torch.eye(len(y)) if features == "identity" else _degrees(edge_index, len(y))
    return published(
        card,
        Data(x=x, edge_index=edge_index, y=y),
        sha256=combined_sha256(card.files["graph"], folder),
        masks={},
        keep_arcs=True,
        check_sizes=check_sizes,
        num_features=len(y),  # the card tells those of the default
    )


def _arcs(path: object) -> Tensor:
    """Row to column of a SciPy CSR matrix."""
    arrays = read_arrays(path, {"indptr", "indices"})
    indptr = torch.from_numpy(arrays["indptr"]).long()
    source = torch.arange(len(indptr) - 1).repeat_interleave(indptr.diff())
    return torch.stack([source, torch.from_numpy(arrays["indices"]).long()])


def _degrees(edge_index: Tensor, num_nodes: int) -> Tensor:
    """``[num_nodes, 2]``: in, out."""
    source, target = edge_index
    return torch.stack([degree(target, num_nodes), degree(source, num_nodes)], dim=1).log1p()
