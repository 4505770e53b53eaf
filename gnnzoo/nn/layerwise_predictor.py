"""Scores of node pairs from the embeddings of several layers, each of which has a vote."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from gnnzoo.nn.checks import check_choice, check_count
from gnnzoo.nn.pair_predictors import PairPredictor, as_pairs, pair_product
from gnnzoo.ops import Graph
from gnnzoo.ops.spmm import compute_dtype

SCORES = ("dot", "goodness")


class LayerwisePredictor(PairPredictor):
    r"""The mean of the layers' probabilities, as a logit.

    .. math:: p_{ij} = \frac{1}{L} \sum_l \sigma(s_{ij}^l), \qquad
        s_{ij}^l = \sum_d x_{id}^l x_{jd}^l \quad \text{or} \quad
        s_{ij}^l = \sum_d (x_{id}^l x_{jd}^l)^2 - \theta

    Paper: "Forward Learning of Graph Neural Networks" (Park et al., ICLR 2024),
    https://arxiv.org/abs/2403.11004, links by cross-entropy and by forward-forward.

    Args:
        in_channels: Width of one layer.
        score: ``dot`` or ``goodness``, the first or the second form of s.
        threshold: :math:`\theta`, positive.

    Shapes:
        x: ``[num_nodes, num_layers * in_channels]``, layers side by side, for any number of them.
        others and errors as of `PairPredictor`.
    """

    reads_graph = False

    def __init__(self, in_channels: int, score: str = "dot", threshold: float = 2.0) -> None:
        super().__init__()
        check_count("in_channels", in_channels, 1)
        check_choice("score", score, SCORES)
        if not threshold > 0:
            raise ValueError(f"threshold must be positive, got {threshold}")
        self.in_channels, self.score, self.threshold = in_channels, score, threshold

    def forward(self, x: Tensor, graph: Graph | None, pairs: Tensor) -> Tensor:
        if x.dim() != 2 or x.size(1) % self.in_channels or not x.size(1):
            raise ValueError(
                f"x must have shape [num_nodes, num_layers * {self.in_channels}], "
                f"got {list(x.shape)}"
            )
        layers = x.to(compute_dtype(x)).split(self.in_channels, dim=1)
        scores = torch.stack([self.layer(layer, pairs) for layer in layers])
        return logsigmoid(scores).logsumexp(0) - logsigmoid(-scores).logsumexp(0)

    def layer(self, x: Tensor, pairs: Tensor) -> Tensor:
        """``[num_pairs]``: the score s of one layer."""
        product = pair_product(x, as_pairs(pairs, x.size(0)))
        if self.score == "dot":
            return product.sum(1)
        return product.square().sum(1) - self.threshold

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.in_channels}, score={self.score!r})"
