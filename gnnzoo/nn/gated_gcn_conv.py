"""Gated graph convolution with edge features, which PyG does not have."""

import torch
from torch import Tensor, nn
from torch_geometric import EdgeIndex

from gnnzoo.ops import Graph, as_graph, spmm
from gnnzoo.ops.graph import check_weights
from gnnzoo.ops.spmm import compute_dtype

EPSILON = 1e-6


class GatedGCNConv(nn.Module):
    r"""Weigh each neighbour, channel by channel, with a gate made of both ends and the edge.

    .. math::
        q_{ji} = D x_i + E x_j + C e_{ji}, \qquad
        z_i = A x_i + \frac{\sum_j \sigma(q_{ji}) \odot B x_j}{\sum_j \sigma(q_{ji}) + 10^{-6}}

    Paper: "Residual Gated Graph ConvNets" (Bresson and Laurent, 2017),
    https://arxiv.org/abs/1711.07553, with the edge features and the division of "Benchmarking
    Graph Neural Networks" (Dwivedi et al., JMLR 2023), https://arxiv.org/abs/2003.00982. Norm,
    activation and residual are left to the caller. PyG's ``GatedGraphConv`` is another method.

    Args:
        in_channels: Features per node.
        out_channels: Width of the result.
        edge_channels: Features per edge.

    Shapes:
        x: ``[num_nodes, in_channels]``, floating point.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target; or EdgeIndex, or `Graph`.
        edge_attr: ``[num_edges, edge_channels]``, floating point.
        edge_weight: ``[num_edges]``, optional, not negative: factors of the gates, so that an edge
            of weight 0 counts as none.
        returns: z ``[num_nodes, out_channels]`` and q ``[num_edges, out_channels]``.

    Raises:
        ValueError: If an edge is repeated, or shapes, types or devices do not fit.
    """

    def __init__(self, in_channels: int, out_channels: int, edge_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.edge_channels = edge_channels
        self.lin_self = nn.Linear(in_channels, out_channels)  # A
        self.lin_value = nn.Linear(in_channels, out_channels)  # B
        self.lin_edge = nn.Linear(edge_channels, out_channels)  # C
        self.lin_target = nn.Linear(in_channels, out_channels)  # D
        self.lin_source = nn.Linear(in_channels, out_channels)  # E

    def reset_parameters(self) -> None:
        for linear in self.children():
            linear.reset_parameters()

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_attr: Tensor,
        edge_weight: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        graph = as_graph(edge_index, x.size(0))
        weight = entry_gate_weights(graph, edge_weight)
        z, q = self.on_entries(x, graph, to_entries(edge_attr, graph), weight)
        return z, q.index_select(0, graph.slot)

    def on_entries(
        self, x: Tensor, graph: Graph, edge_attr: Tensor, weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same for edges in the order of the graph's entries, as several layers share it.

        Shapes:
            edge_attr: ``[graph.num_edges, edge_channels]``; or one row, which all edges share.
            weight: ``[graph.num_edges, 1]``, optional.
            returns: z ``[num_nodes, out_channels]`` and q ``[graph.num_edges, out_channels]``.
        """
        if x.size(-1) != self.in_channels:
            raise ValueError(f"x has {x.size(-1)} channels, layer was built for {self.in_channels}")
        if edge_attr.size(-1) != self.edge_channels:
            raise ValueError(
                f"edge_attr has {edge_attr.size(-1)} channels, "
                f"layer was built for {self.edge_channels}"
            )
        source, target = (graph.incidence(end, compute_dtype(x)) for end in ("source", "target"))
        own = self.lin_edge(edge_attr)  # [num_edges or 1, out_channels]
        q = spmm(source.transposed(), self.lin_source(x)) + own
        q = q + spmm(target.transposed(), self.lin_target(x))  # [num_edges, out_channels]
        gate = q.sigmoid() if weight is None else q.sigmoid() * weight
        value = spmm(source.transposed(), self.lin_value(x))
        total = spmm(target, gate) + EPSILON
        return self.lin_self(x) + spmm(target, gate * value) / total, q

    def __repr__(self) -> str:
        widths = f"{self.in_channels}, {self.out_channels}, edge_channels={self.edge_channels}"
        return f"{type(self).__name__}({widths})"


def to_entries(edge_attr: Tensor, graph: Graph) -> Tensor:
    """Features of the input edges in the order of the graph's entries.

    Shapes:
        edge_attr: ``[num_edges, channels]`` or ``[num_edges]``, floating point.
        returns: ``[num_edges, channels]``, differentiable.

    Raises:
        ValueError: If an edge is repeated, or `edge_attr` has the wrong length or type.
    """
    if graph.num_edges != graph.num_input_edges:
        raise ValueError(
            f"edge features need edges that occur once, but {graph.num_input_edges} edges hold "
            f"{graph.num_edges} different ones; torch_geometric.transforms.RemoveDuplicatedEdges "
            "merges them"
        )
    if not edge_attr.is_floating_point():
        raise ValueError(f"edge_attr must be floating point, got {edge_attr.dtype}")
    edge_attr = edge_attr.unsqueeze(-1) if edge_attr.dim() == 1 else edge_attr
    if edge_attr.dim() != 2 or edge_attr.size(0) != graph.num_input_edges:
        raise ValueError(
            f"edge_attr must have shape [{graph.num_input_edges}, channels], one row per edge, "
            f"got {list(edge_attr.shape)}"
        )
    return torch.empty_like(edge_attr).index_copy(0, graph.slot, edge_attr)


def entry_gate_weights(graph: Graph, edge_weight: Tensor | None) -> Tensor | None:
    """``[graph.num_edges, 1]``: edge weights, or repetitions, in the order of the entries."""
    if edge_weight is not None:
        check_weights(edge_weight)
        return graph.entry_weights(edge_weight).unsqueeze(-1)
    repeated = graph.num_edges < graph.num_input_edges
    return graph.matrix().values.unsqueeze(-1) if repeated else None
