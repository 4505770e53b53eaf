"""Node features made of pieces that are never put together."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gnnzoo.ops.dropout import dropout
from gnnzoo.ops.matrix import SparseMatrix
from gnnzoo.ops.sparse_features import SparseFeatures, take_rows
from gnnzoo.ops.spmm import spmm


@dataclass(frozen=True)
class Piece:
    """One summand of `ComposedFeatures`.

    Args:
        features: ``[num_cols, width]``, Tensor or `SparseFeatures`.
        matrix: ``[num_rows, num_cols]``, what the features are multiplied with from the left; None
            for none, and then ``num_cols`` is ``num_rows``.
        column: Where its columns begin.
    """

    features: Tensor | SparseFeatures
    matrix: SparseMatrix | None = None
    column: int = 0

    def linear(self, weight: Tensor) -> Tensor:
        """Its share of ``x @ weight.T``: the map first, which makes it narrow."""
        x = self.features
        own = weight[:, self.column : self.column + x.size(1)]
        out = F.linear(x, own) if isinstance(x, Tensor) else x.linear(own)
        return out if self.matrix is None else spmm(self.matrix, out)

    def to_dense(self) -> Tensor:
        x = self.features if isinstance(self.features, Tensor) else self.features.to_dense()
        return x if self.matrix is None else spmm(self.matrix, x)


class ComposedFeatures(SparseFeatures):
    r"""A ``[num_rows, channels]`` matrix as a sum of pieces, read by whatever reads sparse ones.

    .. math:: X W^T = \sum_t P_t (X_t W_t^T)

    with :math:`W_t` the columns of W that piece t has. Pieces at different columns stand side by
    side, those at the same columns are added up. Nothing of the size of the sum is made but the
    result of `linear`, so sparse pieces stay sparse, and a piece may serve many sums.

    Args:
        pieces: At least one, all of the same number of rows.
        num_channels: Width of the whole.
    """

    def __init__(self, pieces: Sequence[Piece], num_channels: int) -> None:
        self.pieces = tuple(pieces)
        self.num_channels = num_channels

    @property
    def shape(self) -> torch.Size:
        first = self.pieces[0]
        rows = first.features.size(0) if first.matrix is None else first.matrix.shape[0]
        return torch.Size((rows, self.num_channels))

    @property
    def dtype(self) -> torch.dtype:
        return self.pieces[0].features.dtype

    @property
    def device(self) -> torch.device:
        return self.pieces[0].features.device

    def to_dense(self) -> Tensor:
        out = torch.zeros(self.shape, dtype=self.dtype, device=self.device)
        for piece in self.pieces:
            out[:, piece.column : piece.column + piece.features.size(1)] += piece.to_dense()
        return out

    def rows(self, index: Tensor) -> "ComposedFeatures":
        return ComposedFeatures([_rows(piece, index) for piece in self.pieces], self.num_channels)

    def dropout(self, p: float, training: bool = True) -> "ComposedFeatures":
        """Dropout on each piece; pieces must stand side by side, with no matrix before them."""
        if not training or p == 0:
            return self
        if any(piece.matrix is not None for piece in self.pieces):
            raise ValueError("features that were multiplied already cannot be dropped out")
        return ComposedFeatures([_dropped(piece, p) for piece in self.pieces], self.num_channels)

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if weight.size(1) != self.num_channels:
            raise ValueError(
                f"x has {self.num_channels} channels, layer was built for {weight.size(1)}"
            )
        first, *others = self.pieces
        out = first.linear(weight)
        for piece in others:
            out = out + piece.linear(weight)
        return out if bias is None else out + bias

    def __repr__(self) -> str:
        return f"ComposedFeatures({list(self.shape)}, {len(self.pieces)} pieces)"


def side_by_side(*parts: Tensor | SparseFeatures) -> ComposedFeatures:
    """Features next to each other, as ``torch.cat(parts, dim=1)``."""
    pieces, column = [], 0
    for part in parts:
        pieces.append(Piece(part, column=column))
        column += part.size(1)
    return ComposedFeatures(pieces, column)


def _rows(piece: Piece, index: Tensor) -> Piece:
    if piece.matrix is None:
        return Piece(take_rows(piece.features, index), None, piece.column)
    csr, entries = piece.matrix.csr.select_rows(index)
    return Piece(piece.features, SparseMatrix(csr, piece.matrix.values[entries]), piece.column)


def _dropped(piece: Piece, p: float) -> Piece:
    x = piece.features
    x = dropout(x, p) if isinstance(x, Tensor) else x.dropout(p)
    return Piece(x, None, piece.column)
