"""Metrics of whole graphs are those of ogb's evaluator."""

import math
import sys

import numpy as np
import pytest
import torch

from gnnzoo.data.ogb import quietly
from gnnzoo.heads.graph_metrics import GRAPH_METRICS, graph_metric


@pytest.fixture(scope="module")
def evaluator():
    """ogb's, without its look-up of the newest version."""
    blocked = "outdated" not in sys.modules
    if blocked:
        sys.modules["outdated"] = None
    try:
        from ogb.graphproppred import Evaluator
    finally:
        if blocked:
            del sys.modules["outdated"]

    def evaluator(metric):
        with quietly():
            made = Evaluator("ogbg-molhiv")
        made.eval_metric = metric
        return made

    return evaluator


def example(values, seed=0):
    """Ties, unknown targets, and one task with one kind of label only."""
    random = np.random.default_rng(seed)
    scores = np.round(random.normal(size=(60, 4)), 1)
    targets = random.normal(size=(60, 4)) if values else (random.random((60, 4)) < 0.3) * 1.0
    targets[random.random((60, 4)) < 0.2] = np.nan
    if not values:
        targets[:, 3] = np.where(np.isnan(targets[:, 3]), np.nan, 0.0)
    return scores, targets


@pytest.mark.parametrize(
    ("name", "theirs"), [("roc_auc", "rocauc"), ("ap", "ap"), ("accuracy", "acc"), ("rmse", "rmse")]
)
def test_they_equal_ogbs(name, theirs, evaluator):
    scores, targets = example(values=name == "rmse")
    own = evaluator(theirs)
    own.num_tasks = 4
    decided = (scores > 0) * 1.0 if theirs == "acc" else scores
    wanted = own.eval({"y_true": targets, "y_pred": decided})[theirs]
    metric, mode = graph_metric(name, "values" if name == "rmse" else "labels")
    found = metric(torch.from_numpy(scores), torch.from_numpy(targets))
    assert math.isclose(found, float(wanted), rel_tol=0, abs_tol=1e-12)
    assert mode == ("min" if name == "rmse" else "max")


def test_mae_is_over_everything_known():
    metric, mode = graph_metric("mae", "values")
    targets = torch.tensor([[1.0, torch.nan], [2.0, 5.0]])
    assert metric(torch.zeros(2, 2), targets) == pytest.approx(8 / 3)
    assert mode == "min"


@pytest.mark.parametrize("name", ["accuracy", "roc_auc", "ap"])
def test_perfect_classes_score_one(name):
    labels = torch.arange(8) % 2
    assert graph_metric(name, "classes")[0](torch.eye(2)[labels], labels) == 1.0


def test_a_constant_score_has_the_prevalence_as_average_precision():
    targets = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    assert graph_metric("ap", "labels")[0](torch.zeros(4, 1), targets) == 0.25


def test_metrics_are_no_means_of_batches():
    metric = graph_metric("roc_auc", "labels")[0]
    scores, targets = (
        torch.tensor([[1.0], [0.0], [3.0], [2.0]]),
        torch.tensor([[1.0], [0], [1], [0]]),
    )
    halves = [metric(scores[half], targets[half]) for half in (slice(0, 2), slice(2, 4))]
    assert sum(halves) / 2 == 1.0
    assert metric(scores, targets) == 0.75


@pytest.mark.parametrize("name", ["roc_auc", "ap"])
def test_ranks_need_both_labels(name):
    with pytest.raises(ValueError, match="no task has both a positive and a negative graph"):
        graph_metric(name, "labels")[0](torch.zeros(2, 1), torch.ones(2, 1))
    with pytest.raises(ValueError, match="needs two classes, the data set has 3"):
        graph_metric(name, "classes")[0](torch.zeros(2, 3), torch.arange(2))


@pytest.mark.parametrize("name", ["rmse", "mae"])
def test_scores_that_are_not_finite_are_refused(name):
    with pytest.raises(ValueError, match="a score is not finite"):
        graph_metric(name, "values")[0](torch.tensor([[torch.nan]]), torch.zeros(1, 1))


def test_unknown_metrics_are_named():
    with pytest.raises(ValueError, match="no metric 'hits' of a graph's values; there are: rmse"):
        graph_metric("hits", "values")
    assert {mode for _, mode, _ in GRAPH_METRICS.values()} == {"max", "min"}
