"""Nodes told apart by what short random walks around them meet, read from far to near."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gnnzoo.nn.bidirectional_mamba import BidirectionalMamba
from gnnzoo.nn.checks import check_count, check_probability
from gnnzoo.nn.features import FeatureDropout, FeatureLinear
from gnnzoo.nn.norm import reset
from gnnzoo.ops import SparseFeatures, spmm
from gnnzoo.ops.tokens import token_matrix


class NeighborhoodEncoder(nn.Module):
    r"""Encode every node by a scan over its neighbourhood tokens, the last of which is itself.

    .. math::
        \Phi_v = [\, S_{v, 1} X W, \dots, S_{v, ms} X W,\; x_v W_0 \,], \qquad
        h_v = \mathrm{BiMamba}(\Phi_v)_{\mathrm{last}}

    Row (v, i) of S holds the weights of the members of token i of node v; tokens of long walks come
    first. One sparse product makes all tokens, and the last layer scans backwards over one token.
    In training tokens of one length change places.

    Paper: "Graph Mamba: Towards Learning on Graphs with State Space Models" (Behrouz and Hashemi,
    KDD 2024), algorithm 1, first stage, https://arxiv.org/abs/2402.08678
    Differs from the paper: tokens are encoded by a linear map and a mean (``mean``) or one step of
    propagation (``sgc``), see `gnnzoo.ops.TokenSettings`; the order of equal lengths is drawn once
    for all nodes.

    Args:
        in_channels: Features per node.
        channels: Width of tokens and of the result.
        num_repeats: Tokens of one length.
        num_layers: Number of scans, one after the other.
        input_dropout: Share of the input dropped in training.
        dropout: Share of what a scan adds dropped in training.
        node_chunk: Most nodes at a time, the scans of all but one computed again in the backward
            pass; None: all at once. The result does not depend on it.
        ssm: Further settings of `BidirectionalMamba`.

    Shapes:
        x: ``[num_nodes, in_channels]``, Tensor or `SparseFeatures`.
        tokens, token_weights: ``[num_nodes, num_tokens, members]``, as made by the transform
            `gnnzoo.data.NeighborhoodTokens`.
        returns: ``[num_nodes, channels]``.

    Raises:
        ValueError: If a setting is out of range, or tokens are those of another number of nodes.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_repeats: int = 1,
        num_layers: int = 1,
        input_dropout: float = 0.0,
        dropout: float = 0.0,
        node_chunk: int | None = None,
        ssm: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        counts = {"in_channels": in_channels, "channels": channels, "num_repeats": num_repeats}
        counts |= {"num_layers": num_layers} | (
            {} if node_chunk is None else {"node_chunk": node_chunk}
        )
        for name, value in counts.items():
            check_count(name, value, 1)
        check_probability("input_dropout", input_dropout)
        self.num_repeats, self.node_chunk = num_repeats, node_chunk
        self.input_dropout = FeatureDropout(input_dropout)
        self.token_lin = FeatureLinear(in_channels, channels)
        self.node_lin = FeatureLinear(in_channels, channels)
        self.layers = nn.ModuleList(
            BidirectionalMamba(channels, dropout=dropout, **(ssm or {})) for _ in range(num_layers)
        )

    def reset_parameters(self) -> None:
        reset(self.token_lin, self.node_lin, *self.layers)

    def forward(self, x: Tensor | SparseFeatures, tokens: Tensor, token_weights: Tensor) -> Tensor:
        nodes, channels = x.size(0), self.token_lin.out_features
        if tokens.size(0) != nodes:
            raise ValueError(
                f"tokens are those of {tokens.size(0)} nodes, x has {nodes} rows; make them anew"
            )
        if tokens.size(1) % self.num_repeats:
            raise ValueError(
                f"num_repeats={self.num_repeats} must divide the {tokens.size(1)} tokens of a node"
            )
        x = self.input_dropout(x)
        far = spmm(token_matrix(tokens, token_weights), self.token_lin(x))
        far = self._shuffled(far.view(nodes, tokens.size(1), channels))
        return self._scan_in_chunks(far, self.node_lin(x))

    def _shuffled(self, far: Tensor) -> Tensor:
        """In training, tokens of one length in another order."""
        if not self.training or self.num_repeats == 1:
            return far
        lengths = far.size(1) // self.num_repeats
        places = torch.rand(lengths, self.num_repeats, device=far.device).argsort(1)
        places += torch.arange(lengths, device=far.device).unsqueeze(1) * self.num_repeats
        return far.index_select(1, places.view(-1))

    def _scan_in_chunks(self, far: Tensor, near: Tensor) -> Tensor:
        size = self.node_chunk
        if size is None or far.size(0) <= size:
            return self._scan(far, near)
        parts = zip(far.split(size), near.split(size), strict=True)
        if torch.is_grad_enabled():
            return torch.cat([checkpoint(self._scan, *part, use_reentrant=False) for part in parts])
        return torch.cat([self._scan(*part) for part in parts])

    def _scan(self, far: Tensor, near: Tensor) -> Tensor:
        h = torch.cat([far, near.unsqueeze(1)], dim=1)  # [num_nodes, num_tokens + 1, channels]
        *first, last = self.layers
        for layer in first:
            h = layer(h)
        return last(h, last_only=True)
