"""A block whose input stays the same: what does not depend on its weights is done once.

Where a layer is a fixed linear operator followed by something row by row, the operator is applied
once, at the rows that are asked for, with the scale of the rows of the input in its values. What is
kept belongs to one layer's training and goes with it; nothing is stored on a module.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gnnzoo.models.chain import Context
from gnnzoo.ops import CSR, ComposedFeatures, SparseFeatures, SparseMatrix, spmm, take_rows
from gnnzoo.ops.composed_features import Piece
from gnnzoo.ops.spmm import compute_dtype
from gnnzoo.train.forward.block import Block
from gnnzoo.train.forward.rows import Features, normalized, row_scale, scaled, wide

ROWS_AT_A_TIME = 8192


@dataclass(eq=False)
class Stream:
    """One view of the graph: what a layer reads, and where."""

    h: Any  # [num_nodes, ...], Tensor or SparseFeatures
    context: Context


class SharedProduct:
    """Features whose product with a weight serves several streams of one step.

    The first stream makes it, the others get the same tensor, cut off from the weight; `finish`
    hands the gradients of all of them on together.
    """

    def __init__(self, features: Tensor) -> None:
        self.features = features
        self.dtype, self.device = features.dtype, features.device
        self._made = self._leaf = None

    def size(self, dim: int) -> int:
        return self.features.size(dim)

    def linear(self, weight: Tensor) -> Tensor:
        if self._leaf is None:
            self._made = F.linear(self.features, weight)
            self._leaf = self._made.detach()
            self._leaf.requires_grad_(self._made.requires_grad)
        return self._leaf

    def finish(self) -> None:
        """End the step."""
        if self._leaf is not None and self._leaf.grad is not None:
            self._made.backward(self._leaf.grad)
        self._made = self._leaf = None


@dataclass
class Sharing:
    """Products that streams have in common.

    Args:
        boundary: Number of real nodes. Streams that differ in edges of virtual nodes only share the
            product over all other edges.
    """

    boundary: int
    known: list[tuple[SparseMatrix, Any, Piece]] = field(default_factory=list)
    halves: list[tuple[Any, Any, Any]] = field(default_factory=list)

    def split(self, x: Features) -> tuple[Features, Features]:
        """Rows of real and of virtual nodes; the same objects for the same `x`."""
        for whole, real, virtual in self.halves:
            if whole is x:
                return real, virtual
        nodes = torch.arange(x.size(0), device=x.device)
        parts = take_rows(x, nodes[: self.boundary]), take_rows(x, nodes[self.boundary :])
        self.halves.append((x, *parts))
        return parts

    def product(self, matrix: SparseMatrix, x: Tensor, column: int) -> Piece:
        """``matrix @ x``, once."""
        for other, features, piece in self.known:
            if features is x and piece.column == column and _equal(other, matrix):
                return piece
        piece = Piece(SharedProduct(spmm(matrix, x)), None, column)
        self.known.append((matrix, x, piece))
        return piece

    def finish(self) -> None:
        for *_, piece in self.known:
            piece.features.finish()


class FrozenInput:
    """A block at some rows of a stream whose input is fixed.

    Args:
        block: The block; its weights may change between calls.
        stream: What it reads.
        rows: ``[num_rows]``, int64, which rows of its output are wanted.
        sharing: What this stream has in common with others; None for nothing.
        use_operators: Whether to use those of the layer; without, only its input is kept.
    """

    def __init__(
        self,
        block: Block,
        stream: Stream,
        rows: Tensor,
        sharing: Sharing | None = None,
        use_operators: bool = True,
    ) -> None:
        self.block, self.stream, self.rows, self.sharing = block, stream, rows, sharing
        h = stream.h
        operators = block.operators(stream.context, compute_dtype(h)) if use_operators else None
        self.parts = self.x = None
        if operators is None:
            self.x = normalized(h)
        else:
            scale = row_scale(h)
            self.parts = [product(one, h, scale, rows, sharing) for one in operators]

    def __call__(self) -> Tensor:
        """``[num_rows, channels]``: the block's output."""
        if self.parts is not None:
            return wide(self.block.combine(self.parts))
        return wide(self.block.read(self.x, self.stream.context)).index_select(0, self.rows)


