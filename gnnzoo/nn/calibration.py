"""From a link predictor's logits to probabilities."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Calibration:
    r"""Probabilities from logits, :math:`\alpha \sigma(scale (z - offset) + \ln pt)`.

    Equal to :math:`\alpha\, pt\, p / (pt\, p + 1 - p)` with :math:`p = \sigma(scale (z - offset))`,
    but without a difference of numbers that are close to each other.

    Args:
        scale, offset: Of the logits.
        alpha: Weight of the result, a number or a tensor without dimensions.
    """

    scale: float
    offset: float
    alpha: Tensor | float = 1.0

    def __call__(self, logit: Tensor, log_prior: Tensor | float = 0.0) -> Tensor:
        """Probabilities, with the logarithm of pt: one number, or a tensor that goes with them."""
        return self.alpha * torch.sigmoid(self.scale * (logit - self.offset) + log_prior)
