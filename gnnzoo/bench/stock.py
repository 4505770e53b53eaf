"""Reference models written with PyTorch and PyG alone, as somebody without gnnzoo would.

The uncached ones follow what published scripts do: dense features, gather and scatter, the
normalisation computed anew at every forward pass. The cached ones take whatever plain PyTorch
offers: sparse features, one adjacency matrix in CSR made beforehand.
"""

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import GCNConv, MessagePassing
from torch_geometric.nn.conv.gcn_conv import gcn_norm


class StockGCN(nn.Module):
    """Two PyG `GCNConv`, dense features, dropout on the input and on the hidden layer.

    Shapes:
        x: ``[num_nodes, in_channels]``, dense.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target.
        returns: ``[num_nodes, out_channels]``.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        dropout: float = 0.5,
        input_dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.dropout, self.input_dropout = dropout, input_dropout
        self.first = GCNConv(in_channels, hidden_channels)
        self.second = GCNConv(hidden_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        if self.input_dropout:
            x = F.dropout(x, self.input_dropout, self.training)
        x = self.first(x, edge_index).relu()
        return self.second(F.dropout(x, self.dropout, self.training), edge_index)


class WeightedSum(MessagePassing):
    """Sum of the neighbours' features times the edge weights, by gather and scatter."""

    def __init__(self) -> None:
        super().__init__(aggr="add")

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        return self.propagate(edge_index, x=x, edge_weight=edge_weight)

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        return edge_weight.unsqueeze(-1) * x_j


class GatherScatterDAGNN(nn.Module):
    """DAGNN as its authors run it: message passing per hop, all hops stacked, then the gate.

    Paper: "Towards Deeper Graph Neural Networks" (Liu, Gao and Ji, KDD 2020),
    https://arxiv.org/abs/2007.09296

    Shapes:
        x: ``[num_nodes, in_channels]``, dense.
        edge_index: ``[2, num_edges]``, row 0 source and row 1 target.
        returns: ``[num_nodes, out_channels]``.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        num_hops: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.num_hops, self.dropout = num_hops, dropout
        self.first = nn.Linear(in_channels, hidden_channels)
        self.second = nn.Linear(hidden_channels, out_channels)
        self.gate = nn.Linear(out_channels, 1)
        self.hop = WeightedSum()

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        h = self.first(F.dropout(x, self.dropout, self.training)).relu()
        h = self.second(F.dropout(h, self.dropout, self.training))
        edge_index, weight = gcn_norm(edge_index, None, x.size(0), dtype=h.dtype)
        hops = [h]
        for _ in range(self.num_hops):
            hops.append(self.hop(hops[-1], edge_index, weight))
        stack = torch.stack(hops, dim=1)  # [num_nodes, num_hops + 1, out_channels]
        gates = self.gate(stack).sigmoid()  # [num_nodes, num_hops + 1, 1]
        return (gates.transpose(1, 2) @ stack).squeeze(1)


def sparse_dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Dropout on a dense matrix, or on the stored values of a CSR matrix."""
    if x.layout == torch.strided or not training:
        return F.dropout(x, p, training)
    values = F.dropout(x.values(), p)
    return torch.sparse_csr_tensor(
        x.crow_indices(), x.col_indices(), values, x.shape, check_invariants=False
    )


class CachedDAGNN(GatherScatterDAGNN):
    """The same model with what PyTorch gives anybody: CSR products and no stack of hops.

    Shapes:
        x: ``[num_nodes, in_channels]``, dense or torch's CSR layout.
        adjacency: ``[num_nodes, num_nodes]``, from `normalized_adjacency`.
        returns: ``[num_nodes, out_channels]``.
    """

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        h = sparse_dropout(x, self.dropout, self.training) @ self.first.weight.t()
        h = (h + self.first.bias).relu()
        h = self.second(F.dropout(h, self.dropout, self.training))
        out = self.gate(h).sigmoid() * h
        for _ in range(self.num_hops):
            h = adjacency @ h
            out = out + self.gate(h).sigmoid() * h
        return out


class CachedGCN(StockGCN):
    """The stock GCN, parameters and all, with sparse features and a cached adjacency matrix.

    Shapes:
        as in `CachedDAGNN`.
    """

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        h = sparse_dropout(x, self.input_dropout, self.training) @ self.first.lin.weight.t()
        h = (adjacency @ h + self.first.bias).relu()
        h = self.second.lin(F.dropout(h, self.dropout, self.training))
        return adjacency @ h + self.second.bias


def normalized_adjacency(edge_index: Tensor, num_nodes: int) -> Tensor:
    """PyG's symmetric normalisation with self-loops as a CSR matrix of torch, rows as targets."""
    (source, target), weight = gcn_norm(edge_index, None, num_nodes)
    shape = (num_nodes, num_nodes)
    return to_csr(torch.sparse_coo_tensor(torch.stack([target, source]), weight, shape))


def to_csr(x: Tensor) -> Tensor:
    """Any two-dimensional tensor in torch's CSR layout."""
    with warnings.catch_warnings():  # torch announces that CSR tensors are in beta
        warnings.simplefilter("ignore")
        return x.to_sparse_csr()
