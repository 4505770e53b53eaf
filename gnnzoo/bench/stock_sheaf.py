"""A sheaf layer and the model around it as published code computes them, with PyTorch alone.

What makes it slow is followed on purpose: features of both ends side by side for every edge, a
Laplacian whose blocks are spelt out in coordinate format, and a product that gathers one row of
features for each of its entries.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class StockSheafConv(nn.Module):
    """One diffusion step with maps from the features at both ends.

    Paper: "Neural Sheaf Diffusion" (Bodnar et al., NeurIPS 2022),
    https://arxiv.org/abs/2202.04579. Orthogonal maps are products of Householder reflections, and
    inverse roots of degree blocks come from a singular value decomposition; a little noise on the
    diagonal keeps their gradient finite.

    Args:
        channels: Features per stalk dimension.
        stalk_dim: Stalk dimensions.
        maps: ``diag``, ``bundle`` or ``general``.

    Shapes:
        x: ``[num_nodes, stalk_dim * channels]``.
        edge_index: ``[2, num_edges]``, both directions, no self-loops.
        reverse: ``[num_edges]``, the reverse of each edge.
        returns: as `x`.
    """

    def __init__(self, channels: int, stalk_dim: int, maps: str, dropout: float = 0.0) -> None:
        super().__init__()
        self.stalk_dim, self.maps, self.dropout = stalk_dim, maps, dropout
        width = {"diag": stalk_dim, "bundle": stalk_dim * (stalk_dim - 1) // 2}
        pair = 2 * stalk_dim * channels
        self.learner = nn.Linear(pair, width.get(maps, stalk_dim**2), bias=False)
        self.weight_learner = nn.Linear(pair, 1, bias=False) if maps == "bundle" else None
        self.left = nn.Linear(stalk_dim, stalk_dim, bias=False)
        self.right = nn.Linear(channels, channels, bias=False)
        self.epsilon = nn.Parameter(torch.zeros(stalk_dim, 1))

    def forward(self, x: Tensor, edge_index: Tensor, reverse: Tensor) -> Tensor:
        size = self.stalk_dim
        dropped = F.dropout(x, self.dropout, self.training)
        index, values = self.laplacian(dropped, edge_index, reverse)
        h = F.dropout(x, self.dropout, self.training).view(-1, size, self.right.in_features)
        h = self.right(self.left(h.transpose(1, 2)).transpose(1, 2)).flatten(0, 1)
        messages = h[index[1]] * values.unsqueeze(1)  # one row for each entry
        h = torch.zeros_like(h).index_add(0, index[0], messages)
        kept = (1 + self.epsilon.tanh()) * x.view(-1, size, h.size(1))
        return (kept - F.elu(h).view_as(kept)).flatten(1)

    def laplacian(self, x: Tensor, edge_index: Tensor, reverse: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates ``[2, num_entries]`` and values of the normalised Laplacian."""
        row, col = edge_index
        ends = torch.cat([x[row], x[col]], dim=1)
        params = torch.tanh(self.learner(ends))
        first = row < col  # one of the two directions of each pair
        u, v = row[first], col[first]
        if self.maps == "diag":
            off, diagonal = self._diagonal(params, row, reverse, first, x.size(0))
        else:
            maps = self._maps(params, ends, reverse)
            off, diagonal = self._blocks(maps, row, reverse, first, x.size(0))
        return self._coordinates(off, diagonal, u, v)

    def _maps(self, params: Tensor, ends: Tensor, reverse: Tensor) -> Tensor:
        if self.maps == "general":
            return params.view(-1, self.stalk_dim, self.stalk_dim)
        share = self.weight_learner(ends).sigmoid()
        return reflections(params, self.stalk_dim) * (share * share[reverse]).unsqueeze(2)

    def _diagonal(self, maps, row, reverse, first, num_nodes):
        degree = maps.new_zeros(num_nodes, maps.size(1)).index_add(0, row, maps**2)
        scale = (degree + 1) ** -0.5
        off = -(maps[first] * maps[reverse[first]])
        off = off * scale[row[first]] * scale[row[reverse[first]]]
        return off, degree * scale**2

    def _blocks(self, maps, row, reverse, first, num_nodes):
        size = self.stalk_dim
        degree = maps.new_zeros(num_nodes, size, size).index_add(0, row, maps.mT @ maps)
        eye = torch.eye(size, dtype=maps.dtype, device=maps.device)
        if self.maps == "bundle":
            scale = (degree[:, :1, :1] + 1) ** -0.5 * eye
        else:
            noise = 1e-3 * (2 * torch.rand(size, device=maps.device) - 1) * self.training
            left, values, _ = torch.linalg.svd(degree + eye + torch.diag(noise))
            scale = left @ torch.diag_embed(values**-0.5) @ left.mT
        off = -(maps[first].mT @ maps[reverse[first]])
        off = scale[row[first]] @ off @ scale[row[reverse[first]]]
        return off, scale @ degree @ scale

    def _coordinates(self, off, diagonal, u, v):
        size = self.stalk_dim
        nodes = torch.arange(diagonal.size(0), device=u.device)
        axis = torch.arange(size, device=u.device)
        k, m = (axis, axis) if self.maps == "diag" else torch.cartesian_prod(axis, axis).unbind(1)

        def spell_out(rows: Tensor, cols: Tensor) -> Tensor:
            row, col = rows[:, None] * size + k, cols[:, None] * size + m
            return torch.stack([row.flatten(), col.flatten()])

        upper = spell_out(u, v)
        index = torch.cat([upper, upper.flip(0), spell_out(nodes, nodes)], dim=1)
        return index, torch.cat([off.flatten(), off.flatten(), diagonal.flatten()])


def reflections(params: Tensor, size: int) -> Tensor:
    """Products of Householder reflections, ``[num, size, size]``."""
    eye = torch.eye(size, dtype=params.dtype, device=params.device)
    row, col = torch.tril_indices(size, size, -1, device=params.device)
    vectors = eye.repeat(params.size(0), 1, 1).index_put(
        (torch.arange(params.size(0), device=params.device)[:, None], row, col), params
    )
    out = eye
    for j in range(size):
        a = vectors[:, :, j : j + 1]
        out = out @ (eye - 2 * a @ a.mT / (a * a).sum(1, keepdim=True))
    return out


class StockNSD(nn.Module):
    """The whole model on such layers.

    Shapes:
        x: ``[num_nodes, in_channels]``, dense.
        edge_index, reverse: As in `StockSheafConv`.
        returns: ``[num_nodes, out_channels]``.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        out_channels: int,
        num_layers: int,
        stalk_dim: int,
        maps: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self.dropout, width = dropout, stalk_dim * channels
        self.first, self.last = nn.Linear(in_channels, width), nn.Linear(width, out_channels)
        self.convs = nn.ModuleList(
            StockSheafConv(channels, stalk_dim, maps, dropout) for _ in range(num_layers)
        )

    def forward(self, x: Tensor, edge_index: Tensor, reverse: Tensor) -> Tensor:
        h = F.dropout(F.elu(self.first(x)), self.dropout, self.training)
        for conv in self.convs:
            h = conv(h, edge_index, reverse)
        return self.last(h)
