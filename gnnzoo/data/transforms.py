"""What a model may have computed once per message graph.

Each transform says with ``reads_edges`` whether its result depends on the edges, so that a head
that takes edges away knows what to compute anew.
"""

from typing import Any

import torch
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform, NormalizeFeatures

from gnnzoo.ops import Graph, SparseFeatures


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

    def __init__(self, max_density: float = 0.1) -> None:
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
        return int(x.count_nonzero()) <= self.max_density * x.numel()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_density={self.max_density})"
