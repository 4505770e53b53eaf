"""Features propagated along directed patterns, computed once per message graph."""

import warnings
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from gnnzoo.data.pattern_cache import in_memory, on_disk, tensor_key
from gnnzoo.data.transforms import MAX_DENSITY
from gnnzoo.ops import Graph, PatternSettings, SparseFeatures, fill_patterns
from gnnzoo.ops.patterns import pattern_operators
from gnnzoo.ops.spmm import compute_dtype
from gnnzoo.paths import data_root

CACHES = (None, "memory", "disk")
DTYPES = {"float16": torch.float16, "float32": torch.float32, "float64": torch.float64}
FORMAT = 1  # raised when the same settings give other numbers


class DirectedPatterns(BaseTransform):
    r"""Put features propagated along directed patterns on the data as ``patterns``.

    The field has shape ``[num_nodes, 1 + num_patterns * num_hops, channels]``: the features
    themselves, then the hops of the first pattern, and so on; a node's numbers lie side by side, so
    that rows can be gathered. `gnnzoo.ops.PatternSettings` has the formula. Edge weights are not
    read, repeated edges count once and self-loops not at all.

    Mostly zero features may be left alone (``skip_mostly_zero``): propagation fills the zeros in,
    and an encoder that maps first and propagates the narrow result takes fewer operations and less
    memory, as long as it trains on the whole graph.

    Args:
        num_hops: Steps along every pattern, K.
        order: Length of the longest patterns, with ``patterns=None``.
        patterns: Words as in `gnnzoo.ops.directed_patterns`; None for all up to `order`.
        r: Share of the normalisation on the right, in [0, 1].
        norm: ``row`` or ``dir``, see `gnnzoo.ops.PatternSettings`.
        self_loops: Whether patterns of one letter hold the node itself.
        hop_decay: None, ``gcnii`` or ``official``.
        skip_mostly_zero: Whether nothing is computed where at most a tenth of the features differ
            from zero.
        cache: None computes at every call. ``memory`` keeps the last results for this process, and
            ``disk`` files, which are memory-mapped. A result is found again by a checksum over
            edges, features, settings and version, so a change of any of them computes anew.
        cache_dir: Folder for files; ``cache/patterns`` in the data root if None.
        dtype: Type of the result: float16, float32, float64, or None for that of the features.

    Raises:
        ValueError: If a setting is out of range, or the features are missing or not floating point.
    """

    reads_edges = True
    rows_hold_in_samples = True  # propagated over all edges, a sample's rows are what they were

    def __init__(
        self,
        num_hops: int = 2,
        order: int = 2,
        patterns: Sequence[str] | None = None,
        r: float = 0.5,
        norm: str = "row",
        self_loops: bool = True,
        hop_decay: str | None = None,
        skip_mostly_zero: bool = False,
        cache: str | None = None,
        cache_dir: str | Path | None = None,
        dtype: str | None = None,
    ) -> None:
        self.settings = PatternSettings(patterns, order, num_hops, r, norm, self_loops, hop_decay)
        if cache not in CACHES:
            raise ValueError(f"cache must be one of {', '.join(map(repr, CACHES))}, got {cache!r}")
        if dtype is not None and dtype not in DTYPES:
            raise ValueError(f"dtype must be null or one of {', '.join(DTYPES)}, got {dtype!r}")
        self.skip_mostly_zero = skip_mostly_zero
        self.cache, self.cache_dir, self.dtype = cache, cache_dir, dtype

    def forward(self, data: Data) -> Data:
        if "patterns" in data:  # of other edges, perhaps
            del data.patterns
        x = self._features(data)
        graph = data.get("graph")
        if not isinstance(graph, Graph) or not _holds(graph, data):
            graph = Graph.from_edge_index(data.edge_index, num_nodes=x.size(0))
        warn_if_patterns_coincide(graph, self.settings)
        if not (self.skip_mostly_zero and isinstance(x, SparseFeatures)):
            data.patterns = self._patterns(x, graph)
        return data

    def _features(self, data: Data) -> Tensor | SparseFeatures:
        """The features, sparse where most are zero: the first product then takes less."""
        x = data.x
        if not isinstance(x, Tensor | SparseFeatures) or not x.is_floating_point():
            found = "none" if x is None else getattr(x, "dtype", type(x).__name__)
            raise ValueError(f"DirectedPatterns needs floating point node features x, got {found}")
        if isinstance(x, SparseFeatures):
            return x if x.density <= MAX_DENSITY else x.to_dense()
        if x.dim() != 2:
            raise ValueError(f"x must have shape [num_nodes, channels], got {list(x.shape)}")
        share = int(x.count_nonzero()) / max(x.numel(), 1)
        return SparseFeatures.from_dense(x) if share <= MAX_DENSITY and x.numel() else x

    def _patterns(self, x: Tensor | SparseFeatures, graph: Graph) -> Tensor:
        dtype = compute_dtype(x) if self.dtype is None else DTYPES[self.dtype]
        shape = (x.size(0), self.settings.num_rows, x.size(1))

        def fill(out: Tensor) -> None:
            fill_patterns(out, x, graph, self.settings)

        def make() -> Tensor:
            out = torch.empty(shape, dtype=dtype, device=x.device)
            fill(out)
            return out

        if self.cache is None or 0 in shape:
            return make()
        key = self._key(x, graph, dtype)
        if self.cache == "memory":
            return in_memory(f"{key} {x.device}", make)
        folder = data_root() / "cache" / "patterns" if self.cache_dir is None else self.cache_dir
        return on_disk(Path(folder) / f"{key}.npy", shape, dtype, fill).to(x.device)

    def _key(self, x: Tensor | SparseFeatures, graph: Graph, dtype: torch.dtype) -> str:
        edges = pattern_operators(graph).csr
        if isinstance(x, SparseFeatures):
            csr = x.matrix.csr
            features = ("sparse", csr.rowptr, csr.col, x.matrix.values, x.shape)
        else:
            features = ("dense", x)
        made_by = (FORMAT, _version(), self.settings, dtype)
        return tensor_key(*made_by, edges.rowptr, edges.col, graph.num_nodes, *features)

    def __repr__(self) -> str:
        s = self.settings
        return f"{type(self).__name__}(num_hops={s.num_hops}, patterns={list(s.patterns)}, r={s.r})"


def warn_if_patterns_coincide(graph: Graph, settings: PatternSettings) -> None:
    """Say so where the graph has no direction and several patterns are the same."""
    lengths = [len(word) for word in settings.words]
    if len(set(lengths)) < len(lengths) and pattern_operators(graph).is_undirected:
        one_each = ["/".join(["successors"] * n) for n in sorted(set(lengths))]
        warnings.warn(
            "the graph is undirected, so patterns of the same length coincide; "
            f"patterns=[{','.join(one_each)}] says the same",
            stacklevel=4,
        )


def _holds(graph: Graph, data: Data) -> bool:
    """Whether a graph on the data was made of its present edges."""
    if graph.num_nodes != data.num_nodes or graph.num_input_edges != data.edge_index.size(1):
        return False
    return torch.equal(graph.edge_index[:, graph.slot], data.edge_index)


def _version() -> str:
    try:
        return version("gnnzoo")
    except PackageNotFoundError:
        return "unknown"
