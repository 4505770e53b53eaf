"""Who is reached in two steps, counted without ever holding the product of the two patterns."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gnnzoo.ops.csr import CSR, row_entries

CELLS_PER_PRODUCT = 16  # with more cells of a mask than this for each product, sorting is cheaper


@torch.no_grad()
def two_step_counts(
    first: CSR,
    second: CSR,
    label: Tensor,
    rows: Tensor | None = None,
    max_items: int = 2**21,
) -> tuple[Tensor, Tensor]:
    r"""Count for each row of :math:`F S` its different columns, and those of its own label.

    Column j counts for row i once, however many paths lead there, and never if j = i. The product
    is gone through in chunks of rows: each is marked in a mask, or sorted where a mask would be
    mostly empty, counted and dropped.

    Args:
        first: Pattern ``[n, m]``.
        second: Pattern ``[m, n]``.
        label: What makes i and j alike.
        rows: Rows to count; all if not given. Repeated ones are counted again.
        max_items: Most paths followed in one go. Beside the result, memory stays below
            ``64 * max_items + 8 * n`` bytes or so. The result does not depend on it.

    Shapes:
        label: ``[n]``, integer.
        rows: ``[num_chosen]``, int64.
        returns: two of ``[num_chosen]``, int64: all columns, and those of the row's label.

    Raises:
        ValueError: If the shapes do not fit together or `max_items` is not positive.
    """
    if first.shape != second.shape[::-1] or label.shape != (first.num_rows,):
        raise ValueError(
            f"first [n, m], second [m, n] and label [n] do not fit together: got "
            f"{list(first.shape)}, {list(second.shape)} and {list(label.shape)}"
        )
    if max_items < 1:
        raise ValueError(f"max_items must be at least 1, got {max_items}")
    if rows is None:
        rows = torch.arange(first.num_rows, device=first.device)
    found = label.new_zeros(2, rows.numel(), dtype=torch.int64)
    for start, stop, paths in _chunks(num_paths(first, second)[rows], max_items):
        chunk = rows[start:stop]
        cells = chunk.numel() * first.num_rows
        if paths <= max_items and cells > CELLS_PER_PRODUCT * paths:
            found[:, start:stop] = _by_sorting(first, second, label, chunk)
        else:
            found[:, start:stop] = _by_marking(first, second, label, chunk, max_items)
    return found[0], found[1]


def num_paths(first: CSR, second: CSR) -> Tensor:
    """``[num_rows of first]``, int64: paths of two steps from each row, the work of a product."""
    total = torch.zeros(first.num_entries + 1, dtype=torch.int64, device=first.device)
    torch.cumsum(second.row_counts().long()[first.col.long()], 0, out=total[1:])
    return total[first.rowptr[1:].long()] - total[first.rowptr[:-1].long()]


def _chunks(paths: Tensor, most: int) -> Iterator[tuple[int, int, int]]:
    """Ranges with at most `most` paths, or a single row, and the paths of each range.

    Rows without paths are many in some graphs; they count as one path each.
    """
    total, start = paths.clamp(min=1).cumsum(0).cpu(), 0
    while start < total.numel():
        done = int(total[start - 1]) if start else 0
        stop = max(int(torch.searchsorted(total, done + most, right=True)), start + 1)
        yield start, stop, int(total[stop - 1]) - done
        start = stop


def _by_sorting(first: CSR, second: CSR, label: Tensor, rows: Tensor) -> Tensor:
    owner, col = _paths(second, *_first_steps(first, rows))
    key = torch.unique(owner * first.num_rows + col)
    owner = key.div(first.num_rows, rounding_mode="floor")
    col = key - owner * first.num_rows
    other = col != rows[owner]
    owner, col = owner[other], col[other]
    alike = label[rows[owner]] == label[col]
    counts = (torch.bincount(o, minlength=rows.numel()) for o in (owner, owner[alike]))
    return torch.stack(tuple(counts))


def _by_marking(first: CSR, second: CSR, label: Tensor, rows: Tensor, most: int) -> Tensor:
    owner, middle = _first_steps(first, rows)
    mask = torch.zeros(rows.numel(), first.num_rows, dtype=torch.bool, device=rows.device)
    for start, stop, _ in _chunks(second.row_counts().long()[middle], most):
        row, col = _paths(second, owner[start:stop], middle[start:stop])
        mask.view(-1)[row * first.num_rows + col] = True
    mask[torch.arange(rows.numel(), device=rows.device), rows] = False
    counts = mask.sum(dim=1)
    mask &= label[rows].unsqueeze(1) == label
    return torch.stack([counts, mask.sum(dim=1)])


def _first_steps(first: CSR, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Where the entries of some rows lead, and for each the place of its row in `rows`."""
    entries, owner = row_entries(first.rowptr, rows)
    return owner, first.col[entries].long()


def _paths(second: CSR, owner: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
    """Every path from the middle on: whose it is, and where it ends."""
    entries, step = row_entries(second.rowptr, middle)
    return owner[step], second.col[entries].long()
