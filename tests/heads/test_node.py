import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from gnnzoo.data import NodeTask
from gnnzoo.heads import NodeHead
from gnnzoo.heads.metrics import NODE_METRICS, node_metric


class Table(nn.Module):
    """An encoder whose output one writes down; it counts its calls."""

    def __init__(self, scores):
        super().__init__()
        self.scores, self.calls = nn.Parameter(scores), 0

    def forward(self, x):
        self.calls += 1
        assert not self.training or torch.is_grad_enabled()
        return self.scores


def make_task(metric="accuracy"):
    y = torch.tensor([0, 1, 2, 0, -1, -1])
    masks = torch.eye(3, dtype=torch.bool).repeat_interleave(2, dim=1)
    data = Data(x=torch.zeros(6, 1), y=y)
    data.train_mask, data.val_mask, data.test_mask = masks
    return NodeTask(data, torch.tensor([1, 2]), 3, 0, "0" * 64, metric)


def scores_for(*classes):
    return torch.eye(3)[list(classes)] * 10


def test_loss_is_the_cross_entropy_of_the_train_rows():
    head, encoder = NodeHead(make_task()), Table(torch.randn(6, 3))
    (batch,) = head.batches("train")
    expected = nn.functional.cross_entropy(encoder.scores[:2], torch.tensor([0, 1]))
    assert torch.equal(head.loss(encoder(None), batch), expected)


def test_rows_outside_train_get_no_gradient():
    head, encoder = NodeHead(make_task()), Table(torch.randn(6, 3))
    (batch,) = head.batches("train")
    head.loss(encoder(None), batch).backward()
    assert encoder.scores.grad[2:].abs().sum() == 0


def test_splits_share_one_forward_pass_and_are_scored_on_their_own_rows():
    head, encoder = NodeHead(make_task()), Table(scores_for(0, 1, 2, 1, 0, 0))
    found = head.evaluate(encoder, ("train", "val"))
    assert (found["train"]["accuracy"], found["val"]["accuracy"]) == (1.0, 0.5)
    assert encoder.calls == 1


def test_evaluation_runs_in_eval_mode_and_restores_the_mode():
    head, encoder = NodeHead(make_task()), Table(torch.randn(6, 3))
    encoder.train()
    head.evaluate(encoder)
    assert encoder.training


def test_the_test_score_needs_labels_from_outside():
    head, encoder = NodeHead(make_task()), Table(scores_for(0, 1, 2, 0, 1, 0))
    assert head.test(encoder, torch.tensor([1, 2]))["accuracy"] == 0.5
    assert head.test(encoder, torch.tensor([1, 0]))["accuracy"] == 1.0


def test_there_is_no_test_batch():
    with pytest.raises(KeyError):
        next(NodeHead(make_task()).batches("test"))


def test_the_protocols_metric_comes_first():
    head = NodeHead(make_task("f1_macro"), metrics=["accuracy", "f1_macro"])
    assert list(head.modes) == ["f1_macro", "accuracy"]


@pytest.mark.parametrize("name", NODE_METRICS)
def test_perfect_predictions_score_one(name):
    classes = 2 if name in ("roc_auc", "average_precision") else 3
    labels = torch.arange(12) % classes
    assert node_metric(name)(torch.eye(classes)[labels], labels, classes).item() == 1.0


def test_two_class_metrics_refuse_more_classes():
    with pytest.raises(ValueError, match="needs two classes, the data set has 3"):
        node_metric("roc_auc")(torch.eye(3), torch.arange(3), 3)


def test_bad_settings_raise():
    with pytest.raises(ValueError, match="no node metric 'mrr'"):
        NodeHead(make_task(), metrics=["mrr"])
    with pytest.raises(ValueError, match="label_smoothing"):
        NodeHead(make_task(), label_smoothing=1.0)
