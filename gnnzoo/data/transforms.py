"""What a model may have computed once per message graph.

Each transform says with ``reads_edges`` whether its result depends on the edges, so that a head
that takes edges away knows what to compute anew.
"""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform, NormalizeFeatures

from gnnzoo.ops import Graph, SparseFeatures, spmm
from gnnzoo.ops.spmm import compute_dtype

MAX_DENSITY = 0.1  # up to this share of nonzeros features are stored, and read, sparse


class CSRGraph(BaseTransform):
    """Put the edges on the data as ``graph``, a compressed ``ops.Graph``."""

    reads_edges = True

    def forward(self, data: Data) -> Data:
        data.graph = Graph.from_edge_index(data.edge_index, num_nodes=data.num_nodes)
        return data


class RowNormalizeFeatures(NormalizeFeatures):
    """Divide each node's features by their sum, exactly as PyG's ``NormalizeFeatures`` does.

    That is: the smallest entry of all is subtracted first, and rows whose sum is below 1 are kept.
    """

    reads_edges = False

    def __init__(self) -> None:
        super().__init__(attrs=["x"])


class SparsifyFeatures(BaseTransform):
    """Store mostly zero features as ``ops.SparseFeatures``; always the last transform.

    The rule: features are converted when they are dense, on the CPU, and when at most
    ``max_density`` of their entries differ from zero. Otherwise they stay as they are: on a GPU
    dense products are fast, and above that density there is nothing to gain.

    Args:
        max_density: Largest share of entries that differ from zero, in [0, 1].

    Raises:
        ValueError: If ``max_density`` is outside [0, 1].
    """

    reads_edges = False

    def __init__(self, max_density: float = MAX_DENSITY) -> None:
        if not 0.0 <= max_density <= 1.0:
            raise ValueError(f"max_density must be in [0, 1], got {max_density}")
        self.max_density = max_density

    def forward(self, data: Data) -> Data:
        if self._pays(data.x):
            data.num_nodes = data.num_nodes  # PyG reads it off dense features only
            data.x = SparseFeatures.from_dense(data.x)
        return data

    def _pays(self, x: Any) -> bool:
        if not isinstance(x, torch.Tensor) or x.layout != torch.strided or x.device.type != "cpu":
            return False
        return _density(x) <= self.max_density

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_density={self.max_density})"


class SmoothFeatures(BaseTransform):
    r"""Put features smoothed over the graph on the data as ``smoothed``: :math:`\hat A^K X`.

    A linear map of them is all that is left of `SGC` in a training step. Mostly zero features are
    left alone: smoothing fills the zeros in, and to map first and smooth the narrow result, as the
    layer does without the field, takes fewer operations than to map what was filled in.

    Args:
        num_hops: Number of smoothing steps, K.

    Raises:
        ValueError: If ``num_hops`` is negative, or an edge weight is negative or not finite.
    """

    reads_edges = True
    rows_hold_in_samples = True  # smoothed over all edges, a sample's rows are what they were

    def __init__(self, num_hops: int) -> None:
        if num_hops < 0:
            raise ValueError(f"num_hops must be at least 0, got {num_hops}")
        self.num_hops = num_hops

    def forward(self, data: Data) -> Data:
        if "smoothed" in data:  # of other edges, perhaps
            del data.smoothed
        if isinstance(data.x, torch.Tensor) and _density(data.x) > MAX_DENSITY:
            data.smoothed = self._smooth(data)
        return data

    @torch.no_grad()
    def _smooth(self, data: Data) -> Tensor:
        h = data.x
        graph = Graph.from_edge_index(data.edge_index, num_nodes=h.size(0))
        matrix = graph.gcn_norm(data.edge_weight, dtype=compute_dtype(h))
        for _ in range(self.num_hops):
            h = spmm(matrix, h)
        return h

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_hops={self.num_hops})"


def _density(x: Tensor) -> float:
    """Share of entries that differ from zero; 0 of nothing."""
    return int(x.count_nonzero()) / max(x.numel(), 1)
