"""Compressed sparse rows: where a matrix has entries, without their values."""

import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor


def builder(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function that makes what is kept: no autograd, no inference tensors, not compiled.

    A tensor made under ``inference_mode`` could never be saved for a backward pass later on.
    """

    @torch.compiler.disable
    @wraps(function)
    def build(*args: Any, **kwargs: Any) -> Any:
        with torch.inference_mode(False), torch.no_grad():
            return function(*args, **kwargs)

    return build


class CSR:
    """Sparsity pattern of a rectangular matrix. Immutable.

    Entries are sorted by row, then by column, and no entry occurs twice, so two equal patterns have
    equal arrays. Indices are int32 where they fit: the libraries behind the products work on those
    and would convert 64-bit ones at every call.

    Args:
        rowptr: ``[num_rows + 1]``, where each row starts in `col`.
        col: ``[num_entries]``, column of each entry.
        num_rows: Number of rows.
        num_cols: Number of columns.
    """

    def __init__(self, rowptr: Tensor, col: Tensor, num_rows: int, num_cols: int) -> None:
        self.rowptr = rowptr
        self.col = col
        self.num_rows = num_rows
        self.num_cols = num_cols
        self._row: Tensor | None = None
        # None in the pattern's place: it is its own transpose. Nothing here refers back to itself,
        # so that patterns of past steps go at once and do not wait for the garbage collector.
        self._transposed: tuple[CSR | None, Tensor] | None = None
        self._origin: tuple[weakref.ref[CSR], Tensor] | None = None  # whose transpose this is
        self._interleaved: dict[int, tuple[CSR, Tensor]] = {}

    @classmethod
    @builder
    def from_coo(
        cls, row: Tensor, col: Tensor, num_rows: int, num_cols: int
    ) -> "tuple[CSR, Tensor]":
        """Sort entries and merge repeated ones.

        Shapes:
            row, col: ``[num_input]``, any integer type, ids within range (not checked here).
            returns: the pattern, and ``slot`` ``[num_input]``, int64: the entry of each input.
        """
        key = row.long() * num_cols + col.long()
        key, order = key.sort(stable=True)
        first = torch.ones_like(key, dtype=torch.bool)
        torch.ne(key[1:], key[:-1], out=first[1:])
        slot = torch.empty_like(order)
        slot[order] = first.cumsum(0) - 1
        key = key[first]
        row = key.div(max(num_cols, 1), rounding_mode="floor")
        pattern = cls.from_sorted(row, key - row * num_cols, num_rows, num_cols)
        return pattern, slot

    @classmethod
    def from_sorted(cls, row: Tensor, col: Tensor, num_rows: int, num_cols: int) -> "CSR":
        """From entries that are sorted by row, then by column, without repetition."""
        dtype = index_dtype(num_rows, num_cols, row.numel())
        rowptr = torch.zeros(num_rows + 1, dtype=dtype, device=row.device)
        count = torch.zeros(num_rows, dtype=dtype, device=row.device)
        count.index_add_(0, row, torch.ones_like(row, dtype=dtype))
        torch.cumsum(count, 0, out=rowptr[1:])
        return cls(rowptr, col.to(dtype), num_rows, num_cols)

    @property
    def num_entries(self) -> int:
        return self.col.numel()

    @property
    def shape(self) -> tuple[int, int]:
        return self.num_rows, self.num_cols

    @property
    def device(self) -> torch.device:
        return self.col.device

    @property
    def row(self) -> Tensor:
        """``[num_entries]``: row of each entry, made when first asked for."""
        if self._row is None:
            self._row = self._make_row()
        return self._row

    @builder
    def _make_row(self) -> Tensor:
        rows = torch.arange(self.num_rows, dtype=self.col.dtype, device=self.device)
        return rows.repeat_interleave(self.row_counts().long(), output_size=self.num_entries)

    def row_counts(self) -> Tensor:
        """``[num_rows]``: entries in each row."""
        return self.rowptr[1:] - self.rowptr[:-1]

    def select_rows(self, rows: Tensor) -> "tuple[CSR, Tensor]":
        """The pattern of the given rows, in their order, and which entries of this one it holds.

        Shapes:
            rows: ``[num_chosen]``, int64.
        """
        entries, owner = row_entries(self.rowptr, rows)
        return CSR.from_sorted(owner, self.col[entries], rows.numel(), self.num_cols), entries

    def transposed(self) -> "tuple[CSR, Tensor]":
        """The transposed pattern and ``perm``, with ``values_of_transpose = values[perm]``.

        Made once. A symmetric pattern is its own transpose: the same object comes back.
        """
        if self._transposed is None:
            if self._origin is not None and (found := self._whose_transpose()):
                return found
            other, perm = self._make_transposed()
            self._transposed = (None if other is self else other, perm)
        other, perm = self._transposed
        return self if other is None else other, perm

    @torch.compiler.disable
    def _whose_transpose(self) -> "tuple[CSR, Tensor] | None":
        origin, perm = self._origin[0](), self._origin[1]
        return None if origin is None else (origin, perm)

    @builder
    def _make_transposed(self) -> "tuple[CSR, Tensor]":
        col, perm = self.col.sort(stable=True)
        other = CSR.from_sorted(col, self.row[perm], self.num_cols, self.num_rows)
        if (
            self.shape == other.shape
            and torch.equal(self.rowptr, other.rowptr)
            and torch.equal(self.col, other.col)
        ):
            return self, perm
        back = torch.empty_like(perm)
        back[perm] = torch.arange(perm.numel(), device=perm.device)
        other._origin = (weakref.ref(self), back)
        return other, perm

    def interleaved(self, times: int) -> "tuple[CSR, Tensor]":
        """The pattern for each of `times` heads at once, as of disjoint copies. Made once.

        Row or column ``i`` of head ``k`` is ``i * times + k``, so that features ``[num_cols, times
        * channels]`` are seen as ``[num_cols * times, channels]`` without a copy.

        Returns:
            The pattern and ``[times * num_entries]``: the entry that each of its entries repeats.
        """
        if times not in self._interleaved:
            self._interleaved[times] = self._make_interleaved(times)
        return self._interleaved[times]

    @builder
    def _make_interleaved(self, times: int) -> "tuple[CSR, Tensor]":
        entries = torch.arange(self.num_entries, device=self.device)
        if times == 1:
            return self, entries
        counts = self.row_counts().repeat_interleave(times)
        rows = torch.arange(times * self.num_rows, device=self.device)
        row = rows.repeat_interleave(counts.long(), output_size=times * self.num_entries)
        # Entries of a row come once for each head, one head after the other.
        first = self.rowptr[:-1].repeat_interleave(times)
        start = counts.cumsum(0) - counts
        entry = torch.arange(row.numel(), device=self.device) + (first - start)[row]
        col = self.col.long()[entry] * times + row % times
        rows, cols = times * self.num_rows, times * self.num_cols
        return CSR.from_sorted(row, col, rows, cols), entry

    @property
    def is_symmetric(self) -> bool:
        return self.transposed()[0] is self

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "CSR":
        """The same pattern on another device, with what was already made from it."""
        if torch.device(device) == self.device:
            return self
        moved = self._moved(device, non_blocking)
        if self._transposed is not None:
            other, perm = self._transposed
            perm = perm.to(device, non_blocking=non_blocking)
            moved._transposed = (
                None if other is None else other._moved(device, non_blocking),
                perm,
            )
        return moved

    @builder
    def _moved(self, device: torch.device | str, non_blocking: bool) -> "CSR":
        rowptr = self.rowptr.to(device, non_blocking=non_blocking)
        col = self.col.to(device, non_blocking=non_blocking)
        moved = CSR(rowptr, col, self.num_rows, self.num_cols)
        if self._row is not None:
            moved._row = self._row.to(device, non_blocking=non_blocking)
        return moved

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_origin": None}  # a weak reference cannot be pickled

    def __repr__(self) -> str:
        return f"CSR({self.num_rows} x {self.num_cols}, {self.num_entries} entries)"


def row_entries(rowptr: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """All entries of the given rows, row by row.

    Shapes:
        rowptr: ``[num_rows + 1]``, integer.
        rows: ``[num_chosen]``, int64.
        returns: entries ``[num_entries]``, int64; and for each of them the position of its row in
            `rows`, ``[num_entries]``, int64.
    """
    starts = rowptr[rows].long()
    counts = rowptr[rows + 1].long() - starts
    positions = torch.arange(rows.numel(), device=rows.device)
    owner = positions.repeat_interleave(counts)
    before = counts.cumsum(0) - counts  # entries of earlier chosen rows
    return torch.arange(owner.numel(), device=rows.device) + (starts - before)[owner], owner


def index_dtype(*sizes: int) -> torch.dtype:
    """int32 if every size fits, else int64."""
    return torch.int32 if max(sizes) < 2**31 - 1 else torch.int64