def output(block: Block, stream: Stream) -> Tensor:
    """A block's output at all nodes, some rows at a time where rows are each by themselves."""
    operators = block.operators(stream.context, compute_dtype(stream.h))
    if operators is None:
        return block(stream.h, stream.context)
    nodes = torch.arange(stream.h.size(0), device=stream.h.device)
    scale = row_scale(stream.h)
    parts = [
        block.combine([product(one, stream.h, scale, rows) for one in operators])
        for rows in nodes.split(ROWS_AT_A_TIME)
    ]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def product(
    operator: SparseMatrix | None,
    h: Features,
    scale: Tensor,
    rows: Tensor,
    sharing: Sharing | None = None,
) -> Features:
    """Some rows of ``operator @ diag(scale) @ h``; None for the identity.

    Dense features are multiplied here and now. Sparse ones stay as they are: rows of their product
    have several times their nonzeros, so they are mapped first in every step.
    """
    if operator is None and sharing is None:
        return scaled(take_rows(h, rows), scale[rows])
    matrix = _rows_of(operator, scale, rows)
    pieces = []
    for piece in h.pieces if isinstance(h, ComposedFeatures) else [Piece(h)]:
        pieces += _pieces(matrix, piece.features, piece.column, sharing)
    width = h.size(1)
    if len(pieces) == 1 and pieces[0].matrix is None and isinstance(pieces[0].features, Tensor):
        return pieces[0].features
    return ComposedFeatures(pieces, width)


def _pieces(
    matrix: SparseMatrix, x: Features, column: int, sharing: Sharing | None
) -> Sequence[Piece]:
    if sharing is not None and x.size(0) > sharing.boundary:
        (left, right), (real, virtual) = _halves(matrix, sharing.boundary), sharing.split(x)
        own = [Piece(virtual, right, column)] if right.csr.num_entries else []
        return [*_pieces(left, real, column, sharing), *own]
    if isinstance(x, SparseFeatures):
        return [Piece(*_needed(matrix, x), column)]
    if sharing is not None:
        return [sharing.product(matrix, x, column)]
    return [Piece(spmm(matrix, x), None, column)]


def _rows_of(operator: SparseMatrix | None, scale: Tensor, rows: Tensor) -> SparseMatrix:
    if operator is None:
        position = torch.arange(rows.numel(), device=rows.device)
        csr = CSR.from_sorted(position, rows, rows.numel(), scale.numel())
        return SparseMatrix(csr, scale[rows])
    csr, entries = operator.csr.select_rows(rows)
    return SparseMatrix(csr, operator.values[entries] * scale[csr.col.long()])


def _halves(matrix: SparseMatrix, boundary: int) -> tuple[SparseMatrix, SparseMatrix]:
    """The columns before and from the boundary."""
    csr, sides = matrix.csr, []
    before = csr.col < boundary
    for kept, shift, width in ((before, 0, boundary), (~before, boundary, csr.num_cols - boundary)):
        own = CSR.from_sorted(csr.row[kept].long(), csr.col[kept] - shift, csr.num_rows, width)
        sides.append(SparseMatrix(own, matrix.values[kept]))
    return sides[0], sides[1]


def _needed(matrix: SparseMatrix, x: SparseFeatures) -> tuple[SparseFeatures, SparseMatrix]:
    """The same product from the rows of `x` that the matrix reads."""
    csr = matrix.csr
    read = torch.zeros(csr.num_cols, dtype=torch.bool, device=csr.device)
    read[csr.col.long()] = True
    if read.all():
        return x, matrix
    position = read.cumsum(0) - 1
    nodes = read.nonzero().squeeze(1)
    own = CSR(csr.rowptr, position[csr.col.long()].to(csr.col.dtype), csr.num_rows, nodes.numel())
    return x.rows(nodes), SparseMatrix(own, matrix.values)


def _equal(first: SparseMatrix, second: SparseMatrix) -> bool:
    return (
        first.shape == second.shape
        and torch.equal(first.csr.rowptr, second.csr.rowptr)
        and torch.equal(first.csr.col, second.csr.col)
        and torch.equal(first.values, second.values)
    )
