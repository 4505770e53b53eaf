"""Metrics of link prediction; all are shares in [0, 1] and higher is better.

Negatives are shared by all positives, ``[num_negatives]``, or belong to one positive each,
``[num_positives, num_per_positive]``. Scores must be finite: a comparison with NaN would count as
a hit or a miss without a word.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

LinkMetric = Callable[[Tensor, Tensor], float]

MAX_CURVE = 1 << 22  # scores that are sorted as one list; more negatives are counted in parts
COUNTED = 1 << 22  # negatives of one part


def link_metric(name: str) -> LinkMetric:
    """The metric ``(positives, negatives) -> float`` of a name.

    ``hits@K``, ``mrr``, ``auc`` (area under the ROC curve) and ``ap`` (average precision).

    Raises:
        ValueError: If there is no such metric.
    """
    if found := re.fullmatch(r"hits@([1-9]\d*)", name):
        return partial(hits, k=int(found[1]))
    known: dict[str, LinkMetric] = {"mrr": mrr, "auc": auc, "ap": ap}
    if name not in known:
        raise ValueError(f"no link metric {name!r}; there are: hits@K, {', '.join(known)}")
    return known[name]


def least_negatives(name: str) -> int:
    """How many negatives, shared or per positive, a metric needs."""
    return int(name.removeprefix("hits@")) if name.startswith("hits@") else 1


def hits(positives: Tensor, negatives: Tensor, k: int) -> float:
    """Share of the positives that score strictly above the k-th best of the negatives.

    With negatives of their own: share of the positives whose rank (see :func:`ranks`) is at most k.

    Raises:
        ValueError: If there are fewer than k negatives, or a score is not finite.
    """
    _check(positives, negatives)
    if negatives.size(-1) < k:
        raise ValueError(f"hits@{k} needs at least {k} negatives, there are {negatives.size(-1)}")
    if negatives.dim() == 2:
        return (ranks(positives, negatives) <= k).float().mean().item()
    return (positives > negatives.topk(k).values[-1]).float().mean().item()


def mrr(positives: Tensor, negatives: Tensor) -> float:
    """Mean reciprocal rank of the positives; shared negatives are those of every positive."""
    _check(positives, negatives)
    return ranks(positives, negatives).reciprocal().mean().item()


def ranks(positives: Tensor, negatives: Tensor) -> Tensor:
    """``[num_positives]``: one plus the negatives above, ties counting half, as in ogb 1.3.4."""
    if negatives.dim() == 2:
        above = (negatives > positives.unsqueeze(1)).sum(1)
        not_below = (negatives >= positives.unsqueeze(1)).sum(1)
    else:
        ordered = negatives.sort().values
        above = ordered.numel() - torch.searchsorted(ordered, positives, right=True)
        not_below = ordered.numel() - torch.searchsorted(ordered, positives)
    return (above + not_below).double() / 2 + 1


def auc(positives: Tensor, negatives: Tensor) -> float:
    """Area under the ROC curve over all pairs together; memory beside the scores is bounded."""
    if positives.numel() + negatives.numel() <= MAX_CURVE:
        from torchmetrics.functional.classification import binary_auroc

        return binary_auroc(*_labelled(positives, negatives), validate_args=False).item()
    counted = _Thresholds.of(positives, negatives)
    won = counted.negatives_below + (counted.negatives_from - counted.negatives_above) / 2
    return float((counted.positives * won).sum() / (positives.numel() * negatives.numel()))


def ap(positives: Tensor, negatives: Tensor) -> float:
    """Average precision over all pairs together; memory beside the scores is bounded."""
    if positives.numel() + negatives.numel() <= MAX_CURVE:
        from torchmetrics.functional.classification import binary_average_precision

        return binary_average_precision(
            *_labelled(positives, negatives), validate_args=False
        ).item()
    counted = _Thresholds.of(positives, negatives)
    hits = counted.positives.flip(0).cumsum(0).flip(0)
    precision = hits / (hits + counted.negatives_from)
    return float((counted.positives * precision).sum() / positives.numel())


@dataclass(frozen=True)
class _Thresholds:
    """How many scores lie where, for each different score of the positives, ascending; float64."""

    positives: Tensor  # with that score
    negatives_from: Tensor  # with that score or a higher one
    negatives_above: Tensor
    negatives_below: Tensor

    @classmethod
    def of(cls, positives: Tensor, negatives: Tensor) -> "_Thresholds":
        """Count the negatives part by part; only the positives are sorted."""
        _check(positives, negatives)
        scores, count = positives.unique(return_counts=True)
        at_least, above = (torch.zeros(scores.numel() + 1, dtype=torch.int64) for _ in range(2))
        for part in negatives.flatten().split(COUNTED):
            for right, total in ((True, at_least), (False, above)):
                place = torch.searchsorted(scores, part, right=right)  # thresholds passed
                total += torch.bincount(place, minlength=total.numel()).cpu()
        num_from, num_above = (
            total.flip(0).cumsum(0).flip(0)[1:].double() for total in (at_least, above)
        )
        return cls(count.cpu().double(), num_from, num_above, negatives.numel() - num_from)


def _labelled(positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Scores as ranks, since torchmetrics squeezes logits into [0, 1], which makes ties."""
    _check(positives, negatives)
    scores = torch.cat([positives, negatives.flatten()])
    order = scores.unique(return_inverse=True)[1]
    labels = torch.zeros_like(order)
    labels[: positives.numel()] = 1
    return order.double() / max(int(order.max()), 1), labels


def _check(positives: Tensor, negatives: Tensor) -> None:
    for scores in (positives, negatives):
        if scores.numel() and not all(bound.isfinite() for bound in scores.aminmax()):
            raise ValueError(
                "a score is not finite; a lower trainer.lr or trainer.clip_norm=1 may help"
            )
