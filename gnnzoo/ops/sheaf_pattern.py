"""Where a sheaf Laplacian has entries, and where their values come from."""

from typing import NamedTuple

import torch
from torch import Tensor

from gnnzoo.ops.csr import CSR, index_dtype


class SheafPattern(NamedTuple):
    """The blocks of a sheaf Laplacian spelt out as single entries. Row ``i`` of stalk dimension
    ``k`` is ``i * num_stalks + k``.

    A block couples the learned stalk dimensions, all with all (``full``) or each with itself, and
    behind them every fixed dimension with itself. Those off the diagonal are stored per pair,
    either ``[num_pairs, num_stalks]`` (each with itself) or ``[num_stored, num_pairs]`` with the
    entries of a full block row by row and then the fixed dimensions.

    Args:
        ends: ``[2, num_pairs]``, the smaller end first.
        rowptr, col: Blocks off the diagonal, of both directions.
        fill: For each entry of them the place of its value among the stored ones.
        up_rowptr, up_col, up_row: Those whose row is the smaller end.
        order: For each stored value the entry of that half.
        node_rowptr, node_col, node_row: Blocks on the diagonal, entries in the order of a node.
    """

    ends: Tensor
    rowptr: Tensor
    col: Tensor
    fill: Tensor
    up_rowptr: Tensor
    up_col: Tensor
    up_row: Tensor
    order: Tensor
    node_rowptr: Tensor
    node_col: Tensor
    node_row: Tensor

    @classmethod
    def make(
        cls,
        ends: Tensor,
        pairs: CSR,
        senders: CSR,
        half: Tensor,
        stalk_dim: int,
        full: bool,
        num_fixed: int,
    ) -> "SheafPattern":
        """Spell out the blocks.

        Args:
            ends: ``[2, num_pairs]``.
            pairs: The pairs, the smaller end as row.
            senders: All half-edges, receivers as rows.
            half: ``[num_half_edges]``, the half-edge of each entry of `senders`.
            stalk_dim: Learned stalk dimensions.
            full: Whether they are coupled with each other.
            num_fixed: Stalk dimensions behind them.
        """
        block = block_entries(stalk_dim, full, num_fixed)
        whole, places = expand(senders, block)
        upper, up_places = expand(pairs, block)
        loops = torch.arange(pairs.num_rows + 1, device=ends.device)
        dtype = index_dtype(pairs.num_rows)
        node, _ = expand(CSR(loops.to(dtype), loops[:-1].to(dtype), *pairs.shape), block)
        num_pairs = pairs.num_entries
        pair, lower = half % max(num_pairs, 1), half >= num_pairs
        fill = torch.empty(whole.num_entries, dtype=torch.long, device=ends.device)
        order = torch.empty(upper.num_entries, dtype=torch.long, device=ends.device)
        every = torch.arange(num_pairs, device=ends.device)
        for j, (k, m) in enumerate(block):
            # The larger end reads the block of the smaller one transposed.
            stored = torch.where(lower, block.index((m, k)), j)
            fill[places[j]] = stored * num_pairs + pair if full else pair * len(block) + stored
            order[j * num_pairs + every if full else every * len(block) + j] = up_places[j]
        return cls(
            ends, whole.rowptr, whole.col, fill, upper.rowptr, upper.col, upper.row, order,
            node.rowptr, node.col, node.row,
        )  # fmt: skip


def block_entries(stalk_dim: int, full: bool, num_fixed: int) -> list[tuple[int, int]]:
    """Row and column of each entry of a block, row by row."""
    learned, fixed = range(stalk_dim), range(stalk_dim, stalk_dim + num_fixed)
    block = [(k, m) for k in learned for m in learned if full or k == m]
    return [*block, *((k, k) for k in fixed)]


def expand(csr: CSR, block: list[tuple[int, int]]) -> tuple[CSR, Tensor]:
    """Put a block in place of every entry.

    Returns:
        The pattern of single entries, and ``[len(block), num_entries]``: the place of each entry
        of the block for each entry of `csr`.
    """
    num_stalks = 1 + max(k for k, _ in block)
    row, col = csr.row.long(), csr.col.long()
    rowptr, counts = csr.rowptr.long(), csr.row_counts().long()
    rank = torch.arange(csr.num_entries, device=csr.device) - rowptr[row]
    widths = [sum(k == row_ for row_, _ in block) for k in range(num_stalks)]
    before = [sum(widths[:k]) for k in range(num_stalks)]
    places = row.new_empty(len(block), csr.num_entries)
    new_col = row.new_empty(len(block) * csr.num_entries)
    for j, (k, m) in enumerate(block):
        start = len(block) * rowptr[row] + before[k] * counts[row]
        places[j] = start + widths[k] * rank + (j - before[k])
        new_col[places[j]] = col * num_stalks + m
    starts = len(block) * rowptr[:-1, None] + counts[:, None] * row.new_tensor(before)
    starts = torch.cat([starts.flatten(), starts.new_tensor([new_col.numel()])])
    size = csr.num_rows * num_stalks
    dtype = index_dtype(size, new_col.numel())
    return CSR(starts.to(dtype), new_col.to(dtype), size, size), places
