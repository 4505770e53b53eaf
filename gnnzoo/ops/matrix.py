"""A sparse matrix: a CSR pattern and one value for each entry."""

import torch
from torch import Tensor

from gnnzoo.ops.csr import CSR, builder


class SparseMatrix:
    """Pattern and values, with the transpose made when a backward pass first needs it.

    Args:
        csr: Where the entries are.
        values: ``[num_entries]``, floating point; may require a gradient.
        symmetric: Promise that the matrix equals its transpose; then it is its own transpose.
    """

    def __init__(self, csr: CSR, values: Tensor, symmetric: bool = False) -> None:
        if values.shape != (csr.num_entries,):
            raise ValueError(
                f"values must have shape [{csr.num_entries}], got {list(values.shape)}"
            )
        self.csr = csr
        self.values = values
        self.symmetric = symmetric
        self._transposed: SparseMatrix | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.csr.shape

    @property
    def device(self) -> torch.device:
        return self.csr.device

    @property
    def dtype(self) -> torch.dtype:
        return self.values.dtype

    def transposed(self) -> "SparseMatrix":
        """The transpose, cut off from autograd; the same object if the matrix is symmetric."""
        if self.symmetric:
            return self
        if self._transposed is None:
            other, perm = self.csr.transposed()
            self._transposed = SparseMatrix(other, self.values.detach().index_select(0, perm))
        return self._transposed

    def astype(self, dtype: torch.dtype) -> "SparseMatrix":
        if dtype == self.dtype:
            return self
        return SparseMatrix(self.csr, self.values.to(dtype), self.symmetric)

    def to_dense(self) -> Tensor:
        """``[num_rows, num_cols]``; keeps the gradient to the values."""
        index = (self.csr.row.long(), self.csr.col.long())
        return self.values.new_zeros(self.shape).index_put(index, self.values)

    @builder
    def to(self, device: torch.device | str, non_blocking: bool = False) -> "SparseMatrix":
        if torch.device(device) == self.device:
            return self
        csr = self.csr.to(device, non_blocking=non_blocking)
        values = self.values.to(device, non_blocking=non_blocking)
        moved = SparseMatrix(csr, values, self.symmetric)
        return moved

    def __repr__(self) -> str:
        rows, cols = self.shape
        return f"SparseMatrix({rows} x {cols}, {self.csr.num_entries} entries, {self.dtype})"


@builder
def is_symmetric(csr: CSR, values: Tensor) -> bool:
    """Whether pattern and values equal those of the transpose, exactly."""
    return csr.is_symmetric and torch.equal(values, values[csr.transposed()[1]])
