"""A graph without some of its edges, made by compaction: no entry is sorted again."""

import torch
from torch import Tensor

from gnnzoo.ops.csr import CSR, builder
from gnnzoo.ops.graph import Graph


@builder
def keep_entries(graph: Graph, keep: Tensor) -> Graph:
    """The graph with the entries kept only.

    Shapes:
        keep: ``[num_edges]``, bool, in order of the graph's entries.
    """
    csr, slot = graph.csr, torch.arange(int(keep.sum()), device=graph.device)
    return Graph(_kept(csr, keep), slot)


def _kept(csr: CSR, keep: Tensor) -> CSR:
    before = torch.zeros(keep.numel() + 1, dtype=csr.rowptr.dtype, device=csr.device)
    torch.cumsum(keep, 0, out=before[1:])
    return CSR(before[csr.rowptr.long()], csr.col[keep], csr.num_rows, csr.num_cols)


def find_entries(graph: Graph, pairs: Tensor) -> Tensor:
    row, col = graph.csr.row.long(), graph.csr.col.long()
    keys = row * graph.num_nodes + col
    wanted = pairs[1] * graph.num_nodes + pairs[0]
    place = torch.searchsorted(keys, wanted)
    found = keys[place.clamp(max=max(keys.numel() - 1, 0))] == wanted
    return torch.where(found, place, -1)


def drop_links(graph: Graph, pairs: Tensor) -> Graph:
    return keep_entries(graph, kept_without(graph, pairs))


@builder
def kept_without(graph: Graph, pairs: Tensor) -> Tensor:
    entries = find_entries(graph, torch.cat([pairs, pairs.flip(0)], dim=1))
    keep = torch.ones(graph.num_edges, dtype=torch.bool, device=graph.device)
    keep[entries[entries >= 0]] = False
    return keep
