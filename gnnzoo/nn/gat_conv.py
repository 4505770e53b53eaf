"""Graph attention as one operator on sparse rows."""

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn import GATConv as PyGGATConv

from gnnzoo.nn.features import apply_linear
from gnnzoo.ops import Graph, SparseFeatures, as_graph, attend
from gnnzoo.ops.dropout import dropout
from gnnzoo.ops.graph import check_weights
from gnnzoo.ops.spmm import compute_dtype, restore_dtype


class GATConv(PyGGATConv):
    r"""PyG's `GATConv` that never makes a tensor of edges x channels.

    .. math::
        x_i' = b + \sum_{j \in N(i)} a_{ij} W x_j, \qquad
        a_{ij} = \mathrm{softmax}_j\,\mathrm{LeakyReLU}(a_s \cdot W x_j + a_t \cdot W x_i)

    Parameters, their names and initialisation are PyG's. Attention is one number per edge and
    head, and several heads are one `attend` on a graph whose nodes are the heads of the nodes.

    Paper: "Graph Attention Networks" (Velickovic et al., ICLR 2018), eq. 1 to 6,
    https://arxiv.org/abs/1710.10903

    Args:
        in_channels: Features per node.
        out_channels: Width of one head.
        heads: Number of heads.
        concat: Whether heads stand side by side; otherwise they are averaged.
        negative_slope: Slope of the LeakyReLU below zero.
        dropout: Share of the attention weights dropped in training.
        add_self_loops: Whether N(i) holds i itself, exactly once; otherwise edges are as given.
        bias: Whether to add b.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target; or EdgeIndex, or `Graph`.
        edge_weight: ``[num_edges]``, optional, not negative: factors of the exponentials, so that
            an edge of weight 2 counts as two edges and one of weight 0 as none.
        returns: ``[num_nodes, heads * out_channels]``, or ``[num_nodes, out_channels]`` averaged.

    Raises:
        ValueError: If a weight is negative or not finite, or shapes or devices do not fit.
    """

    reach = 1  # hops that one call looks

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        heads: int = 1,
        concat: bool = True,
        negative_slope: float = 0.2,
        dropout: float = 0.0,
        add_self_loops: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            heads=heads,
            concat=concat,
            negative_slope=negative_slope,
            dropout=dropout,
            add_self_loops=add_self_loops,
            bias=bias,
        )

    def forward(
        self,
        x: Tensor | SparseFeatures,
        edge_index: Tensor | EdgeIndex | Graph,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        graph = as_graph(edge_index, x.size(0))
        h = apply_linear(self.lin, x)  # [num_nodes, heads * out_channels]
        dtype = compute_dtype(h)
        matrix = graph.matrix(edge_weight, dtype, self.add_self_loops)
        csr, entry = matrix.csr.interleaved(self.heads)
        weight = factor = None
        if edge_weight is not None or graph.num_edges < graph.num_input_edges:
            check_weights(matrix.values)
            weight = matrix.values.index_select(0, entry)
        if self.training and self.dropout:
            factor = dropout(h.new_ones(csr.num_entries, dtype=dtype), self.dropout)
        source, target = self._scores(h)
        rows = h.view(-1, self.out_channels)  # [num_nodes * heads, out_channels]
        out = attend(csr, rows, source, target, weight, factor, self.negative_slope)
        out = restore_dtype(out, h).view(-1, self.heads * self.out_channels)
        if not self.concat and self.heads > 1:
            out = out.view(-1, self.heads, self.out_channels).mean(dim=1)
        return out if self.bias is None else out + self.bias

    def _scores(self, h: Tensor) -> Tensor:
        """``[2, num_nodes * heads]``: a_s W x and a_t W x, all heads in one product."""
        vectors = torch.cat([self.att_src, self.att_dst]).unsqueeze(-1)  # [2, heads, out, 1]
        own = torch.eye(self.heads, dtype=vectors.dtype, device=h.device).unsqueeze(1)
        blocks = (vectors * own).flatten(1, 2)  # [2, heads * out_channels, heads]
        scores = h @ torch.cat([*blocks], dim=1)  # [num_nodes, 2 * heads]
        return scores.view(-1, 2, self.heads).transpose(0, 1).reshape(2, -1)
