"""Encodings of where a node is in its graph, computed once and kept on disk.

Both look at one graph of a union at a time, so that an encoding says nothing of other graphs.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from gnnzoo.data.pattern_cache import in_memory, on_disk, tensor_key
from gnnzoo.ops import Graph, SparseMatrix, spmm
from gnnzoo.ops.graph_blocks import BlockChoice
from gnnzoo.paths import data_root

CACHES = (None, "memory", "disk")
CHUNK = 1 << 23  # numbers of a dense block
FORMAT = 1  # raised when the same settings give other numbers


class _Encoding(BaseTransform):
    """What both encodings share: a field of so many columns, made once per graph."""

    reads_edges = True
    rows_hold_in_samples = True  # a node of a sample keeps its place in the whole graph
    field = ""

    def __init__(self, columns: int, cache: str | None, cache_dir: str | Path | None) -> None:
        if not isinstance(columns, int) or columns < 1:
            raise ValueError(f"{type(self).__name__} needs at least 1 column, got {columns!r}")
        if cache not in CACHES:
            raise ValueError(f"cache must be one of {', '.join(map(repr, CACHES))}, got {cache!r}")
        self.columns, self.cache, self.cache_dir = columns, cache, cache_dir

    def fill(self, out: Tensor, graph: Graph, ptr: Tensor, edge_weight: Tensor | None) -> None:
        raise NotImplementedError

    @torch.no_grad()
    def forward(self, data: Data) -> Data:
        graph = self.graph_of(data.edge_index.cpu(), data.num_nodes)
        ptr, weight = data.get("ptr"), data.get("edge_weight")
        ptr = torch.tensor([0, data.num_nodes]) if ptr is None else ptr.cpu()
        weight = None if weight is None else weight.cpu()

        def fill(out: Tensor) -> None:
            out.zero_()
            self.fill(out, graph, ptr, weight)

        made = self._kept(fill, graph, ptr, weight).to(data.edge_index.device)
        num_nodes = data.num_nodes
        data[self.field] = made
        data.num_nodes = num_nodes
        return data

    def graph_of(self, edge_index: Tensor, num_nodes: int) -> Graph:
        return Graph.from_edge_index(edge_index, num_nodes)

    def _kept(
        self, fill: Callable[[Tensor], None], graph: Graph, ptr: Tensor, weight: Tensor | None
    ) -> Tensor:
        shape = (graph.num_nodes, self.columns)

        def make() -> Tensor:
            out = torch.empty(shape)
            fill(out)
            return out

        if self.cache is None or 0 in shape:
            return make()
        edges = (graph.csr.rowptr, graph.csr.col, graph.slot if weight is not None else None)
        key = tensor_key(type(self).__name__, FORMAT, self.columns, ptr, *edges, weight)
        if self.cache == "memory":
            return in_memory(key, make)
        folder = data_root() / "cache" / "encodings" if self.cache_dir is None else self.cache_dir
        return on_disk(Path(folder) / f"{key}.npy", shape, torch.float32, fill)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.columns})"


class RandomWalkEncoding(_Encoding):
    r"""Put on the data, as ``random_walk_pe``, how likely a walk is back after 1, 2, .. steps.

    .. math:: p_{ik} = (D^{-1} A)^k_{ii}, \qquad k = 1, .., K

    Paper: "Graph Neural Networks with Learnable Structural and Positional Representations"
    (Dwivedi et al., ICLR 2022), eq. 6, https://arxiv.org/abs/2110.07875. The same numbers as PyG's
    ``AddRandomWalkPE``: walks follow the edges, and a node without any has zeros. One column of a
    dense block is the walk from one node of every graph at once, so that time and memory grow with
    the sizes of the graphs, not with that of their union.

    Args:
        num_steps: Steps, K.
        cache: None, ``memory`` or ``disk``, found again by a checksum over edges and settings.
        cache_dir: Folder for files; ``cache/encodings`` in the data root if None.

    Shapes:
        data.random_walk_pe, made here: ``[num_nodes, num_steps]``, float32.

    Raises:
        ValueError: If a setting is out of range.
    """

    field = "random_walk_pe"

    def __init__(
        self, num_steps: int, cache: str | None = "disk", cache_dir: str | Path | None = None
    ) -> None:
        super().__init__(num_steps, cache, cache_dir)

    def graph_of(self, edge_index: Tensor, num_nodes: int) -> Graph:
        return Graph.from_edge_index(edge_index.flip(0), num_nodes)  # rows are where a walk stands

    def fill(self, out: Tensor, graph: Graph, ptr: Tensor, edge_weight: Tensor | None) -> None:
        walk = graph.mean_norm(edge_weight, dtype=torch.float32)
        for chosen in _of_like_size(ptr):
            choice = BlockChoice(ptr, chosen)
            csr, entries = choice.pattern(walk.csr)
            step = SparseMatrix(csr, walk.values[entries])
            place = choice.rows - ptr[chosen][choice.owner]  # of each node within its graph
            width = max(CHUNK // max(choice.rows.numel(), 1), 1)
            for first in range(0, int(place.max()) + 1, width):
                rows = ((place >= first) & (place < first + width)).nonzero().squeeze(1)
                column = place[rows] - first
                h = torch.zeros(choice.rows.numel(), min(width, int(place.max()) + 1 - first))
                h[rows, column] = 1.0
                for k in range(self.columns):
                    h = spmm(step, h)
                    out[choice.rows[rows], k] = h[rows, column]


class LaplacianEncoding(_Encoding):
    r"""Put eigenvectors of each graph's Laplacian on the data as ``laplacian_pe``.

    Those of :math:`I - D^{-1/2} A D^{-1/2}` with the smallest eigenvalues, the very first left out,
    as PyG's ``AddLaplacianEigenvectorPE`` has them; a graph of fewer nodes gets columns of zeros.
    The entry of largest magnitude is positive. What is arbitrary beyond that (signs, and a basis
    where eigenvalues coincide) stays so; `gnnzoo.models.InputEncoding` draws signs in training.

    Paper: "Benchmarking Graph Neural Networks" (Dwivedi et al., JMLR 2023), section 4,
    https://arxiv.org/abs/2003.00982

    Args:
        num_vectors: Number of eigenvectors.
        cache, cache_dir: As in `RandomWalkEncoding`.

    Shapes:
        data.laplacian_pe, made here: ``[num_nodes, num_vectors]``, float32.

    Raises:
        ValueError: If a setting is out of range, or an edge has no reverse.
    """

    field = "laplacian_pe"

    def __init__(
        self, num_vectors: int, cache: str | None = "disk", cache_dir: str | Path | None = None
    ) -> None:
        super().__init__(num_vectors, cache, cache_dir)

    def graph_of(self, edge_index: Tensor, num_nodes: int) -> Graph:
        graph = super().graph_of(edge_index, num_nodes)
        if not graph.is_undirected:
            raise ValueError("LaplacianEncoding needs undirected graphs; some edge has no reverse")
        return graph

    def fill(self, out: Tensor, graph: Graph, ptr: Tensor, edge_weight: Tensor | None) -> None:
        weight = None if edge_weight is None else edge_weight.double()
        matrix = graph.gcn_norm(weight, add_self_loops=False, dtype=torch.float64)
        sizes = ptr.diff()
        for size in sizes.unique().tolist():
            if size < 2:  # no eigenvector but the first
                continue
            alike = (sizes == size).nonzero().squeeze(1)
            for chosen in alike.split(max(CHUNK // size**2, 1)):
                choice = BlockChoice(ptr, chosen)
                csr, entries = choice.pattern(matrix.csr)
                row, col = csr.row.long(), csr.col.long()
                laplacian = torch.eye(size, dtype=torch.float64).repeat(chosen.numel(), 1, 1)
                graphs = row.div(size, rounding_mode="floor")
                laplacian[graphs, row % size, col % size] -= matrix.values[entries]
                vectors = torch.linalg.eigh(laplacian)[1][:, :, 1 : self.columns + 1]
                largest = vectors.abs().argmax(dim=1, keepdim=True)
                vectors = vectors * vectors.gather(1, largest).sign()
                out[choice.rows, : vectors.size(2)] = vectors.flatten(0, 1).float()


def _of_like_size(ptr: Tensor) -> Iterator[Tensor]:
    """Graphs with nodes, from small to large, in runs whose dense block is not too large."""
    sizes, order = ptr.diff().sort()
    order = order[sizes > 0]
    sizes = sizes[sizes > 0]
    start, stop = 0, 0
    while start < order.numel():
        # All graphs of a run are padded to the largest, which is the last.
        inside = (sizes[start:].cumsum(0) * sizes[start:] <= CHUNK).sum()
        stop = start + max(int(inside), 1)
        yield order[start:stop]
        start = stop
