"""provisional"""

from torch_geometric.transforms import BaseTransform


class DegreeFeatures(BaseTransform):
    reads_edges = True

    def forward(self, data):
        raise NotImplementedError
