"""Pattern attention: one embedding from those of several directed patterns."""

import torch
from torch import Tensor, nn

from gnnzoo.nn.checks import check_choice, check_count
from gnnzoo.nn.hop_attention import weighted_sum

PATTERN_ATTENTIONS = ("original", "gate", "ori_ref", "jk", "recursive", "none")


class PatternAttention(nn.Module):
    r"""Fuse a node's streams, the first of which holds its own features.

    ==============  ==================================================  ==================
    ``kind``        result                                              width
    ==============  ==================================================  ==================
    ``original``    :math:`\|_g\, \alpha_g h_g`, a free number each     num_streams * h
    ``none``        :math:`\sum_g h_g`                                  h
    others          :math:`\sum_g v_g h_g, v = softmax_g \sigma(e_g)`   h
    ==============  ==================================================  ==================

    The logits are :math:`w \cdot h_g + b` (``gate``), :math:`w \cdot [h_1 \| h_g] + b`
    (``ori_ref``), :math:`W [h_1 \| \dots \| h_G] + b` (``jk``), or
    :math:`w \cdot [h_g \| \sum_{j<g} v'_j h_j] + b` with v' the softmax over the streams before
    (``recursive``).

    Paper: "Breaking the Entanglement of Homophily and Heterophily in Semi-supervised Node
    Classification" (Sun et al., ICDE 2024), https://arxiv.org/abs/2312.04111
    Differs from the authors' code: weights with ``ori_ref`` come from the node's own streams.

    Args:
        channels: Width of a stream, h.
        num_streams: Number of streams, G.
        kind: See above.
        sharp: Leave the sigmoid out.

    Shapes:
        streams: ``[..., num_streams, channels]``, floating point.
        returns: ``[..., out_channels]``.

    Raises:
        ValueError: If a setting is out of range or `streams` has another shape.
    """

    def __init__(
        self, channels: int, num_streams: int, kind: str = "original", sharp: bool = False
    ) -> None:
        super().__init__()
        check_count("channels", channels, 1)
        check_count("num_streams", num_streams, 1)
        check_choice("kind", kind, PATTERN_ATTENTIONS)
        self.channels, self.num_streams = channels, num_streams
        self.kind, self.sharp = kind, sharp
        self.scale = self.lin = None
        if kind == "original":
            self.scale = nn.Parameter(torch.empty(num_streams))
        elif kind == "jk":
            self.lin = nn.Linear(num_streams * channels, num_streams)
        elif kind != "none":
            self.lin = nn.Linear(channels if kind == "gate" else 2 * channels, 1)
        self.reset_parameters()

    @property
    def out_channels(self) -> int:
        """Width of the result."""
        return self.channels * (self.num_streams if self.kind == "original" else 1)

    def reset_parameters(self) -> None:
        if self.scale is not None:
            nn.init.normal_(self.scale)
        if self.lin is not None:
            self.lin.reset_parameters()

    def weights(self, streams: Tensor) -> Tensor | None:
        """``[..., num_streams]``, which sum to 1; with ``original`` the free numbers."""
        if self.kind == "none":
            return None
        if self.kind == "original":
            return self.scale
        if self.kind == "jk":
            return self._squash(self.lin(streams.flatten(-2))).softmax(-1)
        if self.kind == "gate":
            return self._squash(self.lin(streams).squeeze(-1)).softmax(-1)
        first, second = self.lin.weight[0].split(self.channels)
        if self.kind == "ori_ref":
            logits = streams[..., :1, :] @ first + streams @ second + self.lin.bias
            return self._squash(logits).softmax(-1)
        return self._recursive(streams @ first + self.lin.bias, streams @ second)

    def _recursive(self, logits: Tensor, reference: Tensor) -> Tensor:
        scores = [self._squash(logits[..., 0])]
        for i in range(1, self.num_streams):
            before = torch.stack(scores, dim=-1).softmax(-1)
            scores.append(self._squash(logits[..., i] + (before * reference[..., :i]).sum(-1)))
        return torch.stack(scores, dim=-1).softmax(-1)

    def _squash(self, logits: Tensor) -> Tensor:
        return logits if self.sharp else logits.sigmoid()

    def forward(self, streams: Tensor, return_weights: bool = False) -> Tensor | tuple:
        """The fused streams; with ``return_weights`` also the weights, None with ``none``."""
        if streams.dim() < 2 or streams.shape[-2:] != (self.num_streams, self.channels):
            raise ValueError(
                f"streams must have shape [..., {self.num_streams}, {self.channels}], "
                f"got {list(streams.shape)}"
            )
        weights = self.weights(streams)
        if self.kind == "original":
            out = (weights.unsqueeze(-1) * streams).flatten(-2)
        else:
            out = weighted_sum(streams, weights)
        return (out, weights) if return_weights else out

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.channels}, num_streams={self.num_streams}, "
            f"kind={self.kind!r})"
        )
