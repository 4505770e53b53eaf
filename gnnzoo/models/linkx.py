"""LINKX: one MLP on the rows of the adjacency matrix, one on the features."""

import torch
from torch import Tensor, nn
from torch_geometric.nn import LINKX as PyGLINKX
from torch_geometric.nn import MLP

from gnnzoo.models.chain import Chain, Context
from gnnzoo.nn.checks import check_count, check_probability
from gnnzoo.nn.features import apply_linear, apply_weight
from gnnzoo.ops import SparseFeatures, spmm
from gnnzoo.ops.dropout import dropout
from gnnzoo.ops.spmm import compute_dtype


class LINKXNet(PyGLINKX):
    """PyG's `LINKX` as a link of the chain: a CSR product, and features of either kind.

    Arguments, parameters, their names and initialisation are PyG's.
    """

    def forward(self, x: Tensor | SparseFeatures, context: Context) -> Tensor:
        weight, bias = self.edge_lin.weight, self.edge_lin.bias
        matrix = context.graph.matrix(context.edge_weight, compute_dtype(weight))
        edges = spmm(matrix, weight)  # [num_nodes, hidden_channels]
        if self.edge_mlp is not None:
            edges = self._mlp(self.edge_mlp, self.edge_norm((edges + bias).relu()))
            bias = None
        factor = _plus_identity(self.cat_lin1)
        nodes, constant = self._joined_nodes(x)
        constant = constant + self.cat_lin1.bias
        constant = constant if bias is None else torch.addmv(constant, factor, bias)
        # One pass over all nodes adds the biases of four layers, and the product adds both parts.
        h = torch.addmm(nodes + constant, edges, factor.t()).relu()
        return self._mlp(self.final_mlp, h)

    def _joined_nodes(self, x: Tensor | SparseFeatures) -> tuple[Tensor, Tensor]:
        """``n + cat_lin2(n)`` with n the features' MLP, its last layer and W as one matrix.

        Returns:
            ``[num_nodes, hidden_channels]`` without and ``[hidden_channels]`` of the biases.
        """
        last, factor = self.node_mlp.lins[-1], _plus_identity(self.cat_lin2)
        nodes = apply_weight(factor @ last.weight, self._hidden(self.node_mlp, x))
        return nodes, torch.addmv(self.cat_lin2.bias, factor, last.bias)

    def _mlp(self, mlp: MLP, x: Tensor) -> Tensor:
        return mlp.lins[-1](self._hidden(mlp, x))

    def _hidden(self, mlp: MLP, x: Tensor | SparseFeatures) -> Tensor | SparseFeatures:
        """What the last layer of PyG's MLP reads: activation before norm, our dropout."""
        for linear, norm, share in zip(mlp.lins, mlp.norms, mlp.dropout, strict=False):
            x = norm(mlp.act(apply_linear(linear, x)))
            x = dropout(x, share) if self.training else x
        return x


def _plus_identity(linear: nn.Linear) -> Tensor:
    """``I + W``, so that ``x + linear(x)`` is one product."""
    return linear.weight + torch.eye(
        linear.in_features, dtype=linear.weight.dtype, device=linear.weight.device
    )


class LINKX(Chain):
    r"""Features and adjacency each through an MLP, joined by another.

    .. math::
        H_A = \mathrm{MLP}_A(A), \quad H_X = \mathrm{MLP}_X(X), \quad
        Y = \mathrm{MLP}_f\bigl(\sigma(W [H_A; H_X] + H_A + H_X)\bigr)

    Paper: "Large Scale Learning on Non-Homophilous Graphs" (Lim et al., NeurIPS 2021),
    https://arxiv.org/abs/2110.14446. Known for Chameleon and Squirrel, where neighbours say little
    but who one's neighbours are says much. One row of weights belongs to each node: the encoder
    fits one graph only. Parameters and initialisation are PyG's.

    Args:
        in_channels: Features per node.
        hidden_channels: Width between layers.
        out_channels: Width of the result.
        num_nodes: Nodes of the graph.
        num_layers: Number of linear layers of the last MLP.
        num_edge_layers: Number of linear layers of the MLP on the adjacency.
        num_node_layers: Number of linear layers of the MLP on the features.
        dropout: Share of hidden values dropped in training, in the last MLP.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        returns: ``[num_nodes, out_channels]``, logits.

    Raises:
        ValueError: If a setting is out of range, or the graph has another number of nodes.
    """

    reads_sparse_features = True
    needs = ("num_nodes",)
    fits_one_graph = True

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_nodes: int,
        num_layers: int = 2,
        num_edge_layers: int = 1,
        num_node_layers: int = 1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        check_count("in_channels", in_channels, 1)
        check_count("hidden_channels", hidden_channels, 1)
        check_count("out_channels", out_channels, 1)
        check_count("num_nodes", num_nodes, 1)
        check_count("num_layers", num_layers, 1)
        check_count("num_edge_layers", num_edge_layers, 1)
        check_count("num_node_layers", num_node_layers, 1)
        check_probability("dropout", dropout)
        self.num_nodes = num_nodes
        self.layers.append(
            LINKXNet(
                num_nodes,
                in_channels,
                hidden_channels,
                out_channels,
                num_layers,
                num_edge_layers,
                num_node_layers,
                float(dropout),
            )
        )

    def start(self, context: Context) -> Tensor | SparseFeatures:
        if context.graph.num_nodes != self.num_nodes:
            raise ValueError(
                f"LINKX was built for num_nodes={self.num_nodes}, "
                f"the graph has {context.graph.num_nodes} nodes"
            )
        return context.x
