"""Rows of features of either kind: their length, their scale, more of them."""

import torch
from torch import Tensor

from gnnzoo.ops import CSR, ComposedFeatures, SparseFeatures, SparseMatrix, segment_sum
from gnnzoo.ops.composed_features import Piece
from gnnzoo.ops.spmm import compute_dtype

Features = Tensor | SparseFeatures
EPSILON = 1e-8


def row_scale(x: Features) -> Tensor:
    r"""What makes each row of length 1: :math:`1 / (\lVert x_i \rVert_2 + 10^{-8})`.

    Shapes:
        x: ``[num_rows, ...]``.
        returns: ``[num_rows]``.
    """
    return 1 / (_squares(x).sqrt() + EPSILON)


def _squares(x: Features) -> Tensor:
    if isinstance(x, ComposedFeatures):
        return sum(_squares(piece.features) for piece in x.pieces)
    if isinstance(x, SparseFeatures):
        return segment_sum(x.matrix.values.square(), x.matrix.csr.rowptr)
    return x.to(compute_dtype(x)).flatten(1).square().sum(1)


def scaled(x: Features, scale: Tensor) -> Features:
    """Each row times a number; a zero row stays zero."""
    if isinstance(x, ComposedFeatures):
        pieces = [Piece(scaled(p.features, scale), None, p.column) for p in x.pieces]
        return ComposedFeatures(pieces, x.num_channels)
    if isinstance(x, SparseFeatures):
        csr = x.matrix.csr
        return SparseFeatures(SparseMatrix(csr, x.matrix.values * scale[csr.row.long()]))
    return x * scale.to(x.dtype).view(-1, *[1] * (x.dim() - 1))


def normalized(x: Features) -> Features:
    """Rows of length 1."""
    return scaled(x, row_scale(x))


def with_rows(x: Features, more: Tensor) -> Features:
    """`x` with further rows at its end; sparse features stay sparse.

    Shapes:
        x: ``[num_rows, channels]``.
        more: ``[num_more, channels]``.
    """
    if isinstance(x, Tensor):
        return torch.cat([x, more.to(x.dtype)])
    matrix, (count, channels) = x.matrix, more.shape
    row = torch.arange(count, device=x.device).repeat_interleave(channels) + x.size(0)
    col = torch.arange(channels, device=x.device).repeat(count)
    csr = CSR.from_sorted(
        torch.cat([matrix.csr.row.long(), row]),
        torch.cat([matrix.csr.col.long(), col]),
        x.size(0) + count,
        channels,
    )
    return SparseFeatures(SparseMatrix(csr, torch.cat([matrix.values, more.to(x.dtype).flatten()])))


def wide(z: Tensor) -> Tensor:
    """One vector per row, in the type that losses are computed in."""
    return z.to(compute_dtype(z)).flatten(1)
