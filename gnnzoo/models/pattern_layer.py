"""The first layer of ADPA: every hop of every stream mapped, and hops fused by attention."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gnnzoo.models.chain import Context
from gnnzoo.nn import FeatureDropout, HopAttention, StreamLinear
from gnnzoo.nn.features import apply_weight
from gnnzoo.nn.hop_attention import weighted_sum
from gnnzoo.ops import Graph, PatternSettings, SparseFeatures, propagate_along

CHUNK_VALUES = 1 << 24  # of mapped hops held at a time without gradients


class _Maps(NamedTuple):
    own: Tensor  # [channels, in_channels], of the features' own stream
    others: Tensor  # [num_patterns, width, in_channels]: channels, then attention's vectors


class PatternLayer(nn.Module):
    r"""Hop attention and the first linear map of each stream, ReLU, dropout.

    .. math:: h_g = \mathrm{ReLU}\Big(W_g \sum_l a_{g,l} X_g^{(l)} + b_g\Big)

    Up to the ReLU everything is linear in the hops but the weights a, which read them by a few dot
    products. So hops are mapped by W and those vectors in one product, and what is summed is
    narrow; and as maps and propagation commute, features may be mapped before they are propagated.
    Neither way makes a tensor of hops repeated or concatenated.

    Args:
        in_channels: Features per node.
        channels: Width of a stream.
        settings: Patterns and hops.
        attention: Kind of `HopAttention`; None leaves the hops apart, each mapped by itself.
        sharp: As in `HopAttention`.
        dropout: Share of the result dropped in training.

    Shapes:
        x: ``context.patterns``, or the features of all nodes where there is none.
        returns: ``[num_rows, num_streams, channels]``, the features' own stream first; with hops
            left apart ``[num_rows, num_streams, num_hops + 1, channels]``.
    """

    reach = None

    def __init__(
        self,
        in_channels: int,
        channels: int,
        settings: PatternSettings,
        attention: str | None,
        sharp: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.settings, self.channels = settings, channels
        self.linear = StreamLinear(in_channels, channels, settings.num_streams)
        self.attention = None
        if attention is not None:
            count, hops = len(settings.words), settings.num_hops
            self.attention = HopAttention(in_channels, hops, attention, count, sharp)
        self.dropout = FeatureDropout(dropout)

    def reset_parameters(self) -> None:
        self.linear.reset_parameters()
        if self.attention is not None:
            self.attention.reset_parameters()

    def forward(self, x: Tensor | SparseFeatures, context: Context) -> Tensor:
        maps = self._maps()
        if context.patterns is not None:
            h = self._in_chunks(x, maps)
        elif isinstance(x, SparseFeatures) or x.size(1) > maps.others.size(1):
            h = self._fused(*self._mapped_first(x, context.graph, maps))
        else:
            h = self._fused(*self._mapped(self._propagated(x, context.graph), maps))
        return self.dropout(h.relu())

    def _maps(self) -> _Maps:
        """What hops are mapped by; split, not indexed, which would fill a gradient per piece."""
        own, others = self.linear.weight.split([1, len(self.settings.words)])
        vectors = None if self.attention is None else self.attention.vectors()
        return _Maps(own[0], others if vectors is None else torch.cat([others, vectors], dim=1))

    def _own(self, x: Tensor | SparseFeatures, maps: _Maps) -> tuple[Tensor, Tensor]:
        """The features' own stream, and hop 0 of the others ``[num_rows, num_patterns, width]``."""
        weight = torch.cat([maps.own, maps.others.flatten(0, 1)])
        mapped = apply_weight(weight, x)
        own, zero = mapped.split([self.channels, mapped.size(1) - self.channels], dim=1)
        return own, zero.unflatten(1, maps.others.shape[:2])

    def _mapped(self, patterns: Tensor, maps: _Maps) -> tuple[Tensor, Tensor]:
        """Own stream ``[num_rows, channels]``, hops ``[num_rows, num_patterns, hops, width]``."""
        own, zero = self._own(patterns[:, 0].to(maps.own.dtype), maps)
        hops, count = [zero], self.settings.num_hops
        for hop in range(count):
            mapped = [
                F.linear(patterns[:, 1 + i * count + hop].to(weight.dtype), weight)
                for i, weight in enumerate(maps.others.unbind())
            ]
            hops.append(torch.stack(mapped, dim=1))
        return own, torch.stack(hops, dim=2)

    def _mapped_first(
        self, x: Tensor | SparseFeatures, graph: Graph, maps: _Maps
    ) -> tuple[Tensor, Tensor]:
        """As `_mapped`, with the maps before the propagation."""
        own, zero = self._own(x, maps)
        streams = []
        for start, pattern in zip(zero.unbind(1), self.settings.patterns, strict=True):
            hops = [start]
            for hop in range(1, self.settings.num_hops + 1):
                hops.append(propagate_along(hops[-1], graph, pattern, self.settings, hop))
            streams.append(torch.stack(hops, dim=1))
        return own, torch.stack(streams, dim=1)

    def _propagated(self, x: Tensor, graph: Graph) -> Tensor:
        """What `DirectedPatterns` makes, with gradients."""
        rows = [x]
        for pattern in self.settings.patterns:
            h = x
            for hop in range(1, self.settings.num_hops + 1):
                h = propagate_along(h, graph, pattern, self.settings, hop)
                rows.append(h)
        return torch.stack(rows, dim=1)

    def _fused(self, own: Tensor, hops: Tensor) -> Tensor:
        """Hops to streams, biases added."""
        mapped, dots = hops.split([self.channels, hops.size(-1) - self.channels], dim=-1)
        if self.attention is None:
            own = own[:, None, None].expand(-1, 1, mapped.size(2), -1)
            return torch.cat([own, mapped], dim=1) + self.linear.bias.unsqueeze(1)
        weights = self.attention.weights(dots if dots.size(-1) else None)
        streams = weighted_sum(mapped, weights)
        return torch.cat([own.unsqueeze(1), streams], dim=1) + self.linear.bias

    def _in_chunks(self, patterns: Tensor, maps: _Maps) -> Tensor:
        """All rows at once in training; otherwise some at a time, so that little is held."""
        most = max(CHUNK_VALUES // max(self.settings.num_rows * maps.others.size(1), 1), 1)
        if torch.is_grad_enabled() or patterns.size(0) <= most:
            return self._fused(*self._mapped(patterns, maps))
        parts = [self._fused(*self._mapped(part, maps)) for part in patterns.split(most)]
        return torch.cat(parts)
