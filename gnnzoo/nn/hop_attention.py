"""Hop attention: every node decides how far it listens."""

import math

import torch
from torch import Tensor, nn

from gnnzoo.nn.checks import check_choice, check_count

HOP_ATTENTIONS = ("original", "gate", "ori_ref", "recursive", "simple", "none")


class HopAttention(nn.Module):
    r"""Weighted sum of a node's hops, with weights of its own.

    .. math:: \tilde x = \sum_l a_l x_l, \qquad a = \mathrm{softmax}_l\,\sigma(e_l), \qquad
        l = 0 \dots K

    ==============  =========================================================
    ``kind``        :math:`e_l`
    ==============  =========================================================
    ``original``    :math:`w \cdot [x_0 \| \dots \| x_K \| x_l] + b`
    ``gate``        :math:`w \cdot x_l + b`
    ``ori_ref``     :math:`w \cdot [x_0 \| x_l] + b`
    ``recursive``   :math:`w \cdot [x_l \| \sum_{j<l} a'_j x_j] + b`, a' the
                    softmax over the hops before; nothing before the first
    ``simple``      a number per hop, the same for all nodes
    ``none``        no weights: the plain sum
    ==============  =========================================================

    The vector w is kept in its parts, so that no hop is repeated or concatenated: every logit is a
    sum of dot products :math:`x_l \cdot v` with a few vectors v, see `vectors` and `weights`. Where
    hops are mapped or propagated, the vectors can be mapped or propagated along.

    Paper: "Breaking the Entanglement of Homophily and Heterophily in Semi-supervised Node
    Classification" (Sun et al., ICDE 2024), https://arxiv.org/abs/2312.04111
    Differs from the authors' code: the weights of a node come from its own hops (there, the logits
    of all nodes are mixed up), and those of ``simple`` start equal.

    Args:
        channels: Features per hop, F.
        num_hops: K; there are K + 1 hops with the node itself.
        kind: See the table.
        num_streams: Number of independent attentions, each with parameters of its own.
        sharp: Leave the sigmoid out, so that weights may go to 0 and 1. With it a weight is between
            1 / (1 + K e) and e / (e + K).

    Shapes:
        hops: ``[num_rows, num_streams, num_hops + 1, channels]``, or without ``num_streams`` where
            that is 1; floating point.
        returns: the same without the hops' dimension.

    Raises:
        ValueError: If a setting is out of range or `hops` has another shape.
    """

    def __init__(
        self,
        channels: int,
        num_hops: int,
        kind: str = "original",
        num_streams: int = 1,
        sharp: bool = False,
    ) -> None:
        super().__init__()
        check_count("channels", channels, 1)
        check_count("num_hops", num_hops, 0)
        check_count("num_streams", num_streams, 1)
        check_choice("kind", kind, HOP_ATTENTIONS)
        self.channels, self.num_hops, self.kind = channels, num_hops, kind
        self.num_streams, self.sharp = num_streams, sharp
        self.num_references = {"original": num_hops + 1, "ori_ref": 1, "recursive": 1}.get(kind, 0)
        self.hop_logits = self.local = self.reference = self.bias = None
        if kind == "simple":
            self.hop_logits = nn.Parameter(torch.empty(num_streams, num_hops + 1))
        elif kind != "none":
            self.local = nn.Parameter(torch.empty(num_streams, channels))
            self.bias = nn.Parameter(torch.empty(num_streams))
        if self.num_references:
            self.reference = nn.Parameter(torch.empty(num_streams, self.num_references, channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As `nn.Linear` of the concatenation."""
        bound = 1 / math.sqrt((1 + self.num_references) * self.channels)
        for parameter in (self.local, self.reference, self.bias):
            if parameter is not None:
                nn.init.uniform_(parameter, -bound, bound)
        if self.hop_logits is not None:
            nn.init.zeros_(self.hop_logits)

    @property
    def num_vectors(self) -> int:
        """How many dot products of a hop the weights are made of."""
        return 0 if self.local is None else 1 + self.num_references

    def vectors(self) -> Tensor | None:
        """``[num_streams, num_vectors, channels]``; None if weights read no features."""
        if self.local is None:
            return None
        if self.reference is None:
            return self.local.unsqueeze(1)
        return torch.cat([self.local.unsqueeze(1), self.reference], dim=1)

    def weights(self, dots: Tensor | None) -> Tensor | None:
        """Weights of the hops.

        Shapes:
            dots: ``[num_rows, num_streams, num_hops + 1, num_vectors]``, each hop times each of
                `vectors`; None if there are none.
            returns: ``[num_rows, num_streams, num_hops + 1]`` (one row with ``simple``), rows of
                hops sum to 1; None with ``none``.
        """
        if self.kind == "none":
            return None
        if self.kind == "simple":
            return self._squash(self.hop_logits).softmax(-1).unsqueeze(0)
        logits = dots[..., 0] + self.bias.unsqueeze(-1)  # [num_rows, num_streams, num_hops + 1]
        if self.kind == "original":
            own = dots[..., 1:].diagonal(dim1=-2, dim2=-1)  # hop l with the vector for hop l
            logits = logits + own.sum(-1, keepdim=True)
        elif self.kind == "ori_ref":
            logits = logits + dots[..., :1, 1]
        elif self.kind == "recursive":
            return self._recursive(logits, dots[..., 1])
        return self._squash(logits).softmax(-1)

    def _recursive(self, logits: Tensor, reference: Tensor) -> Tensor:
        scores = [self._squash(logits[..., 0])]
        for hop in range(1, self.num_hops + 1):
            before = torch.stack(scores, dim=-1).softmax(-1)
            summed = (before * reference[..., :hop]).sum(-1)
            scores.append(self._squash(logits[..., hop] + summed))
        return torch.stack(scores, dim=-1).softmax(-1)

    def _squash(self, logits: Tensor) -> Tensor:
        return logits if self.sharp else logits.sigmoid()

    def forward(self, hops: Tensor, return_weights: bool = False) -> Tensor | tuple:
        """The weighted sum; with ``return_weights`` also the weights, None with ``none``."""
        shape = (self.num_streams, self.num_hops + 1, self.channels)
        given = hops.unsqueeze(1) if hops.dim() == 3 and self.num_streams == 1 else hops
        if given.dim() != 4 or given.shape[1:] != shape:
            raise ValueError(
                f"hops must have shape [num_rows, {', '.join(map(str, shape))}], "
                f"got {list(hops.shape)}"
            )
        vectors = self.vectors()
        dots = None if vectors is None else torch.einsum("bslf,snf->bsln", given, vectors)
        weights = self.weights(dots)
        out = weighted_sum(given, weights)
        if hops.dim() == 3:
            out = out.squeeze(1)
        return (out, weights) if return_weights else out

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.channels}, num_hops={self.num_hops}, kind={self.kind!r}, "
            f"num_streams={self.num_streams})"
        )


def weighted_sum(parts: Tensor, weights: Tensor | None) -> Tensor:
    """Sum over the last but one dimension; weights None count as ones.

    Shapes:
        parts: ``[..., num_parts, channels]``.
        weights: ``[..., num_parts]``, to be broadcast.
        returns: ``[..., channels]``.
    """
    if weights is None:
        return parts.sum(-2)
    return (weights.unsqueeze(-1) * parts).sum(-2)
