"""Propagation along directed patterns, as sparse products and row scalings.

A pattern of several letters is applied letter by letter. Its matrix, which has tens of times the
edges, is never made: path counts associate, and its row sums are the same products with ones.
"""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from gnnzoo.ops import backends
from gnnzoo.ops.csr import CSR, builder
from gnnzoo.ops.graph import Graph
from gnnzoo.ops.matrix import SparseMatrix
from gnnzoo.ops.pattern_words import PatternSettings, reverse
from gnnzoo.ops.sparse_features import SparseFeatures
from gnnzoo.ops.spmm import compute_dtype, multiply, spmm

BLOCK_CHANNELS = 128

_kept: "WeakKeyDictionary[Graph, PatternOperators]" = WeakKeyDictionary()


class PatternOperators:
    """What propagation along patterns reads of a graph; see `pattern_operators`.

    Repeated edges count once, self-loops not at all. Rows are targets in a `Graph`, so its own
    pattern gathers from predecessors, and the transposed one from successors.
    """

    def __init__(self, graph: Graph) -> None:
        self.csr = _without_loops(graph.csr)
        self._matrices: dict[tuple[str, torch.dtype], SparseMatrix] = {}
        self._sums: dict[str, Tensor] = {}
        self._scales: dict[tuple, tuple[Tensor, Tensor]] = {}

    @property
    def num_nodes(self) -> int:
        return self.csr.num_rows

    @property
    def is_undirected(self) -> bool:
        return self.csr.is_symmetric

    @builder
    def matrix(self, letter: str, dtype: torch.dtype) -> SparseMatrix:
        """``[num_nodes, num_nodes]``: ones where row i has the column's node as `letter`."""
        if (letter, dtype) not in self._matrices:
            ones = torch.ones(self.csr.num_entries, dtype=dtype, device=self.csr.device)
            first = SparseMatrix(self.csr, ones, symmetric=self.csr.is_symmetric)
            self._matrices["predecessors", dtype] = first
            self._matrices["successors", dtype] = first.transposed()
        return self._matrices[letter, dtype]

    @builder
    def row_sums(self, pattern: str) -> Tensor:
        """``[num_nodes]``, float64: walks along a pattern from each node, exact up to 2**53."""
        if pattern not in self._sums:
            h = torch.ones(self.num_nodes, 1, dtype=torch.float64, device=self.csr.device)
            for letter in reversed(pattern.split("/")):
                h = spmm(self.matrix(letter, torch.float64), h)
            self._sums[pattern] = h.squeeze(1)
        return self._sums[pattern]

    @builder
    def scales(
        self, pattern: str, settings: PatternSettings, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Left and right diagonal, ``[num_nodes, 1]`` each."""
        loops = settings.self_loops and "/" not in pattern
        key = (pattern, settings.r, settings.norm, loops, dtype)
        if key not in self._scales:
            rows = self.row_sums(pattern) + loops
            columns = rows if settings.norm == "row" else self.row_sums(reverse(pattern)) + loops
            self._scales[key] = (
                _power(rows, settings.r - 1).to(dtype).unsqueeze(1),
                _power(columns, -settings.r).to(dtype).unsqueeze(1),
            )
        return self._scales[key]


def pattern_operators(graph: Graph) -> PatternOperators:
    """The operators of a graph, made once and let go with it."""
    if graph not in _kept:
        _kept[graph] = PatternOperators(graph)
    return _kept[graph]


def propagate_along(
    x: Tensor, graph: Graph, pattern: str, settings: PatternSettings, hop: int
) -> Tensor:
    """One step along a pattern, with its gradient: hop number `hop` from hop ``hop - 1``.

    Shapes:
        x: ``[num_nodes, channels]``, floating point.
        returns: ``[num_nodes, channels]``.
    """
    operators, dtype = pattern_operators(graph), compute_dtype(x)
    left, right = operators.scales(pattern, settings, dtype)
    source = h = x * right
    for letter in reversed(pattern.split("/")):
        h = spmm(operators.matrix(letter, dtype), h)
    if settings.self_loops and "/" not in pattern:
        h = h + source
    return h * (left * settings.factor(hop))


def fill_patterns(
    out: Tensor,
    x: Tensor | SparseFeatures,
    graph: Graph,
    settings: PatternSettings,
    block_channels: int = BLOCK_CHANNELS,
) -> None:
    """All hops of all patterns, some channels at a time, without gradients.

    Beyond `out` at most four blocks of ``num_nodes * block_channels`` values are held. Sparse
    features stay sparse in the first product, which takes a share of the operations.

    Shapes:
        out: ``[num_nodes, settings.num_rows, channels]``, written in place; `x` itself comes
            first, then the hops of the first pattern, and so on.
        x: ``[num_nodes, channels]``, floating point.
    """
    operators, num_nodes, width = pattern_operators(graph), *x.shape
    most = num_nodes * min(block_channels, width)
    # Allocated once: memory that is let go between blocks stays in the process, and adds up.
    room = [torch.empty(most, dtype=compute_dtype(x), device=x.device) for _ in range(3)]
    with torch.no_grad():
        for start in range(0, width, block_channels):
            channels = slice(start, min(start + block_channels, width))
            given, *buffers = (_shaped(part, num_nodes, channels) for part in room)
            block = _channels(x, channels, given)
            _fill_block(out[:, :, channels], block, buffers, operators, settings)


def _shaped(room: Tensor, num_nodes: int, channels: slice) -> Tensor:
    """The first of the values, as a block of these channels."""
    width = channels.stop - channels.start
    return room[: num_nodes * width].view(num_nodes, width)


def _fill_block(
    out: Tensor,
    x: Tensor | SparseMatrix,
    buffers: list[Tensor],
    operators: PatternOperators,
    settings: PatternSettings,
) -> None:
    """One block, with two buffers of its size."""
    dtype = x.dtype
    out[:, 0] = x if isinstance(x, Tensor) else _dense(x, buffers[0])
    for i, (pattern, word) in enumerate(zip(settings.patterns, settings.words, strict=True)):
        left, right = operators.scales(pattern, settings, dtype)
        loops = settings.self_loops and len(word) == 1
        h = x
        for hop in range(1, settings.num_hops + 1):
            source, free = buffers
            if isinstance(h, SparseMatrix):
                h = _first_product(h, right, operators.matrix(word[-1], dtype), source, free, loops)
                rest = word[:-1]
            else:
                torch.mul(h, right, out=source)
                h, rest = source, word
            for letter in reversed(rest):
                target = buffers[0] if h is buffers[1] else buffers[1]
                if loops:
                    target.copy_(h)
                matrix = operators.matrix(letter, dtype)
                csr = matrix.csr
                multiply(h, matrix.values, csr.rowptr, csr.col, target, beta=float(loops))
                h = target
            h.mul_(left).mul_(settings.factor(hop))
            out[:, 1 + i * settings.num_hops + hop - 1] = h
            if h is buffers[0]:  # the next step writes its scaled input to the first
                buffers.reverse()


def _first_product(
    x: SparseMatrix, right: Tensor, matrix: SparseMatrix, out: Tensor, spare: Tensor, loops: bool
) -> Tensor:
    """``matrix @ (right * x)`` for sparse x, plus its second factor with `loops`; dense."""
    csr = x.csr
    scaled = SparseMatrix(csr, x.values * right.squeeze(1)[csr.row])
    if x.device.type != "cpu" or backends.choose("spmm", x.device) != "csr" or not csr.num_entries:
        source = _dense(scaled, spare)
        multiply(source, matrix.values, matrix.csr.rowptr, matrix.csr.col, out)
    else:
        torch.addmm(out, _torch_csr(matrix), _torch_csr(scaled), beta=0.0, out=out)
    if loops:
        out.view(-1).index_add_(0, _places(csr), scaled.values)
    return out


def _torch_csr(matrix: SparseMatrix) -> Tensor:
    csr = matrix.csr
    return torch.sparse_csr_tensor(
        csr.rowptr, csr.col, matrix.values, csr.shape, check_invariants=False
    )


def _dense(x: SparseMatrix, out: Tensor) -> Tensor:
    out.zero_().view(-1).index_copy_(0, _places(x.csr), x.values)
    return out


def _places(csr: CSR) -> Tensor:
    """Where the entries lie in a dense matrix laid out row by row."""
    return csr.row.long() * csr.num_cols + csr.col


def _channels(x: Tensor | SparseFeatures, channels: slice, room: Tensor) -> Tensor | SparseMatrix:
    """A block of channels in the type that products are computed in; in `room` if dense."""
    dtype = compute_dtype(x)
    if isinstance(x, Tensor):
        return room.copy_(x[:, channels])
    csr = x.matrix.csr
    entries = ((csr.col >= channels.start) & (csr.col < channels.stop)).nonzero().squeeze(1)
    col = csr.col[entries] - channels.start
    width = channels.stop - channels.start
    part = CSR.from_sorted(csr.row[entries], col, csr.num_rows, width)
    return SparseMatrix(part, x.matrix.values[entries].to(dtype))


def _power(sums: Tensor, exponent: float) -> Tensor:
    """Zero to a negative power is zero; to the power of zero it is one, as in a mean."""
    return torch.where(sums > 0, sums, torch.inf if exponent else 1.0).pow(exponent)


@builder
def _without_loops(csr: CSR) -> CSR:
    keep = csr.row != csr.col
    if bool(keep.all()):
        return csr
    return CSR.from_sorted(csr.row[keep], csr.col[keep], *csr.shape)
