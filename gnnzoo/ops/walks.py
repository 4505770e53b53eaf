"""Uniform random walks, all of them one step at a time."""

import torch
from torch import Tensor


def random_walks(
    rowptr: Tensor,
    col: Tensor,
    start: Tensor,
    length: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Walk from every start node; each step goes to an entry of the node's row, all equally likely.

    A node whose row is empty is never left. An entry that occurs several times counts as often.

    Args:
        rowptr: Where each row of a CSR pattern starts.
        col: Columns of its entries: the nodes that can be gone to.
        start: Where walks begin.
        length: Steps of every walk.
        generator: Source of the draws, on the device of the pattern; torch's global one if None.

    Shapes:
        rowptr: ``[num_nodes + 1]``, integer. col: ``[num_entries]``, integer.
        start: ``[num_walks]``, int64.
        returns: ``[num_walks, length + 1]``, int64; the first column is `start`.

    Raises:
        ValueError: If `length` is negative.
    """
    if length < 0:
        raise ValueError(f"length must be at least 0, got {length}")
    path = start.new_empty(start.numel(), length + 1)
    path[:, 0] = start
    if col.numel() == 0:
        path[:] = start.unsqueeze(1)
        return path
    degree = rowptr.diff()
    for step in range(length):
        here = path[:, step]
        count = degree[here]
        share = torch.rand(here.shape, generator=generator, dtype=torch.float64, device=col.device)
        entry = rowptr[here] + torch.minimum((share * count).long(), (count - 1).clamp(min=0))
        moved = col[entry.clamp(max=col.numel() - 1)].long()
        path[:, step + 1] = torch.where(count > 0, moved, here)
    return path
