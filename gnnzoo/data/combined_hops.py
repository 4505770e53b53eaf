"""Smoothed features combined node by node, computed once per message graph."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from gnnzoo.data.pattern_cache import in_memory, on_disk, tensor_key
from gnnzoo.ops import Graph, SparseFeatures, symmetrised
from gnnzoo.ops.adaptive_hops import COMBINATIONS, STATIONARY, adaptive_hops, plain_hops
from gnnzoo.paths import data_root

CACHES = (None, "memory", "disk")
FORMAT = 1  # raised when the same settings give other numbers


class CombinedHops(BaseTransform):
    r"""Put features of many smoothing steps, combined node by node, on the data as ``patterns``.

    What `gnnzoo.nn.NodeAdaptiveCombine` computes, without its gradient; all that is left to train
    is an MLP on the rows, `DGMLP`. The field has shape ``[num_nodes, channels]``, with
    ``combine="concat"`` ``[num_nodes, (num_hops + 1) * channels]``.

    Args:
        num_hops, r, stationary, temperature, combine, to_undirected: As in `NodeAdaptiveCombine`.
        cache: None, ``memory`` or ``disk``, as in `DirectedPatterns`.
        cache_dir: Folder for files; ``cache/patterns`` in the data root if None.

    Raises:
        ValueError: If a setting is out of range or the graph is directed.
    """

    reads_edges = True
    rows_hold_in_samples = True  # smoothed over all edges, a sample's rows are what they were

    def __init__(
        self,
        num_hops: int,
        r: float = 0.5,
        stationary: str = "matched",
        temperature: float = 1.0,
        combine: str = "adaptive",
        to_undirected: bool = False,
        cache: str | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        choices = {"stationary": STATIONARY, "combine": COMBINATIONS, "cache": CACHES}
        for name, value in (("stationary", stationary), ("combine", combine), ("cache", cache)):
            if value not in choices[name]:
                known = ", ".join(map(repr, choices[name]))
                raise ValueError(f"{name} must be one of {known}, got {value!r}")
        if num_hops < 0:
            raise ValueError(f"num_hops must be at least 0, got {num_hops}")
        if not 0.0 <= r <= 1.0:
            raise ValueError(f"r must be in [0, 1], got {r}")
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.num_hops, self.r, self.stationary = num_hops, r, stationary
        self.temperature, self.combine = temperature, combine
        self.to_undirected = to_undirected
        self.cache, self.cache_dir = cache, cache_dir

    @torch.no_grad()
    def forward(self, data: Data) -> Data:
        if "patterns" in data:  # of other edges, perhaps
            del data.patterns
        x = data.x.to_dense() if isinstance(data.x, SparseFeatures) else data.x
        graph = Graph.from_edge_index(data.edge_index, num_nodes=x.size(0))
        weight = data.get("edge_weight")
        if not graph.is_undirected:
            if not self.to_undirected or weight is not None:
                raise ValueError(
                    "CombinedHops needs an undirected graph; to_undirected=true adds the reverse "
                    "of every edge, where edges have no weights"
                )
            graph = symmetrised(graph)

        def make() -> Tensor:
            if self.combine != "adaptive":
                return plain_hops(x, graph, self.num_hops, self.combine, self.r, weight)
            settings = (self.num_hops, self.r, self.stationary, self.temperature)
            return adaptive_hops(x, graph, *settings, weight)[0]

        data.patterns = self._kept(make, x, graph, weight)
        return data

    def _kept(
        self, make: Callable[[], Tensor], x: Tensor, graph: Graph, weight: Tensor | None
    ) -> Tensor:
        if self.cache is None or x.numel() == 0:
            return make()
        settings = (self.num_hops, self.r, self.stationary, self.temperature, self.combine)
        edges = (
            graph.csr.rowptr,
            graph.csr.col,
            graph.slot if weight is not None else None,
            weight,
        )
        key = tensor_key("combined hops", FORMAT, *settings, x, *edges)
        if self.cache == "memory":
            return in_memory(f"{key} {x.device}", make)
        folder = data_root() / "cache" / "patterns" if self.cache_dir is None else self.cache_dir
        times = self.num_hops + 1 if self.combine == "concat" else 1
        shape = (x.size(0), times * x.size(1))
        path = Path(folder) / f"{key}.npy"
        return on_disk(path, shape, x.dtype, lambda out: out.copy_(make())).to(x.device)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_hops={self.num_hops}, r={self.r}, combine={self.combine!r})"
        )
