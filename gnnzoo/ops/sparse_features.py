"""Node features kept as sparse rows, for bags of words that are 99 % zeros."""

import torch
from torch import Tensor

from gnnzoo.ops.csr import CSR, builder
from gnnzoo.ops.dropout import dropout
from gnnzoo.ops.matrix import SparseMatrix
from gnnzoo.ops.spmm import spmm


class SparseFeatures:
    """A constant ``[num_nodes, channels]`` matrix of which only the nonzeros are stored.

    Read by `FeatureLinear` and `FeatureDropout`; everything else needs `to_dense()`.
    """

    def __init__(self, matrix: SparseMatrix) -> None:
        self.matrix = matrix

    @classmethod
    @builder
    def from_dense(cls, x: Tensor) -> "SparseFeatures":
        """Keep the nonzeros of `x`.

        Shapes:
            x: ``[num_nodes, channels]``, floating point, dense or any sparse layout of torch.
        """
        if x.layout != torch.strided:
            x = x.to_dense()
        if x.dim() != 2 or not x.is_floating_point():
            raise ValueError(
                f"features must be a floating point matrix, got {x.dtype} of shape {list(x.shape)}"
            )
        row, col = x.nonzero(as_tuple=True)
        csr, _ = CSR.from_coo(row, col, *x.shape)
        return cls(SparseMatrix(csr, x[row, col]))

    @property
    def shape(self) -> torch.Size:
        return torch.Size(self.matrix.shape)

    @property
    def dtype(self) -> torch.dtype:
        return self.matrix.dtype

    @property
    def device(self) -> torch.device:
        return self.matrix.device

    @property
    def density(self) -> float:
        """Share of entries that are stored, in [0, 1]."""
        rows, cols = self.matrix.shape
        return self.matrix.csr.num_entries / max(rows * cols, 1)

    def size(self, dim: int | None = None) -> torch.Size | int:
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        return 2

    def is_floating_point(self) -> bool:
        return True

    def to_dense(self) -> Tensor:
        return self.matrix.to_dense()

    def rows(self, index: Tensor) -> "SparseFeatures":
        """The features of some nodes, as ``x[index]`` of dense ones.

        Shapes:
            index: ``[num_chosen]``, int64.
            returns: ``[num_chosen, channels]``.
        """
        csr, entries = self.matrix.csr.select_rows(index)
        return SparseFeatures(SparseMatrix(csr, self.matrix.values[entries]))

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "SparseFeatures":
        if torch.device(device) == self.device:
            return self
        return SparseFeatures(self.matrix.to(device, non_blocking=non_blocking))

    def dropout(self, p: float, training: bool = True) -> "SparseFeatures":
        """Dropout on the stored values: a zero stays zero either way, so nothing else is drawn."""
        if not training or p == 0:
            return self
        return SparseFeatures(SparseMatrix(self.matrix.csr, dropout(self.matrix.values, p)))

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """``x @ weight.T + bias``, with the exact gradient to both.

        Shapes:
            weight: ``[out_channels, channels]``.
            returns: ``[num_nodes, out_channels]``.
        """
        if weight.size(1) != self.shape[1]:
            raise ValueError(
                f"x has {self.shape[1]} channels, layer was built for {weight.size(1)}"
            )
        out = spmm(self.matrix, weight.t())
        return out if bias is None else out + bias

    def __repr__(self) -> str:
        return f"SparseFeatures({list(self.shape)}, density={self.density:.4f})"


def take_rows(x: Tensor | SparseFeatures, index: Tensor) -> Tensor | SparseFeatures:
    """``x[index]`` for either kind of features."""
    return x.rows(index) if isinstance(x, SparseFeatures) else x.index_select(0, index)
