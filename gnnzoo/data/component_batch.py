"""Connected components as graphs of their own."""

from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from gnnzoo.ops import Graph, connected_components


class ComponentBatch(BaseTransform):
    """Put the connected component of each node on the data as ``batch``.

    Encoders that mix all nodes of a graph (scans, attention, virtual nodes) then do so within each
    component. Direction does not count.
    """

    reads_edges = True

    def forward(self, data: Data) -> Data:
        graph = Graph.from_edge_index(data.edge_index, num_nodes=data.num_nodes)
        data.batch = connected_components(graph)
        return data
