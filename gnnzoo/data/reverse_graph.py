"""The edges turned around, for models that read both directions."""

from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from gnnzoo.ops import Graph
from gnnzoo.ops.reverse import reverse_graph


class ReverseGraph(BaseTransform):
    """Put the edges turned around on the data as ``reverse``, a compressed `ops.Graph`."""

    reads_edges = True

    def forward(self, data: Data) -> Data:
        graph = Graph.from_edge_index(data.edge_index, num_nodes=data.num_nodes)
        data.reverse = reverse_graph(graph)
        return data
