"""Who is reached in two steps, counted without ever holding the product of the two patterns."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gnnzoo.ops import backends
from gnnzoo.ops.csr import CSR, row_entries

CELLS_PER_PATH = 16  # with more cells of a mask than this for each path, sorting is cheaper
backends.PREFERENCE["two_steps"] = ("scipy", "torch")


@torch.no_grad()
def two_step_counts(
    first: CSR,
    second: CSR,
    label: Tensor,
    rows: Tensor | None = None,
    max_items: int = 2**18,
) -> tuple[Tensor, Tensor]:
    r"""Count for each row of :math:`F S` its different columns, and those of its own label.

    Column j counts for row i once, however many paths lead there, and never if j = i. The product
    is gone through in chunks of rows, each counted and dropped.

    Args:
        first: Pattern ``[n, m]``.
        second: Pattern ``[m, n]``.
        label: What makes i and j alike.
        rows: Rows to count; all if not given. Repeated ones are counted again.
        max_items: Most paths followed in one go, which bounds the memory beside the result (by
            some 64 bytes each, and 8 for each of the n columns). The result does not depend on it.

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
    count = _counter(first, second, label, max_items)
    found = torch.zeros(2, rows.numel(), dtype=torch.int64, device=rows.device)
    for start, stop, paths in _chunks(num_paths(first, second)[rows], max_items):
        found[:, start:stop] = count(rows[start:stop], paths)
    return found[0], found[1]


def num_paths(first: CSR, second: CSR) -> Tensor:
    """``[num_rows of first]``, int64: paths of two steps from each row, the work of a product."""
    total = torch.zeros(first.num_entries + 1, dtype=torch.int64, device=first.device)
    torch.cumsum(second.row_counts().long()[first.col.long()], 0, out=total[1:])
    return total[first.rowptr[1:].long()] - total[first.rowptr[:-1].long()]


def _counter(
    first: CSR, second: CSR, label: Tensor, max_items: int
) -> Callable[[Tensor, int], Tensor]:
    if backends.choose("two_steps", first.device) == "scipy":
        from gnnzoo.ops.two_steps_scipy import Counter as ScipyCounter

        return ScipyCounter(first, second, label)
    return Counter(first, second, label, max_items)


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


class Counter:
    """Counts the reach of a chunk of rows: marked in a mask, or sorted where that is mostly empty.

    Called with the rows, ``[num_rows]``, and the number of their paths; returns ``[2, num_rows]``.
    """

    def __init__(self, first: CSR, second: CSR, label: Tensor, max_items: int) -> None:
        self.first, self.second, self.label, self.max_items = first, second, label, max_items
        self.num_cols = second.num_cols

    def __call__(self, rows: Tensor, paths: int) -> Tensor:
        entries, owner = row_entries(self.first.rowptr, rows)
        middle = self.first.col[entries].long()
        sparse = rows.numel() * self.num_cols > CELLS_PER_PATH * paths
        count = self._by_sorting if sparse and paths <= self.max_items else self._by_marking
        return count(rows, owner, middle)

    def _by_sorting(self, rows: Tensor, owner: Tensor, middle: Tensor) -> Tensor:
        key = self._cells(owner, middle).unique()
        owner = key.div(self.num_cols, rounding_mode="floor")
        col = key - owner * self.num_cols
        other = col != rows[owner]
        alike = other & (self.label[rows[owner]] == self.label[col])
        counts = (torch.bincount(owner[kind], minlength=rows.numel()) for kind in (other, alike))
        return torch.stack(tuple(counts))

    def _by_marking(self, rows: Tensor, owner: Tensor, middle: Tensor) -> Tensor:
        mask = torch.zeros(rows.numel(), self.num_cols, dtype=torch.bool, device=rows.device)
        steps = self.second.row_counts().long()[middle]
        for start, stop, _ in _chunks(steps, self.max_items):
            mask.view(-1)[self._cells(owner[start:stop], middle[start:stop])] = True
        mask[torch.arange(rows.numel(), device=rows.device), rows] = False
        counts = mask.sum(dim=1)
        mask &= self.label[rows].unsqueeze(1) == self.label
        return torch.stack([counts, mask.sum(dim=1)])

    def _cells(self, owner: Tensor, middle: Tensor) -> Tensor:
        """Where every path ends, as cells of the rows of a chunk."""
        entries, step = row_entries(self.second.rowptr, middle)
        return owner[step] * self.num_cols + self.second.col[entries].long()
