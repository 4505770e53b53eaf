"""A graph's structure, built once from its edges and shared by everything that reads it."""

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from gnnzoo.ops.csr import CSR, builder
from gnnzoo.ops.matrix import SparseMatrix, is_symmetric


class Graph:
    """Edges of a graph as a square CSR pattern. Immutable.

    Rows are targets and columns sources, as in PyG: row ``i`` lists those that ``i`` hears from.
    Repeated edges are merged into one entry; `slot` says which, so a weight per input edge still
    counts once for each (unit weights add up to the number of repetitions). Everything else
    (transpose, normalised matrices) is made when first asked for and kept here.

    Args:
        csr: Pattern with targets as rows.
        slot: ``[num_input_edges]``, int64, the entry that each input edge became.
    """

    def __init__(self, csr: CSR, slot: Tensor) -> None:
        self.csr = csr
        self.slot = slot
        self._looped: tuple[CSR, Tensor, Tensor, Tensor, Tensor] | None = None
        self._matrices: dict[tuple[str, bool, torch.dtype], SparseMatrix] = {}

    @classmethod
    @builder
    def from_edge_index(
        cls, edge_index: Tensor | EdgeIndex, num_nodes: int | None = None
    ) -> "Graph":
        """Build from edges.

        Shapes:
            edge_index: ``[2, num_input_edges]``, integer, row 0 source and row 1 target.

        Raises:
            ValueError: If `edge_index` has the wrong shape or type, or names a node out of range.
        """
        if isinstance(edge_index, EdgeIndex):
            if num_nodes is None:
                num_nodes = max(
                    (n for n in edge_index.sparse_size() if n is not None), default=None
                )
            edge_index = edge_index.as_tensor()
        if edge_index.layout != torch.strided:
            raise ValueError(
                "edge_index is a sparse matrix; torch_geometric.utils.to_edge_index(matrix.t())[0] "
                "makes edges of one with targets as rows"
            )
        if edge_index.dim() != 2 or edge_index.size(0) != 2:
            raise ValueError(f"edge_index must have shape [2, E], got {list(edge_index.shape)}")
        if edge_index.is_floating_point() or edge_index.dtype == torch.bool:
            raise ValueError(f"edge_index must hold integers, got {edge_index.dtype}")
        low, high = edge_index.aminmax() if edge_index.numel() else (0, -1)
        low, high = int(low), int(high)
        if num_nodes is None:
            num_nodes = high + 1
        if low < 0 or high >= num_nodes:
            raise ValueError(
                f"edge_index names node {low if low < 0 else high}, "
                f"but ids must be in [0, {num_nodes}) for {num_nodes} nodes"
            )
        return cls(*CSR.from_coo(edge_index[1], edge_index[0], num_nodes, num_nodes))

    @property
    def num_nodes(self) -> int:
        return self.csr.num_rows

    @property
    def num_edges(self) -> int:
        """Number of different edges."""
        return self.csr.num_entries

    @property
    def num_input_edges(self) -> int:
        """Number of edges given, repetitions included: the length of an `edge_weight`."""
        return self.slot.numel()

    @property
    def device(self) -> torch.device:
        return self.csr.device

    @property
    def edge_index(self) -> Tensor:
        """``[2, num_edges]``, int64: the different edges, in order of the entries."""
        return torch.stack([self.csr.col, self.csr.row]).long()

    @property
    def is_undirected(self) -> bool:
        """Whether every edge has its reverse (weights are not looked at)."""
        return self.csr.is_symmetric

    @property
    def reverse_edge(self) -> Tensor:
        """``[num_edges]``: the entry of each edge's reverse.

        Raises:
            ValueError: If some edge has none.
        """
        if not self.is_undirected:
            raise ValueError("reverse_edge needs an undirected graph; some edge has no reverse")
        return self.csr.transposed()[1]

    def in_degree(self) -> Tensor:
        """``[num_nodes]``, int64: different edges that end at each node."""
        return self.csr.row_counts().long()

    def out_degree(self) -> Tensor:
        """``[num_nodes]``, int64: different edges that start at each node."""
        return self.csr.transposed()[0].row_counts().long()

    def entry_weights(self, edge_weight: Tensor) -> Tensor:
        """Weights of the input edges added up per entry.

        Shapes:
            edge_weight: ``[num_input_edges]``, floating point.
            returns: ``[num_edges]``, differentiable.

        Raises:
            ValueError: If the length or the type is wrong.
        """
        if not edge_weight.is_floating_point():
            raise ValueError(f"edge_weight must be floating point, got {edge_weight.dtype}")
        if edge_weight.shape != (self.num_input_edges,):
            raise ValueError(
                f"edge_weight must have shape [{self.num_input_edges}], one per edge, "
                f"got {list(edge_weight.shape)}"
            )
        return edge_weight.new_zeros(self.num_edges).index_add(0, self.slot, edge_weight)

    def matrix(
        self,
        edge_weight: Tensor | None = None,
        dtype: torch.dtype | None = None,
        add_self_loops: bool = False,
    ) -> SparseMatrix:
        """The adjacency matrix; kept when there are no weights.

        Args:
            edge_weight: ``[num_input_edges]``; 1 each if not given.
            dtype: Type of the values without weights; the default type if not given.
            add_self_loops: Whether to add the missing self-loops, as `gcn_norm` does.
        """
        if edge_weight is not None:
            return SparseMatrix(*self._weighted(edge_weight, add_self_loops))
        return self._kept("sum", add_self_loops, dtype or torch.get_default_dtype())

    def mean_norm(
        self,
        edge_weight: Tensor | None = None,
        add_self_loops: bool = False,
        dtype: torch.dtype | None = None,
    ) -> SparseMatrix:
        r"""Adjacency divided by the degrees, :math:`D^{-1} A`: the mean over incoming edges.

        Arguments, self-loops and errors as in `gcn_norm`; a node of degree 0 gets zeros.
        """
        if edge_weight is None:
            return self._kept("mean", add_self_loops, dtype or torch.get_default_dtype())
        check_weights(edge_weight)
        return self._averaged(edge_weight, add_self_loops)

    def gcn_norm(
        self,
        edge_weight: Tensor | None = None,
        add_self_loops: bool = True,
        dtype: torch.dtype | None = None,
    ) -> SparseMatrix:
        r"""Symmetrically normalised adjacency :math:`D^{-1/2} (A + I) D^{-1/2}`.

        A node that has a self-loop keeps it with its weight (of a repeated one the last, as in
        PyG), the others get one of weight 1. The degree is the sum of the weights of incoming
        edges, used on both sides; a node of degree 0 gets zeros. Kept when there are no weights.

        Args:
            edge_weight: ``[num_input_edges]``, finite and not negative; 1 each if not given.
            add_self_loops: Whether to add the missing self-loops.
            dtype: Type of the values without weights; the default type if not given.

        Raises:
            ValueError: If a weight is negative or not finite, or the length or type is wrong.
        """
        if edge_weight is None:
            return self._kept("gcn", add_self_loops, dtype or torch.get_default_dtype())
        check_weights(edge_weight)
        return self._normalized(edge_weight, add_self_loops)

    def incidence(self, end: str, dtype: torch.dtype | None = None) -> SparseMatrix:
        """Which edges each node is an end of; kept.

        Times values of edges it adds them up per node, and its transpose times values of nodes
        hands each edge that of its end: several times faster than scattering, both ways.

        Args:
            end: ``source`` or ``target``.
            dtype: Type of the ones; the default type if not given.

        Returns:
            A matrix of shape ``[num_nodes, num_edges]``, edges in order of the entries.
        """
        if end not in ("source", "target"):
            raise ValueError(f"end must be 'source' or 'target', got {end!r}")
        return self._kept(end, False, dtype or torch.get_default_dtype())

    def _incidence(self, end: str) -> CSR:
        if end == "target":
            rowptr, edges = self.csr.rowptr, torch.arange(self.num_edges, device=self.device)
        else:
            other, edges = self.csr.transposed()
            rowptr = other.rowptr
        return CSR(rowptr, edges.to(rowptr.dtype), self.num_nodes, self.num_edges)

    def _kept(self, kind: str, add_self_loops: bool, dtype: torch.dtype) -> SparseMatrix:
        key = (kind, add_self_loops, dtype)
        if key not in self._matrices:
            self._matrices[key] = self._make_kept(*key)
        return self._matrices[key]

    @builder
    def _make_kept(self, kind: str, add_self_loops: bool, dtype: torch.dtype) -> SparseMatrix:
        ones = torch.ones(1, dtype=dtype, device=self.device).expand(self.num_input_edges)
        if kind in ("source", "target"):
            made = SparseMatrix(self._incidence(kind), ones[:1].expand(self.num_edges).clone())
        elif kind == "sum":
            made = SparseMatrix(*self._weighted(ones, add_self_loops))
        else:
            make = self._normalized if kind == "gcn" else self._averaged
            made = make(ones, add_self_loops)
        kept = SparseMatrix(made.csr, made.values, is_symmetric(made.csr, made.values))
        kept.transposed()
        _ = kept.csr.row
        return kept

    def _weighted(self, edge_weight: Tensor, add_self_loops: bool) -> tuple[CSR, Tensor]:
        csr, weights = self.csr, self.entry_weights(edge_weight)
        if add_self_loops:
            csr, entries, loops, repeated, last = self.with_self_loops()
            if repeated.numel():
                weights = weights.index_copy(0, repeated, edge_weight[last])
            full = weights.new_zeros(csr.num_entries).index_copy(0, entries, weights)
            weights = full.index_fill(0, loops, 1.0)
        return csr, weights

    def _normalized(self, edge_weight: Tensor, add_self_loops: bool) -> SparseMatrix:
        csr, weights = self._weighted(edge_weight, add_self_loops)
        degree = weights.new_zeros(self.num_nodes).index_add(0, csr.row, weights)
        scale = torch.where(degree > 0, degree, torch.inf).rsqrt()  # 1 / sqrt(inf) = 0
        # The product of both scales first: exactly symmetric in floating point.
        return SparseMatrix(csr, weights * (scale[csr.row] * scale[csr.col]))

    def _averaged(self, edge_weight: Tensor, add_self_loops: bool) -> SparseMatrix:
        csr, weights = self._weighted(edge_weight, add_self_loops)
        degree = weights.new_zeros(self.num_nodes).index_add(0, csr.row, weights)
        return SparseMatrix(csr, weights / torch.where(degree > 0, degree, 1.0)[csr.row])

    def with_self_loops(self) -> tuple[CSR, Tensor, Tensor, Tensor, Tensor]:
        """The pattern with every missing self-loop added.

        Returns:
            The pattern; where each entry of this graph went, ``[num_edges]``; where the added
            loops are; the entries of this graph that are self-loops given more than once; and
            the last input edge of each of those.
        """
        if self._looped is None:
            self._looped = self._make_looped()
        return self._looped

    @builder
    def _make_looped(self) -> tuple[CSR, Tensor, Tensor, Tensor, Tensor]:
        csr, nodes = self.csr, torch.arange(self.num_nodes, device=self.device)
        row, col = csr.row.long(), csr.col.long()
        repeated = self._repeated_loops()
        missing = torch.ones_like(nodes)
        missing[row[row == col]] = 0
        if not missing.any():
            return csr, torch.arange(self.num_edges, device=self.device), nodes[:0], *repeated
        before = missing.cumsum(0) - missing  # loops added in earlier rows
        entries = torch.arange(self.num_edges, device=self.device) + before[row]
        entries += missing[row] * (col > row)
        smaller = torch.zeros_like(nodes).index_add_(0, row, (col < row).long())
        loops = (csr.rowptr[:-1] + before + smaller)[missing.bool()]
        new_row = nodes.new_empty(self.num_edges + loops.numel())
        new_col = torch.empty_like(new_row)
        new_row[entries], new_row[loops] = row, nodes[missing.bool()]
        new_col[entries], new_col[loops] = col, nodes[missing.bool()]
        looped = CSR.from_sorted(new_row, new_col, self.num_nodes, self.num_nodes)
        return looped, entries, loops, *repeated

    def _repeated_loops(self) -> tuple[Tensor, Tensor]:
        times = torch.bincount(self.slot, minlength=self.num_edges)
        repeated = ((self.csr.row == self.csr.col) & (times > 1)).nonzero().squeeze(-1)
        # Input edges of one entry keep their order in a stable sort, so the last ends its run.
        last = self.slot.argsort(stable=True)[times.cumsum(0)[repeated] - 1]
        return repeated, last

    @builder
    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Graph":
        """The same graph on another device, with the matrices already made."""
        if torch.device(device) == self.device:
            return self

        patterns: dict[int, CSR] = {}

        def move(item: CSR | Tensor) -> CSR | Tensor:
            if isinstance(item, Tensor):
                return item.to(device, non_blocking=non_blocking)
            if id(item) not in patterns:  # matrices share patterns, here and there
                patterns[id(item)] = item.to(device, non_blocking=non_blocking)
            return patterns[id(item)]

        graph = Graph(move(self.csr), move(self.slot))
        if self._looped is not None:
            graph._looped = tuple(move(item) for item in self._looped)
        for key, matrix in self._matrices.items():
            symmetric = matrix.transposed() is matrix
            moved = SparseMatrix(move(matrix.csr), move(matrix.values), symmetric)
            moved.transposed()
            graph._matrices[key] = moved
        return graph

    def __repr__(self) -> str:
        return f"Graph(num_nodes={self.num_nodes}, num_edges={self.num_edges})"


def check_weights(edge_weight: Tensor) -> None:
    """Refuse weights that a square root of degrees cannot take."""
    if edge_weight.numel() == 0 or torch.compiler.is_compiling():
        return  # reading a value would break the compiled graph
    low, high = (float(v) for v in edge_weight.detach().aminmax())
    if not (low >= 0 and high < float("inf")):  # also false for NaN
        bad = low if not low >= 0 else high
        raise ValueError(f"edge_weight must be finite and not negative to normalise, got {bad}")


def as_graph(edge_index: Tensor | EdgeIndex | Graph, num_nodes: int) -> Graph:
    """What every layer calls first: a `Graph` as it is, anything else built into one.

    Raises:
        ValueError: If a given graph has another number of nodes, or the edges are malformed.
    """
    if not isinstance(edge_index, Graph):
        return Graph.from_edge_index(edge_index, num_nodes)
    if edge_index.num_nodes != num_nodes:
        raise ValueError(f"the graph has {edge_index.num_nodes} nodes, x has {num_nodes} rows")
    return edge_index
