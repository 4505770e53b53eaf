"""Pairs of nodes: whether they are well formed, and where a graph has them as edges."""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from gnnzoo.ops.csr import CSR, builder
from gnnzoo.ops.graph import Graph

_KEYS: WeakKeyDictionary[CSR, Tensor] = WeakKeyDictionary()


def check_pairs(graph: Graph, pairs: Tensor) -> Tensor:
    """The pairs as int64.

    Shapes:
        pairs: ``[2, num_pairs]``, integer, nodes of the graph.

    Raises:
        ValueError: If shape, type or device is wrong, or a node is out of range.
    """
    if pairs.dim() != 2 or pairs.size(0) != 2:
        raise ValueError(f"pairs must have shape [2, num_pairs], got {list(pairs.shape)}")
    if pairs.is_floating_point() or pairs.is_complex() or pairs.dtype == torch.bool:
        raise ValueError(f"pairs must hold integers, got {pairs.dtype}")
    if pairs.device != graph.device:
        raise ValueError(f"pairs are on {pairs.device}, the graph on {graph.device}; move one")
    if pairs.numel():
        low, high = (int(v) for v in pairs.aminmax())
        if low < 0 or high >= graph.num_nodes:
            raise ValueError(
                f"pairs name node {low if low < 0 else high}, "
                f"but ids must be in [0, {graph.num_nodes}) for {graph.num_nodes} nodes"
            )
    return pairs.long()


def entry_keys(csr: CSR) -> Tensor:
    """``[num_entries]``, int64: ``row * num_cols + col``, ascending. Made once per pattern."""
    if csr not in _KEYS:
        _KEYS[csr] = _make_keys(csr)
    return _KEYS[csr]


@builder
def _make_keys(csr: CSR) -> Tensor:
    return (csr.row.long() * csr.num_cols).add_(csr.col)


@builder
def find_entries(csr: CSR, row: Tensor, col: Tensor) -> tuple[Tensor, Tensor]:
    """Where a pattern has the given coordinates.

    Shapes:
        row, col: ``[num]``, int64, within range.
        returns: entries ``[num]``, int64, meaningless where there is none; and whether there is
            one, ``[num]``, bool.
    """
    keys = entry_keys(csr)
    if keys.numel() == 0:
        return torch.zeros_like(row), torch.zeros_like(row, dtype=torch.bool)
    wanted = row * csr.num_cols + col
    found = torch.searchsorted(keys, wanted).clamp_(max=keys.numel() - 1)
    return found, keys[found] == wanted
