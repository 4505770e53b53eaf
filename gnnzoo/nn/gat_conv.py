"""Graph attention with a softmax over sparse rows and one sparse product."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch_geometric import EdgeIndex
from torch_geometric.nn import GATConv as PyGGATConv

from gnnzoo.nn.features import apply_linear
from gnnzoo.ops import Graph, SparseFeatures, SparseMatrix, as_graph, segment_softmax, spmm
from gnnzoo.ops.dropout import dropout
from gnnzoo.ops.graph import check_weights
from gnnzoo.ops.spmm import compute_dtype


class GATConv(PyGGATConv):
    r"""PyG's `GATConv` that never makes a tensor of edges x channels.

    .. math::
        x_i' = b + \sum_{j \in N(i)} a_{ij} W x_j, \qquad
        a_{ij} = \mathrm{softmax}_j\,\mathrm{LeakyReLU}(a_s \cdot W x_j + a_t \cdot W x_i)

    Parameters, their names and initialisation are PyG's. Attention is one number per edge and
    head: the values of a sparse matrix, whose product with W x has an exact gradient to both.
    Several heads are one product with a copy of the graph for each.

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
        h = apply_linear(self.lin, x).view(-1, self.heads, self.out_channels)
        h = h.transpose(0, 1)  # [heads, num_nodes, out_channels]
        attention = self._attention(h, graph, edge_weight)
        out = spmm(attention, h.reshape(-1, self.out_channels))
        out = out.view(self.heads, -1, self.out_channels)
        if self.concat:
            out = out.transpose(0, 1).reshape(-1, self.heads * self.out_channels)
        else:
            out = out.mean(dim=0)
        return out if self.bias is None else out + self.bias

    def _attention(self, h: Tensor, graph: Graph, edge_weight: Tensor | None) -> SparseMatrix:
        """``[heads * num_nodes, heads * num_nodes]``, one block per head on the diagonal."""
        vectors = torch.cat([self.att_src, self.att_dst]).permute(1, 2, 0)
        scores = (h @ vectors).to(compute_dtype(h)).permute(2, 0, 1)  # [2, heads, num_nodes]
        source, target = scores.reshape(2, -1).unbind()
        matrix = graph.matrix(edge_weight, source.dtype, self.add_self_loops)
        csr, weight = matrix.csr.copies(self.heads), None
        if edge_weight is not None or graph.num_edges < graph.num_input_edges:
            check_weights(matrix.values)
            weight = matrix.values.repeat(self.heads)
        logits = source.index_select(0, csr.col) + target.index_select(0, csr.row)
        logits = F.leaky_relu(logits, self.negative_slope)  # [heads * num_entries]
        attention = segment_softmax(logits, csr.rowptr, weight, csr.row)
        if self.training:
            attention = dropout(attention, self.dropout)
        return SparseMatrix(csr, attention)
