"""Metrics by name; all are shares in [0, 1] and higher is better.

torchmetrics is imported by the metrics that need it: loading it takes longer than many a run.
"""

from collections.abc import Callable

from torch import Tensor

Metric = Callable[[Tensor, Tensor, int], Tensor]


def accuracy(logits: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Share of the rows whose highest logit is that of the label."""
    return (logits.argmax(dim=-1) == labels).float().mean()


def f1_macro(logits: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Unweighted mean of the classes' F1 scores."""
    from torchmetrics.functional.classification import multiclass_f1_score

    return multiclass_f1_score(
        logits, labels, num_classes=num_classes, average="macro", validate_args=False
    )


def roc_auc(logits: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Area under the ROC curve, two classes only."""
    from torchmetrics.functional.classification import binary_auroc

    return binary_auroc(_second_class(logits, num_classes), labels, validate_args=False)


def average_precision(logits: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Area under the precision-recall curve by steps, two classes only."""
    from torchmetrics.functional.classification import binary_average_precision

    return binary_average_precision(_second_class(logits, num_classes), labels, validate_args=False)


def _second_class(logits: Tensor, num_classes: int) -> Tensor:
    if num_classes != 2:
        raise ValueError(f"this metric needs two classes, the data set has {num_classes}")
    return logits.softmax(dim=-1)[:, 1]


NODE_METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "f1_macro": f1_macro,
    "roc_auc": roc_auc,
    "average_precision": average_precision,
}


def node_metric(name: str) -> Metric:
    """The metric ``(logits [n, num_classes], labels [n], num_classes) -> scalar`` of a name.

    Raises:
        ValueError: If there is no such metric.
    """
    if name not in NODE_METRICS:
        raise ValueError(f"no node metric {name!r}; there are: {', '.join(NODE_METRICS)}")
    return NODE_METRICS[name]
