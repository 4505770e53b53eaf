"""The head for whole graphs: what it pools, what it learns from, what it never sees."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gnnzoo.data import CSRGraph, NamedGraphs
from gnnzoo.heads import GraphHead
from gnnzoo.models import GCN, LINKX, MLP, Fingerprint, NoEncoder, inputs
from tests.reference.graph_sets import small_set

METRICS = {"classes": "accuracy", "labels": "roc_auc", "values": "mae"}


def make_task(target="classes", metric=None, **settings):
    task = NamedGraphs("thirds", metric=metric or METRICS[target])(small_set(target), seed=0)
    CSRGraph()(task.data)
    return task


@pytest.mark.parametrize("target", METRICS)
def test_an_epoch_has_every_training_graph_once_with_its_target(target):
    task = make_task(target)
    head = GraphHead(task.without_test(), batch_size=4)
    batches = list(head.batches("train"))
    assert sorted(batch.data.ptr.numel() - 1 for batch in batches) == [3, 3, 4]
    found = torch.cat([batch.targets for batch in batches]).nan_to_num(9).sort(dim=0).values
    assert torch.equal(found, task.data.y[task.train].nan_to_num(9).sort(dim=0).values)
    assert all(batch.data.y is None for batch in batches)


@pytest.mark.parametrize("target", METRICS)
def test_no_target_of_a_test_graph_reaches_training(target):
    """Whatever the test targets are, batches, losses and scores stay the same."""
    found = []
    for poison in (False, True):
        dataset = small_set(target)
        if poison:
            tested = dataset.graphs["thirds"]()[0][2]
            flipped = 1 - dataset.data.y[tested]
            dataset.data.y[tested] = flipped
        task = NamedGraphs("thirds", metric=METRICS[target])(dataset, seed=0)
        torch.manual_seed(0)
        scaling = {"target_scaling": "standard"} if target == "values" else {}
        head, encoder = GraphHead(task.without_test(), 8, **scaling), GCN(3, 8, 8, dropout=0.0)
        losses = [
            head.loss(encoder(**inputs(encoder, batch.data)), batch).item()
            for batch in head.batches("train")
        ]
        found.append((losses, head.evaluate(encoder, ("train", "val"))))
        assert head.test(encoder, task.test)
    assert found[0] == found[1]


def test_there_is_no_test_batch():
    with pytest.raises(KeyError):
        next(GraphHead(make_task()).batches("test"))


@pytest.mark.parametrize("target", METRICS)
@pytest.mark.parametrize("pooling", ["sum", "mean", "max", "attention"])
def test_scores_do_not_depend_on_how_graphs_are_batched(target, pooling):
    task = make_task(target)
    torch.manual_seed(0)
    head = GraphHead(task, 8, pooling=pooling).double().eval()
    encoder = GCN(3, 8, 8, norm="batch_norm", virtual_node=True).double().eval()
    task.data.x = task.data.x.double()
    head._union.nodes["x"] = task.data.x

    def scores(most_rows, graphs):
        head.eval_batch_rows = most_rows
        return torch.cat(
            [
                head.scores(encoder(**inputs(encoder, batch.data)), batch)
                for batch in head._in_order(graphs)
            ]
        )

    graphs = torch.arange(30)
    together, alone = scores(10**6, graphs), scores(1, graphs)
    torch.testing.assert_close(together, alone, atol=1e-10, rtol=0)
    order = torch.randperm(30)
    torch.testing.assert_close(scores(50, order), together[order], atol=1e-10, rtol=0)


def test_graphs_do_not_see_each_other():
    head, encoder = GraphHead(make_task(), 8).eval(), GCN(3, 8, 8).eval()
    batch = next(head._in_order(torch.tensor([0, 2, 5])))
    batch.data.x.requires_grad_()
    head.scores(encoder(**inputs(encoder, batch.data)), batch)[1].sum().backward()
    ptr = batch.data.ptr
    assert batch.data.x.grad[ptr[1] : ptr[2]].abs().sum() > 0
    assert batch.data.x.grad[: ptr[1]].abs().sum() == 0
    assert batch.data.x.grad[ptr[2] :].abs().sum() == 0


@pytest.mark.parametrize("target", ["labels", "values"])
def test_unknown_targets_are_left_out_of_the_loss(target):
    head, encoder = GraphHead(make_task(target), 8), MLP(3, 8, 8, dropout=0.0)
    batch = next(head._in_order(torch.tensor([0, 1, 2, 4])))
    scores = head.scores(encoder(batch.data.x), batch)
    scores.retain_grad()
    known = torch.tensor([[True, True], [False, True], [False, False], [True, True]])
    loss = head._loss(scores, batch.targets)
    measure = F.binary_cross_entropy_with_logits if target == "labels" else F.l1_loss
    assert torch.equal(known, ~batch.targets.isnan())
    torch.testing.assert_close(loss, measure(scores[known], batch.targets[known]))
    loss.backward()
    assert (scores.grad[~known] == 0).all()
    assert (scores.grad[known] != 0).all()


def test_a_batch_without_any_known_target_teaches_nothing():
    head, encoder = GraphHead(make_task("labels"), 8), MLP(3, 8, 8)
    batch = next(head._in_order(torch.tensor([2])))
    loss = head.loss(encoder(batch.data.x), batch)
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in encoder.parameters())


def test_scaled_values_are_learnt_and_measured_in_their_own_units():
    task = make_task("values")
    known = task.data.y[task.train]
    head = GraphHead(task, 8, target_scaling="standard", loss="mse", metrics=["rmse"])
    torch.testing.assert_close(head.shift, known.nanmean(dim=0))
    first = known[:, 0][~known[:, 0].isnan()]
    torch.testing.assert_close(head.scale[0], first.std(correction=0))
    mean = torch.zeros(len(task.val), 2)  # on the scale that is learnt
    found = head._measured(mean, task.data.y[task.val])
    error = task.data.y[task.val] - head.shift
    torch.testing.assert_close(found["mae"], error[~error.isnan()].abs().mean().item())


def test_validation_batches_are_made_once_and_scored_without_dropout():
    head, encoder = GraphHead(make_task(), 8, dropout=0.5, eval_batch_rows=20), GCN(3, 8, 8)
    first = list(head.batches("val"))
    assert len(first) > 1
    assert all(one is other for one, other in zip(first, head.batches("val"), strict=True))
    assert head.evaluate(encoder) == head.evaluate(encoder)
    assert encoder.training
    assert head.training
    assert head.evaluate(encoder, ("train",)) == {}


def test_an_encoder_that_pools_by_itself_is_not_pooled_again():
    task = make_task()
    head, encoder = GraphHead(task, 8, num_layers=1), Fingerprint(3, 8)
    head.check(Fingerprint)
    batch = next(head._in_order(torch.arange(10)))
    h = encoder(**inputs(encoder, batch.data))
    assert h.shape == (10, 8)
    assert torch.equal(head.scores(h, batch), head.mlp(h))


@pytest.mark.parametrize(
    ("encoder", "message"),
    [(LINKX, "LINKX has weights for each node of one graph"), (NoEncoder, "embeds nothing")],
)
def test_encoders_that_cannot_work_are_refused_by_name(encoder, message):
    with pytest.raises(ValueError, match=message):
        GraphHead(make_task()).check(encoder)


def test_the_mlp_shrinks_if_asked_to():
    mlp = GraphHead(make_task(), 16, num_layers=3, shrink=True).mlp
    widths = [(m.in_features, m.out_features) for m in mlp if isinstance(m, nn.Linear)]
    assert widths == [(16, 8), (8, 4), (4, 2)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pooling": "median"}, "pooling must be one of 'sum', 'mean', 'max', 'attention'"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"num_layers": 0}, "num_layers must be an integer of at least 1, got 0"),
        ({"loss": "mse"}, "are for values, not classes"),
        ({"metrics": ["mae"]}, "no metric 'mae' of a graph's classes; there are: accuracy"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        GraphHead(make_task(), **settings)
