"""Categories as numbers, for models that compute with features as they are."""

import torch
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform


class OneHotCategories(BaseTransform):
    """Turn each column of categories in ``x`` into as many columns of zeros and ones.

    Reads ``node_categories``, the number of categories of each column, and takes it away.

    Shapes:
        data.x, replaced: ``[num_nodes, sum(node_categories)]``, float32.
    """

    reads_edges = False

    def forward(self, data: Data) -> Data:
        sizes = data.node_categories
        first = torch.tensor([0, *sizes[:-1]], device=data.x.device).cumsum(0)
        one_hot = torch.zeros(data.num_nodes, sum(sizes), device=data.x.device)
        data = data.clone()
        data.x = one_hot.scatter_(1, data.x + first, 1.0)
        del data.node_categories
        return data
