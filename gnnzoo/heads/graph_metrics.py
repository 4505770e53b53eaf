"""Metrics of tasks on whole graphs, as OGB defines them, over all graphs of a part at once.

Scores and targets are ``[num_graphs, num_tasks]``, targets NaN where unknown; accuracy of classes
takes scores ``[num_graphs, num_classes]`` and classes ``[num_graphs]``. Everything is computed in
float64, and what is unknown is left out.
"""

from collections.abc import Callable

import torch
from torch import Tensor

GraphMetric = Callable[[Tensor, Tensor], float]


def accuracy(scores: Tensor, targets: Tensor) -> float:
    """Share of right classes; of labels, decided at 0, the mean of the tasks' shares."""
    if targets.dim() == 1:
        return (scores.argmax(dim=-1) == targets).double().mean().item()
    return _mean_over_tasks(scores, targets, lambda s, y: ((s > 0) == (y > 0)).double().mean())


def roc_auc(scores: Tensor, targets: Tensor) -> float:
    """Mean area under the ROC curve over the tasks that have both labels."""
    from sklearn.metrics import roc_auc_score  # a second of imports

    return _ranked(roc_auc_score, *_two_sided(scores, targets))


def ap(scores: Tensor, targets: Tensor) -> float:
    """Mean average precision, without interpolation, over the tasks that have both labels."""
    from sklearn.metrics import average_precision_score

    return _ranked(average_precision_score, *_two_sided(scores, targets))


def rmse(scores: Tensor, targets: Tensor) -> float:
    """Mean of the tasks' root mean squared errors."""
    return _mean_over_tasks(scores, targets, lambda s, y: (s - y).square().mean().sqrt())


def mae(scores: Tensor, targets: Tensor) -> float:
    """Mean absolute error over all graphs and tasks together."""
    known = ~targets.isnan()
    return (scores - targets)[known].double().abs().mean().item()


GRAPH_METRICS: dict[str, tuple[GraphMetric, str, tuple[str, ...]]] = {
    "accuracy": (accuracy, "max", ("classes", "labels")),
    "roc_auc": (roc_auc, "max", ("classes", "labels")),
    "ap": (ap, "max", ("classes", "labels")),
    "rmse": (rmse, "min", ("values",)),
    "mae": (mae, "min", ("values",)),
}


def graph_metric(name: str, target: str) -> tuple[GraphMetric, str]:
    """The metric ``(scores, targets) -> float`` of a name, and ``"max"`` or ``"min"``.

    Raises:
        ValueError: If there is no such metric, or it does not go with the targets.
    """
    fitting = [key for key, (_, _, targets) in GRAPH_METRICS.items() if target in targets]
    if name not in fitting:
        raise ValueError(
            f"no metric {name!r} of a graph's {target}; there are: {', '.join(fitting)}"
        )
    metric, mode, _ = GRAPH_METRICS[name]
    return lambda scores, targets: metric(_finite(scores.double()), targets), mode


def _finite(scores: Tensor) -> Tensor:
    if not scores.isfinite().all():
        raise ValueError(
            "a score is not finite; a lower trainer.lr or trainer.clip_norm=1 may help"
        )
    return scores


def _mean_over_tasks(
    scores: Tensor, targets: Tensor, measure: Callable[[Tensor, Tensor], Tensor]
) -> float:
    """Mean of a measure of each task's labelled rows; tasks without one are left out."""
    found = [
        measure(s[known], y[known].double())
        for s, y in zip(scores.t(), targets.t(), strict=True)
        if (known := ~y.isnan()).any()
    ]
    if not found:
        raise ValueError("no target of this part is known, so nothing can be measured")
    return torch.stack(found).mean().item()


def _two_sided(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """One column per task; two classes are one task."""
    if targets.dim() == 2:
        return scores, targets
    if scores.size(1) != 2:
        raise ValueError(f"this metric needs two classes, the data set has {scores.size(1)}")
    return (scores[:, 1:] - scores[:, :1]), targets.unsqueeze(1).double()


def _ranked(measure: Callable[..., float], scores: Tensor, targets: Tensor) -> float:
    found = []
    for s, y in zip(scores.t().cpu(), targets.t().cpu(), strict=True):
        known = ~y.isnan()
        if (y[known] > 0).any() and (y[known] <= 0).any():
            found.append(float(measure(y[known].numpy(), s[known].numpy())))
    if not found:
        raise ValueError(
            "no task has both a positive and a negative graph in this part, so that ranks say "
            "nothing; protocol.metric=accuracy works"
        )
    return sum(found) / len(found)
