"""Graph isomorphism convolution with edge features."""

from torch import Tensor, nn
from torch.nn import Parameter
from torch_geometric import EdgeIndex

from gnnzoo.nn.gated_gcn_conv import entry_gate_weights, to_entries
from gnnzoo.ops import Graph, as_graph, spmm
from gnnzoo.ops.spmm import compute_dtype


class GINEConv(nn.Module):
    r"""Sum neighbours, each with the features of its edge, and map the sum.

    .. math:: x_i' = \mathrm{nn}\bigl((1 + \epsilon) x_i +
        \sum_{j \in N(i)} \mathrm{ReLU}(x_j + C e_{ji} + c)\bigr)

    Paper: "Strategies for Pre-training Graph Neural Networks" (Hu et al., ICLR 2020),
    https://arxiv.org/abs/1905.12265. The same as PyG's ``GINEConv`` with ``edge_dim``, with sparse
    products instead of gathering and scattering.

    Args:
        nn: What maps the sum.
        in_channels: Features per node.
        edge_channels: Features per edge.
        train_eps: Whether epsilon, which starts at 0, is learned.

    Shapes:
        x: ``[num_nodes, in_channels]``, floating point.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target; or EdgeIndex, or `Graph`.
        edge_attr: ``[num_edges, edge_channels]``, floating point.
        edge_weight: ``[num_edges]``, optional, not negative: factors of the summands.
        returns: ``[num_nodes, out_channels]``.

    Raises:
        ValueError: If an edge is repeated, or shapes, types or devices do not fit.
    """

    def __init__(
        self, nn: nn.Module, in_channels: int, edge_channels: int, train_eps: bool = False
    ) -> None:
        super().__init__()
        self.nn, self.in_channels, self.edge_channels = nn, in_channels, edge_channels
        self.lin_edge = _linear(edge_channels, in_channels)
        self.eps = Parameter(self.lin_edge.weight.new_zeros(1), requires_grad=train_eps)

    def reset_parameters(self) -> None:
        for module in self.nn.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        self.lin_edge.reset_parameters()
        self.eps.data.zero_()

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_attr: Tensor,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        graph = as_graph(edge_index, x.size(0))
        weight = entry_gate_weights(graph, edge_weight)
        return self.on_entries(x, graph, to_entries(edge_attr, graph), weight)

    def on_entries(
        self, x: Tensor, graph: Graph, edge_attr: Tensor, weight: Tensor | None = None
    ) -> Tensor:
        """The same for edges in the order of the graph's entries, as several layers share it.

        Shapes:
            edge_attr: ``[graph.num_edges, edge_channels]``; or one row, which all edges share.
            weight: ``[graph.num_edges, 1]``, optional.
        """
        if x.size(-1) != self.in_channels:
            raise ValueError(f"x has {x.size(-1)} channels, layer was built for {self.in_channels}")
        source, target = (graph.incidence(end, compute_dtype(x)) for end in ("source", "target"))
        message = (spmm(source.transposed(), x) + self.lin_edge(edge_attr)).relu()
        message = message if weight is None else message * weight  # [num_edges, in_channels]
        return self.nn((1 + self.eps) * x + spmm(target, message))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.nn}, edge_channels={self.edge_channels})"


def _linear(in_channels: int, out_channels: int) -> nn.Linear:
    """In `GINEConv` the name of torch's module stands for an argument, as in PyG."""
    return nn.Linear(in_channels, out_channels)
