"""A few rows of a graph with everything that they read, in place of the whole graph."""

import torch
from torch import Tensor

from gnnzoo.ops.csr import CSR, index_dtype
from gnnzoo.ops.graph import Graph
from gnnzoo.ops.matrix import SparseMatrix


class Block(Graph):
    """The nodes of a range and all their in-neighbours, for one step of message passing.

    A layer that looks one hop far takes a block as it takes a graph, on the rows `nodes` of its
    input, and its output at `targets` is that on the whole graph: matrices are rows of the
    graph's own, so degrees and repeated edges are those of all edges. Its other output rows miss
    their neighbours and mean nothing. For use without gradients.

    Nodes keep their order, and so do the summands of each row.

    Args:
        graph: The whole graph.
        start: First node of the range.
        stop: The node after its last.
    """

    def __init__(self, graph: Graph, start: int, stop: int) -> None:
        self.graph = graph
        self.start, self.stop = start, stop
        first, last = graph.csr.rowptr[[start, stop]].tolist()
        inside = torch.zeros(graph.num_nodes, dtype=torch.bool, device=graph.device)
        inside[graph.csr.col[first:last].long()] = True
        inside[start:stop] = True
        self.nodes = inside.nonzero().squeeze(1)  # [num_nodes], int64, ascending
        self._position = inside.cumsum(0, dtype=graph.csr.col.dtype) - 1
        before = int(inside[:start].sum())
        self.targets = slice(before, before + stop - start)
        super().__init__(self._pattern(graph.csr), graph.slot[:0])  # no list of its input edges

    @property
    def num_input_edges(self) -> int:
        """More than `num_edges` exactly if some edge of the whole graph is repeated."""
        return self.num_edges + self.graph.num_input_edges - self.graph.num_edges

    def matrix(
        self,
        edge_weight: Tensor | None = None,
        dtype: torch.dtype | None = None,
        add_self_loops: bool = False,
    ) -> SparseMatrix:
        """Rows of the graph's `matrix`; `edge_weight` is that of all edges, here and below."""
        return self._rows(self.graph.matrix(edge_weight, dtype, add_self_loops))

    def mean_norm(
        self,
        edge_weight: Tensor | None = None,
        add_self_loops: bool = False,
        dtype: torch.dtype | None = None,
    ) -> SparseMatrix:
        """Rows of the graph's `mean_norm`."""
        return self._rows(self.graph.mean_norm(edge_weight, add_self_loops, dtype))

    def gcn_norm(
        self,
        edge_weight: Tensor | None = None,
        add_self_loops: bool = True,
        dtype: torch.dtype | None = None,
    ) -> SparseMatrix:
        """Rows of the graph's `gcn_norm`."""
        return self._rows(self.graph.gcn_norm(edge_weight, add_self_loops, dtype))

    def _rows(self, matrix: SparseMatrix) -> SparseMatrix:
        first, last = matrix.csr.rowptr[[self.start, self.stop]].tolist()
        return SparseMatrix(self._pattern(matrix.csr), matrix.values[first:last])

    def _pattern(self, csr: CSR) -> CSR:
        """Rows of a pattern of the whole graph, square, with the rows around the range empty."""
        size = self.nodes.numel()
        rowptr = csr.rowptr[self.start : self.stop + 1]
        first, last = rowptr[[0, -1]].tolist()
        dtype = index_dtype(size, last - first)
        rowptr = torch.cat(
            [
                rowptr.new_zeros(self.targets.start),
                rowptr - first,
                rowptr.new_full((size - self.targets.stop,), last - first),
            ]
        )
        col = self._position[csr.col[first:last].long()]
        return CSR(rowptr.to(dtype), col.to(dtype), size, size)

    def __repr__(self) -> str:
        return f"Block({self.start} to {self.stop} of {self.graph})"


def block_stops(graph: Graph) -> Tensor:
    """How much the rows up to each node weigh: one for each row and one for each entry.

    A block holds no more nodes than its range weighs, which is what `block_stop` bounds.

    Shapes:
        returns: ``[num_nodes + 1]``, int64, ascending.
    """
    return graph.csr.rowptr.long() + torch.arange(graph.num_nodes + 1, device=graph.device)


def block_stop(stops: Tensor, start: int, most: int) -> int:
    """End of the longest range from `start` that weighs at most `most`, of one row at least."""
    stop = int(torch.searchsorted(stops, stops[start] + most, right=True)) - 1
    return max(stop, start + 1)
