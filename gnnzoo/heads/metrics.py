"""Metrics by name; all are shares in [0, 1] and higher is better."""

from collections.abc import Callable

from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_average_precision,
    multiclass_accuracy,
    multiclass_f1_score,
)

Metric = Callable[[Tensor, Tensor, int], Tensor]


def _multiclass(function: Callable[..., Tensor], average: str) -> Metric:
    def score(logits: Tensor, labels: Tensor, num_classes: int) -> Tensor:
        return function(
            logits, labels, num_classes=num_classes, average=average, validate_args=False
        )

    return score


def _binary(function: Callable[..., Tensor]) -> Metric:
    def score(logits: Tensor, labels: Tensor, num_classes: int) -> Tensor:
        if num_classes != 2:
            raise ValueError(f"this metric needs two classes, the data set has {num_classes}")
        return function(logits.softmax(dim=-1)[:, 1], labels, validate_args=False)

    return score


NODE_METRICS: dict[str, Metric] = {
    "accuracy": _multiclass(multiclass_accuracy, "micro"),
    "f1_macro": _multiclass(multiclass_f1_score, "macro"),
    "roc_auc": _binary(binary_auroc),
    "average_precision": _binary(binary_average_precision),
}


def node_metric(name: str) -> Metric:
    """The metric ``(logits [n, num_classes], labels [n], num_classes) -> scalar`` of a name.

    Raises:
        ValueError: If there is no such metric.
    """
    if name not in NODE_METRICS:
        raise ValueError(f"no node metric {name!r}; there are: {', '.join(NODE_METRICS)}")
    return NODE_METRICS[name]
