"""Some of the graphs of a disjoint union, gathered without sorting or looking at single edges."""

import weakref

import torch
from torch import Tensor

from gnnzoo.ops.csr import CSR, builder, row_entries
from gnnzoo.ops.graph import Graph
from gnnzoo.ops.matrix import SparseMatrix


class BlockChoice:
    """Which diagonal blocks of square, block-diagonal patterns are taken, and where they go.

    Args:
        ptr: ``[num_blocks + 1]``, int64: the first row of each block.
        chosen: ``[num_chosen]``, int64: blocks, in the order of the result; one may come twice.

    Attributes:
        rows: ``[num_rows]``, int64: the rows that are taken, one block after the other.
        owner: ``[num_rows]``, int64: the place among `chosen` of the block that each row is of.
        ptr: ``[num_chosen + 1]``, int64: the first row of each block in the result.
        shift: ``[num_chosen]``, int64: what is added to the rows of each block.
    """

    def __init__(self, ptr: Tensor, chosen: Tensor) -> None:
        self.whole_ptr, self.chosen = ptr, chosen
        self.rows, self.owner = row_entries(ptr, chosen)
        self.ptr = _starts(ptr[chosen + 1] - ptr[chosen])
        self.shift = self.ptr[:-1] - ptr[chosen]
        self._patterns: dict[int, tuple[CSR, Tensor]] = {}

    def pattern(self, whole: CSR) -> tuple[CSR, Tensor]:
        """The blocks of a pattern, with their transpose, and which entries they hold.

        Entries are sorted by row, so those of a block stand together, here and in the transpose.
        """
        if id(whole) not in self._patterns:
            self._patterns[id(whole)] = self._take(whole)
        return self._patterns[id(whole)]

    def _take(self, whole: CSR) -> tuple[CSR, Tensor]:
        first = whole.rowptr[self.whole_ptr].long()  # entry
        entries, owner = row_entries(first, self.chosen)
        moved = _starts(first[self.chosen + 1] - first[self.chosen])[:-1] - first[self.chosen]
        other, perm = whole.transposed()
        perm = _take(perm, entries) + _take(moved, owner)
        part = self._shifted(whole, entries, owner)
        turned = part if other is whole else self._shifted(other, entries, owner)
        if turned is part or _equal(turned, part):
            part._transposed = (None, perm)  # some graphs of a directed union may be undirected
            return part, entries
        part._transposed = (turned, perm)
        back = torch.empty_like(perm)
        back[perm] = torch.arange(perm.numel(), device=perm.device)
        turned._origin = (weakref.ref(part), back)
        return part, entries

    def _shifted(self, whole: CSR, entries: Tensor, owner: Tensor) -> CSR:
        dtype, size = whole.col.dtype, self.rows.numel()
        col = _take(whole.col, entries) + _take(self.shift.to(dtype), owner)
        rowptr = _starts(_take(whole.row_counts(), self.rows))
        return CSR(rowptr, col, size, size)


class GraphBlocks(Graph):
    """Some of the graphs of a union, as if it had been built from their own edges.

    What the union has made once (transpose, normalised matrices) is gathered too.

    Args:
        whole: The union.
        choice: Its nodes' blocks.
        edges: ``[num_chosen_edges]``, int64: the input edges of `whole` that are taken.
        edge_owner: ``[num_chosen_edges]``, int64: the place among the chosen of each one's graph.
    """

    def __init__(
        self, whole: Graph, choice: BlockChoice, edges: Tensor, edge_owner: Tensor
    ) -> None:
        csr, _ = choice.pattern(whole.csr)
        first = whole.csr.rowptr[choice.whole_ptr[choice.chosen]].long()
        moved = csr.rowptr[choice.ptr[:-1]].long() - first
        slot = _take(whole.slot, edges) + _take(moved, edge_owner)
        super().__init__(csr, slot)
        self.whole, self.choice = whole, choice

    @builder
    def _make_kept(self, kind: str, add_self_loops: bool, dtype: torch.dtype) -> SparseMatrix:
        if kind in ("source", "target"):  # which edges a node is an end of: not square
            return super()._make_kept(kind, add_self_loops, dtype)
        whole = self.whole._kept(kind, add_self_loops, dtype)
        csr, entries = self.choice.pattern(whole.csr)
        kept = SparseMatrix(csr, _take(whole.values, entries), whole.symmetric)
        kept.transposed()
        return kept


@builder
def take_blocks(
    whole: Graph, choice: BlockChoice, edges: Tensor, edge_owner: Tensor
) -> GraphBlocks:
    """Some of the graphs of a union as one graph; arguments are those of `GraphBlocks`."""
    return GraphBlocks(whole, choice, edges, edge_owner)


def _starts(counts: Tensor) -> Tensor:
    """``[n + 1]``: where runs of these lengths begin, and the end."""
    starts = counts.new_zeros(counts.numel() + 1)
    torch.cumsum(counts, 0, dtype=counts.dtype, out=starts[1:])
    return starts


def _equal(one: CSR, other: CSR) -> bool:
    return torch.equal(one.rowptr, other.rowptr) and torch.equal(one.col, other.col)


def _take(values: Tensor, places: Tensor) -> Tensor:
    """``values[places]``, several times faster than writing it so on a CPU."""
    return values.index_select(0, places)
