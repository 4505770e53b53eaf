"""Common neighbours and removed links as published link predictors find them, with PyTorch alone.

What makes it slow is followed on purpose: all neighbours of both ends of every pair are spelt out
in coordinate format, all at once, and each side is looked up in the other; a graph without the
links of a batch is sorted anew.
"""

import torch
from torch import Tensor

SHIFT = 32  # a coordinate is row and column in the halves of one number


def stock_overlap(
    rowptr: Tensor, col: Tensor, pairs: Tensor, differences: bool = False
) -> tuple[Tensor, ...]:
    r"""What rows i and j of an adjacency matrix share, as sparse matrices of one row for each pair.

    Paper: "Neural Common Neighbor with Completion for Link Prediction" (Wang et al., ICLR 2024),
    https://arxiv.org/abs/2302.00890

    Args:
        rowptr, col: The adjacency matrix in CSR, columns ascending, without self-loops.
        pairs: ``[2, num_pairs]``, int64.
        differences: Whether to return what only the first and only the second row has, too.
    """
    num_nodes, num_pairs = rowptr.numel() - 1, pairs.size(1)
    first, second = (_coordinates(rowptr, col, nodes) for nodes in pairs)
    swap = first.numel() > second.numel()
    fewer, more = (second, first) if swap else (first, second)
    place, hit = _look_up(fewer, more)
    found = [fewer[hit]]
    if differences:
        left = torch.ones_like(more, dtype=torch.bool)
        left[place[hit]] = False
        rest = [fewer[~hit], more[left]]
        found += rest[::-1] if swap else rest
    return tuple(_matrix(keys, num_pairs, num_nodes) for keys in found)


def _coordinates(rowptr: Tensor, col: Tensor, nodes: Tensor) -> Tensor:
    """The chosen rows as ascending numbers, place of the row in the upper half."""
    starts = rowptr[nodes].long()
    counts = rowptr[nodes + 1].long() - starts
    row = torch.arange(nodes.numel(), device=nodes.device).repeat_interleave(counts)
    within = torch.arange(row.numel(), device=nodes.device) - (counts.cumsum(0) - counts)[row]
    return (row << SHIFT) | col[starts[row] + within].long()


def _look_up(fewer: Tensor, more: Tensor) -> tuple[Tensor, Tensor]:
    if fewer.numel() == 0:
        return fewer, fewer.bool()
    place = torch.searchsorted(more[:-1], fewer)
    return place, more[place] == fewer


def _matrix(keys: Tensor, num_rows: int, num_cols: int) -> Tensor:
    row, col = keys >> SHIFT, keys & ((1 << SHIFT) - 1)
    ones = torch.ones(keys.numel(), device=keys.device)
    matrix = torch.sparse_coo_tensor(
        torch.stack([row, col]), ones, (num_rows, num_cols), is_coalesced=True
    )
    return matrix.to_sparse_csr()


def stock_without_links(links: Tensor, keep: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    """CSR of the kept links in both directions, sorted for one direction and again for both.

    Shapes:
        links: ``[2, num_links]``, int64, each link once.
        keep: ``[num_links]``, bool.
    """
    row, col = links[:, keep]
    key = (row * num_nodes + col).sort().values
    row, col = key // num_nodes, key % num_nodes
    key = torch.cat([key, col * num_nodes + row]).sort().values
    counts = torch.bincount(key // num_nodes, minlength=num_nodes)
    rowptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return rowptr, key % num_nodes
