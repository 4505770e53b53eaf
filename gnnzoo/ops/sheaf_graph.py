"""A graph seen as pairs of nodes, each with two half-edges: what a cellular sheaf lives on."""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch_geometric import EdgeIndex

from gnnzoo.ops.csr import CSR, builder
from gnnzoo.ops.graph import Graph, as_graph, check_weights
from gnnzoo.ops.matrix import SparseMatrix
from gnnzoo.ops.pair_scale import pair_scale
from gnnzoo.ops.sheaf_pattern import SheafPattern, block_entries, expand

UNDIRECTED = ("check", "symmetrize")
SYMMETRY_TOLERANCE = 1e-5  # relative; a weight computed for each direction may round differently

_made: "WeakKeyDictionary[Graph, dict[str, SheafGraph]]" = WeakKeyDictionary()


class SheafGraph:
    """Pairs of neighbours and the half-edges of a sheaf. Immutable.

    Pair ``e`` joins ``ends[0, e] < ends[1, e]``; pairs are sorted. Half-edge ``e`` is received by
    ``ends[0, e]`` and half-edge ``num_pairs + e``, its reverse, by ``ends[1, e]``, so that the two
    restriction maps of a pair are two halves of one tensor. Self-loops are left out (both of their
    maps would be the same, and cancel) and repeated edges are merged.

    Args:
        pairs: Pattern ``[num_nodes, num_nodes]`` of the pairs, the smaller end as row.
        half: ``[num_input_edges]``, int64, the half-edge of each input edge; ``2 * num_pairs``
            for a self-loop.
    """

    def __init__(self, pairs: CSR, half: Tensor) -> None:
        self.pairs = pairs
        self.half = half
        self.ends = torch.stack([pairs.row, pairs.col]).long()  # [2, num_pairs]
        self.receiver = self.ends.flatten()  # [num_half_edges]
        self._made: dict[tuple, CSR | SheafPattern | SparseMatrix | Tensor] = {}

    @classmethod
    @builder
    def from_graph(cls, graph: Graph, undirected: str = "check") -> "SheafGraph":
        """Build from a graph.

        Args:
            graph: The edges, normally in both directions.
            undirected: ``check`` refuses an edge without its reverse, ``symmetrize`` adds it.

        Raises:
            ValueError: If an edge has no reverse; the first one is named.
        """
        if undirected not in UNDIRECTED:
            raise ValueError(
                f"undirected must be one of {', '.join(map(repr, UNDIRECTED))}, got {undirected!r}"
            )
        row, col = graph.csr.row.long(), graph.csr.col.long()
        if undirected == "check" and not graph.is_undirected:
            raise ValueError(_unmatched(row, col, graph.num_nodes))
        proper = row != col
        low, high = torch.minimum(row, col)[proper], torch.maximum(row, col)[proper]
        pairs, pair = CSR.from_coo(low, high, graph.num_nodes, graph.num_nodes)
        half = row.new_full((graph.num_edges,), 2 * pairs.num_entries)
        half[proper] = pair + pairs.num_entries * (row > col)[proper]
        return cls(pairs, half[graph.slot])

    @property
    def num_nodes(self) -> int:
        return self.pairs.num_rows

    @property
    def num_pairs(self) -> int:
        return self.pairs.num_entries

    @property
    def num_half_edges(self) -> int:
        return 2 * self.num_pairs

    @property
    def num_input_edges(self) -> int:
        return self.half.numel()

    @property
    def device(self) -> torch.device:
        return self.pairs.device

    @property
    def edge_index(self) -> Tensor:
        """``[2, num_half_edges]``, int64: sender and receiver of each half-edge, in their order."""
        return torch.stack([self.ends.flip(0).flatten(), self.receiver])

    def senders(self) -> CSR:
        """Pattern ``[num_nodes, num_nodes]`` of all half-edges, receivers as rows."""
        return self._kept("senders")[0]

    def receivers(self, dtype: torch.dtype) -> SparseMatrix:
        """``[num_nodes, num_half_edges]``: which half-edges each node receives."""
        return self._kept("receivers", dtype)

    def incidence(self, dtype: torch.dtype) -> SparseMatrix:
        """``[num_nodes, num_pairs]``: which pairs each node is an end of."""
        return self._kept("incidence", dtype)

    def roles(self, dtype: torch.dtype) -> SparseMatrix:
        """``[num_half_edges, 2 * num_nodes]``: receiver and sender of each half-edge.

        Column ``2 i`` is node i as receiver and ``2 i + 1`` the same as sender, so that a product
        with ``[num_nodes, 2 * channels]``, seen as ``[2 * num_nodes, channels]``, adds what the
        receiver says in its first half to what the sender says in its second.
        """
        return self._kept("roles", dtype)

    def pattern(self, stalk_dim: int, full: bool, num_fixed: int) -> SheafPattern:
        """Where the entries of a sheaf Laplacian are; kept. See `SheafPattern`."""
        return self._kept("pattern", stalk_dim, full, num_fixed)

    def blocks(self, stalk_dim: int, num_fixed: int) -> CSR:
        """Pattern of one block for each node, coupled as in `pattern`; kept."""
        return self._kept("blocks", stalk_dim, num_fixed)

    def laplacian(
        self, weight: Tensor | None, normalize: bool, augmented: bool, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """The graph's own Laplacian, degree minus adjacency; kept if there are no weights.

        Args:
            weight: ``[num_pairs]``; None for 1 each.
            normalize: Whether to divide by the root of the degree on both sides; 0 by 0 is 0.
            augmented: Whether 1 is added to the degree for that.
            dtype: Of the result.

        Shapes:
            returns: The entries off the diagonal, but for their sign, ``[num_pairs]``, and those
                on it, ``[num_nodes]``.
        """
        if weight is None:
            return self._kept("laplacian", normalize, augmented, dtype)
        incidence = self.incidence(dtype)
        return pair_scale(weight.to(dtype), incidence, self.ends, normalize, augmented)

    def laplacian_matrix(self, sent: Tensor, diagonal: Tensor) -> SparseMatrix:
        """What `laplacian` gives as a matrix."""
        csr, order = self._kept("looped")
        values = torch.cat([-sent, -sent, diagonal]).index_select(0, order)
        return SparseMatrix(csr, values, symmetric=True)

    def pair_weights(self, edge_weight: Tensor) -> Tensor:
        """One weight per pair: repeated edges add up, the two directions are averaged.

        Shapes:
            edge_weight: ``[num_input_edges]``, floating point, not negative.
            returns: ``[num_pairs]``, differentiable.

        Raises:
            ValueError: If a weight is negative or differs from that of the reverse edge.
        """
        if not edge_weight.is_floating_point():
            raise ValueError(f"edge_weight must be floating point, got {edge_weight.dtype}")
        if edge_weight.shape != self.half.shape:
            raise ValueError(
                f"edge_weight must have shape [{self.num_input_edges}], one per edge, "
                f"got {list(edge_weight.shape)}"
            )
        check_weights(edge_weight)
        sums = edge_weight.new_zeros(self.num_half_edges + 1)  # the last takes the self-loops
        sums = sums.index_add(0, self.half, edge_weight)[:-1].view(2, -1)
        both = self._kept("directions").to(sums.dtype)
        self._check_symmetric(sums.detach(), both)
        return sums.sum(0) / both

    def _check_symmetric(self, sums: Tensor, both: Tensor) -> None:
        if torch.compiler.is_compiling():
            return  # reading a value would break the compiled graph
        odd = (sums[0] - sums[1]).abs() > SYMMETRY_TOLERANCE * sums.amax(0)
        if (odd := odd & (both == 2)).any():
            pair = int(odd.nonzero()[0])
            (u, v), (to_u, to_v) = self.ends[:, pair].tolist(), sums[:, pair].tolist()
            raise ValueError(
                f"edge_weight must be the same in both directions, but {u} -> {v} has {to_v:g} "
                f"and {v} -> {u} has {to_u:g}"
            )

    def arrange(self, maps: Tensor, missing: Tensor | None = None) -> Tensor:
        """Values given per input edge in the order of the half-edges.

        Of copies of an edge the first one is taken, and only it gets a gradient.

        Args:
            maps: Values; copies of an edge have equal ones.
            missing: Value of a half-edge that no input edge gives; None refuses such.

        Shapes:
            maps: ``[num_input_edges, ...]``.
            missing: as one row of `maps`.
            returns: ``[num_half_edges, ...]``.

        Raises:
            ValueError: If the number differs, copies differ, or a half-edge was not given.
        """
        if maps.size(0) != self.num_input_edges:
            raise ValueError(
                f"maps must have one row for each of {self.num_input_edges} edges, "
                f"got {maps.size(0)}"
            )
        first, whole, copies = self._kept("first")
        if copies and not torch.compiler.is_compiling():  # reading a value would break the graph
            proper = self.half < self.num_half_edges
            given = maps.detach()[proper]
            if not torch.equal(given, maps.detach()[first[self.half[proper]]]):
                raise ValueError("maps of copies of an edge must be equal; merge the edges first")
        if whole:
            return maps.index_select(0, first)
        if missing is None:
            raise ValueError(
                "maps need both directions of every edge; torch_geometric.utils.to_undirected "
                "makes such edges"
            )
        return torch.cat([maps, missing.to(maps).unsqueeze(0)]).index_select(0, first)

    def _kept(self, kind: str, *key: object) -> object:
        key = (kind, *key)
        if key not in self._made:
            self._made[key] = self._make(*key)
        return self._made[key]

    @builder
    def _make(self, kind: str, *key: object) -> object:
        return getattr(self, f"_make_{kind}")(*key)

    def _make_directions(self) -> Tensor:
        """``[num_pairs]``: in how many directions each pair was given."""
        given = self.half.new_zeros(self.num_half_edges + 1)
        given[self.half] = 1
        return given[:-1].view(2, -1).sum(0)

    def _make_first(self) -> tuple[Tensor, bool, bool]:
        """``[num_half_edges]``: the first input edge that gives each half-edge, `num_input_edges`
        if none does; whether all are given; whether some are given more than once."""
        edges = torch.arange(self.num_input_edges, device=self.device)
        first = self.half.new_full((self.num_half_edges + 1,), self.num_input_edges)
        first = first.scatter_reduce(0, self.half, edges, "amin")[:-1]
        num_given = int((first < self.num_input_edges).sum())
        num_proper = int((self.half < self.num_half_edges).sum())
        return first, num_given == self.num_half_edges, num_proper > num_given

    def _make_senders(self) -> tuple[CSR, Tensor]:
        sender = self.ends.flip(0).flatten()
        return CSR.from_coo(self.receiver, sender, self.num_nodes, self.num_nodes)

    def _make_receivers(self, dtype: torch.dtype) -> SparseMatrix:
        half_edges = torch.arange(self.num_half_edges, device=self.device)
        return self._ones(self.receiver, half_edges, self.num_nodes, self.num_half_edges, dtype)

    def _make_incidence(self, dtype: torch.dtype) -> SparseMatrix:
        pairs = torch.arange(self.num_pairs, device=self.device).repeat(2)
        return self._ones(self.receiver, pairs, self.num_nodes, self.num_pairs, dtype)

    def _make_roles(self, dtype: torch.dtype) -> SparseMatrix:
        sender = self.ends.flip(0).flatten()
        row = torch.arange(self.num_half_edges, device=self.device).repeat(2)
        col = torch.cat([2 * self.receiver, 2 * sender + 1])
        return self._ones(row, col, self.num_half_edges, 2 * self.num_nodes, dtype)

    def _make_looped(self) -> tuple[CSR, Tensor]:
        """Half-edges and self-loops, and which of them each entry is."""
        nodes = torch.arange(self.num_nodes, device=self.device)
        row, col = torch.cat([self.edge_index.flip(0), nodes.expand(2, -1)], dim=1)
        csr, slot = CSR.from_coo(row, col, self.num_nodes, self.num_nodes)
        return csr, slot.argsort()

    def _make_blocks(self, stalk_dim: int, num_fixed: int) -> CSR:
        nodes = torch.arange(self.num_nodes, device=self.device)
        csr, _ = CSR.from_coo(nodes, nodes, self.num_nodes, self.num_nodes)
        blocks, _ = expand(csr, block_entries(stalk_dim, True, num_fixed))
        blocks.transposed()
        _ = blocks.row
        return blocks

    def _make_laplacian(
        self, normalize: bool, augmented: bool, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        ones = torch.ones(self.num_pairs, dtype=dtype, device=self.device)
        return self.laplacian(ones, normalize, augmented, dtype)

    def _make_pattern(self, stalk_dim: int, full: bool, num_fixed: int) -> SheafPattern:
        senders, slot = self._kept("senders")
        half = torch.empty_like(slot)
        half[slot] = torch.arange(slot.numel(), device=self.device)
        return SheafPattern.make(self.ends, self.pairs, senders, half, stalk_dim, full, num_fixed)

    def _ones(
        self, row: Tensor, col: Tensor, num_rows: int, num_cols: int, dtype: torch.dtype
    ) -> SparseMatrix:
        csr, _ = CSR.from_coo(row, col, num_rows, num_cols)
        matrix = SparseMatrix(csr, torch.ones(csr.num_entries, dtype=dtype, device=self.device))
        matrix.transposed()
        return matrix

    def __repr__(self) -> str:
        return f"SheafGraph(num_nodes={self.num_nodes}, num_pairs={self.num_pairs})"


def _unmatched(row: Tensor, col: Tensor, num_nodes: int) -> str:
    """What is wrong with a directed graph: the first edge that lacks its reverse."""
    missing = ~torch.isin(row * num_nodes + col, col * num_nodes + row)
    first = int(missing.nonzero()[0])
    source, target = int(col[first]), int(row[first])
    return (
        f"a sheaf needs both directions of every edge, but {source} -> {target} has no reverse "
        f"({int(missing.sum())} such edges); undirected='symmetrize' adds them"
    )


def as_sheaf_graph(
    edge_index: Tensor | EdgeIndex | Graph | SheafGraph, num_nodes: int, undirected: str = "check"
) -> SheafGraph:
    """A `SheafGraph` as it is, that of a `Graph` made once and kept, of anything else made anew.

    Raises:
        ValueError: If a given graph has another number of nodes, or the edges are malformed.
    """
    if isinstance(edge_index, SheafGraph):
        if edge_index.num_nodes != num_nodes:
            raise ValueError(f"the graph has {edge_index.num_nodes} nodes, x has {num_nodes} rows")
        return edge_index
    graph = as_graph(edge_index, num_nodes)
    kept = _made.setdefault(graph, {})
    if undirected not in kept:
        kept[undirected] = SheafGraph.from_graph(graph, undirected)
    return kept[undirected]
