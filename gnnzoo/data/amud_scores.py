"""From counts of pairs to the correlations, the score and the decision of AMUD (reconstructed)."""

import torch
from torch import Tensor

WORDS = ("AA", "AAt", "AtA")  # AtAt says the same as AA: being of one class has no direction
NUM_DRAWS = 1000  # of the bootstrap


class Scores:
    """From counts per node to correlations, score and decision; leading dimensions are free.

    Args:
        label: ``[num_labelled]``, labels of the nodes whose pairs count.
        threshold: Scores above it keep the arcs.
        floor: Least of the largest squared correlation that counts as evidence.
        symmetric: Whether the graph is undirected.
    """

    def __init__(self, label: Tensor, threshold: float, floor: float, symmetric: bool) -> None:
        sizes = label.unique(return_counts=True)[1]
        self.num_others = len(label) - 1
        same = int((sizes * (sizes - 1)).sum())
        self.same_label = same / (len(label) * self.num_others)
        self.threshold, self.floor, self.symmetric = threshold, floor, symmetric

    def correlations(self, counts: Tensor) -> Tensor:
        """``[...]`` from ``[..., 2]``, mean numbers per node of pairs joined, and of those alike.

        The phi coefficient of two events is the correlation of their indicators.
        """
        joined, both = (counts / self.num_others).unbind(dim=-1)
        spread = joined * (1 - joined) * self.same_label * (1 - self.same_label)
        r = (both - joined * self.same_label) / spread.clamp(min=0).sqrt()
        return torch.where(spread > 0, r, 0.0)

    def score(self, r: Tensor) -> Tensor:
        """``[...]`` from ``[..., words]``."""
        squares = r.square()
        one, other = squares[..., [0, 0, 1]], squares[..., [1, 2, 2]]
        larger = torch.maximum(one, other)
        share = torch.where(larger > 0, (one - other) / larger, 0.0)
        return share.square().mean(dim=-1).sqrt()

    def decide(self, r: Tensor) -> Tensor:
        """Whether to keep the arcs, ``[...]`` from ``[..., words]``."""
        evident = r.square().amax(dim=-1) >= self.floor
        return (self.score(r) > self.threshold) & evident & (not self.symmetric)

    def reason(self, r: Tensor, score: float) -> tuple[str, str]:
        """The reason of the decision, as a word and as a sentence."""
        largest = float(r.square().max())
        if self.symmetric:
            return "symmetric", "every arc has its reverse, so there is no direction to keep"
        if largest < self.floor:
            return "no_evidence", (
                f"labels hardly correlate with any pattern of two steps (largest R² {largest:.2g}, "
                f"evidence begins at {self.floor:g})"
            )
        if score > self.threshold:
            return "score", (
                f"AA, AAᵀ and AᵀA differ in what they say about labels (score {score:.3f}, "
                f"above {self.threshold:g})"
            )
        return "below_threshold", (
            f"AA, AAᵀ and AᵀA say much the same about labels (score {score:.3f}, "
            f"not above {self.threshold:g})"
        )

    def interval(
        self, counts: Tensor, num_all: int, seed: int
    ) -> tuple[tuple[float, float], float]:
        """What a bootstrap over drawn nodes says of the certainty of score and decision.

        Args:
            counts: ``[words, 2, num_drawn]``, for each drawn node.
            num_all: Of how many nodes they were drawn, without replacement.
            seed: Seed of the bootstrap.

        Returns:
            The 95 % confidence interval, and the share of draws with the same decision.
        """
        num_drawn = counts.size(-1)
        generator = torch.Generator().manual_seed(seed)
        means = counts.new_empty(NUM_DRAWS, *counts.shape[:-1])
        for mean in means:
            again = torch.randint(num_drawn, (num_drawn,), generator=generator)
            mean.copy_(counts[..., again.to(counts.device)].mean(dim=-1))
        centre = counts.mean(dim=-1)
        # The more of all nodes are among the drawn, the less is left open.
        r = self.correlations(centre + (1 - num_drawn / num_all) ** 0.5 * (means - centre))
        ends = self.score(r).quantile(r.new_tensor([0.025, 0.975])).tolist()
        same = self.decide(r) == self.decide(self.correlations(centre))
        return (ends[0], ends[1]), float(same.double().mean())
