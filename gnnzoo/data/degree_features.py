"""Features for nodes that have none: how many neighbours they have."""

import torch
from torch.nn.functional import one_hot
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import degree


class DegreeFeatures(BaseTransform):
    """Make features of the number of edges that end at each node, in place of any there are.

    First the logarithm of one plus that number, then the number itself one-hot, where the last
    column stands for ``max_degree`` and more. Unlike with PyG's ``OneHotDegree`` any degree has a
    column, so that the width stays when edges are taken away.

    Args:
        max_degree: Largest number with a column of its own or, for what exceeds it, shared.

    Shapes:
        data.x, made here: ``[num_nodes, max_degree + 2]``, float32.

    Raises:
        ValueError: If ``max_degree`` is negative.
    """

    reads_edges = True
    rows_hold_in_samples = True  # a node of a sample keeps the degree it has in the whole graph

    def __init__(self, max_degree: int = 32) -> None:
        if max_degree < 0:
            raise ValueError(f"max_degree must be at least 0, got {max_degree}")
        self.max_degree = max_degree

    def forward(self, data: Data) -> Data:
        num_nodes = data.num_nodes
        count = degree(data.edge_index[1], num_nodes, dtype=torch.long)
        columns = one_hot(count.clamp(max=self.max_degree), self.max_degree + 1)
        data.x = torch.cat([count.float().log1p().unsqueeze(1), columns.float()], dim=1)
        data.num_nodes = num_nodes
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_degree={self.max_degree})"
