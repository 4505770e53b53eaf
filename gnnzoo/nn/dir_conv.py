"""One convolution for each direction of the edges."""

from torch import Tensor, nn
from torch_geometric import EdgeIndex

from gnnzoo.nn.checks import check_choice, check_count, check_probability
from gnnzoo.nn.features import FeatureLinear, apply_weight
from gnnzoo.nn.gat_conv import GATConv
from gnnzoo.nn.gcn_conv import GCNConv
from gnnzoo.ops import Graph, SparseFeatures, as_graph, spmm
from gnnzoo.ops.reverse import BothWays, reverse_graph
from gnnzoo.ops.spmm import compute_dtype

CONVS = ("gcn", "sage", "gat")


class MeanConv(nn.Module):
    """Mean of the in-neighbours and a linear map: `SAGEConv` without the node itself."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.lin_l = FeatureLinear(in_channels, out_channels)

    def reset_parameters(self) -> None:
        self.lin_l.reset_parameters()

    def forward(
        self, x: Tensor | SparseFeatures, graph: Graph, edge_weight: Tensor | None = None
    ) -> Tensor:
        mean = graph.mean_norm(edge_weight, dtype=compute_dtype(x))
        wide = self.lin_l.in_features > self.lin_l.out_features
        if not wide and isinstance(x, Tensor):
            return self.lin_l(spmm(mean, x))
        return spmm(mean, apply_weight(self.lin_l.weight, x)) + self.lin_l.bias


class DirConv(nn.Module):
    r"""PyG's `DirGNNConv`: messages along the edges and against them, each with its own weights.

    .. math:: x_i' = \alpha\,\mathrm{Conv}_{out}(x, \bar E)_i
        + (1 - \alpha)\,\mathrm{Conv}_{in}(x, E)_i + W x_i + b

    with :math:`\bar E` the edges turned around, and no self-loops in either convolution. As in PyG
    ``gcn`` normalises each direction by the degrees at its targets, on both sides.

    Paper: "Edge Directionality Improves Learning on Heterophilic Graphs" (Rossi et al., LoG 2023),
    https://arxiv.org/abs/2305.10498

    Args:
        in_channels: Features per node.
        out_channels: Width of the result.
        conv: ``gcn``, ``sage`` (the mean) or ``gat``.
        alpha: Share of the messages against the edges, in [0, 1].
        root_weight: Whether the node's own features are added, mapped.
        heads: Heads of ``gat``, which stand side by side; a divisor of `out_channels`.
        attention_dropout: Share of the weights of ``gat`` dropped in training.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target; or EdgeIndex, `Graph`, or
            `BothWays`.
        edge_weight: ``[num_edges]``, optional.
        returns: ``[num_nodes, out_channels]``.

    Raises:
        ValueError: If a setting is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        conv: str = "sage",
        alpha: float = 0.5,
        root_weight: bool = True,
        heads: int = 1,
        attention_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_choice("conv", conv, CONVS)
        check_probability("alpha", alpha)
        check_count("heads", heads, 1)
        check_probability("attention_dropout", attention_dropout)
        if out_channels % heads:
            raise ValueError(f"heads must divide the width {out_channels}, got {heads}")
        self.alpha, self.conv = alpha, conv

        def make() -> nn.Module:
            if conv == "gcn":
                return GCNConv(in_channels, out_channels, add_self_loops=False)
            if conv == "sage":
                return MeanConv(in_channels, out_channels)
            width = out_channels // heads
            settings = {"dropout": attention_dropout, "add_self_loops": False}
            return GATConv(in_channels, width, heads, **settings)

        self.conv_in, self.conv_out = make(), make()
        self.lin = FeatureLinear(in_channels, out_channels) if root_weight else None

    def reset_parameters(self) -> None:
        for module in (self.conv_in, self.conv_out, self.lin):
            if module is not None:
                module.reset_parameters()

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph | BothWays,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        if not isinstance(edge_index, BothWays):
            graph = as_graph(edge_index, x.size(0))
            edge_index = BothWays(graph, reverse_graph(graph))
        out = self.alpha * self.conv_out(x, edge_index.reverse, edge_weight)
        out = out + (1 - self.alpha) * self.conv_in(x, edge_index.graph, edge_weight)
        return out if self.lin is None else out + self.lin(x)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(conv={self.conv!r}, alpha={self.alpha})"
