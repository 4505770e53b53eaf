"""Edges of a graph inside bags of its nodes: the induced subgraphs of many small node sets."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gnnzoo.ops.bags import Bags
from gnnzoo.ops.csr import CSR, builder, row_entries
from gnnzoo.ops.pairs import find_entries

BLOCK = 1 << 22


@builder
def induced_edges(csr: CSR, bags: Bags, block_size: int = BLOCK) -> Tensor:
    """Every entry of the pattern whose row and column are in the same bag.

    Candidates of a bag are either the entries in the rows of its nodes or all pairs of its nodes,
    whichever are fewer, so that neither hubs nor large bags of lonely nodes cost much.

    Args:
        csr: Square pattern, rows are targets.
        bags: Node sets, the nodes of each ascending and different.
        block_size: Candidates looked at at a time, about.

    Shapes:
        returns: ``[2, num_found]``, int64, places in ``bags.node``: row 0 source, row 1 target.
    """
    owner, degree = bags.owner(), csr.row_counts().long()[bags.node]
    by_row = torch.zeros_like(bags.counts()).index_add_(0, owner, degree)
    in_rows = (by_row <= bags.counts().square())[owner]  # [num_items]
    keys = owner * csr.num_cols + bags.node  # ascending
    found = [bags.node.new_empty(2, 0)]
    for items in _blocks(in_rows.nonzero().squeeze(1), degree, block_size):
        entries, place = row_entries(csr.rowptr, bags.node[items])
        target = items[place]
        wanted = owner[target] * csr.num_cols + csr.col[entries].long()
        source = torch.searchsorted(keys, wanted).clamp_(max=keys.numel() - 1)
        found.append(torch.stack([source, target])[:, keys[source] == wanted])
    for items in _blocks((~in_rows).nonzero().squeeze(1), bags.counts()[owner], block_size):
        source, place = row_entries(bags.offsets, owner[items])
        target = items[place]
        there = find_entries(csr, bags.node[target], bags.node[source])[1]
        found.append(torch.stack([source, target])[:, there])
    return torch.cat(found, dim=1)


def _blocks(items: Tensor, cost: Tensor, size: int) -> Iterator[Tensor]:
    """Items in blocks of about so many candidates each."""
    if items.numel() == 0:
        return
    block = cost[items].cumsum(0).div_(size, rounding_mode="floor")
    yield from items.split(torch.unique_consecutive(block, return_counts=True)[1].tolist())
