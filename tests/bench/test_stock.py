"""The references compute what gnnzoo computes, so that the races are fair."""

import pytest
import torch

from gnnzoo.bench.cases import Recipe, Subject, synthetic
from gnnzoo.bench.dagnn import make
from gnnzoo.bench.stock import CachedDAGNN, CachedGCN, GatherScatterDAGNN, StockGCN
from gnnzoo.models import DAGNN, GCN, inputs

RECIPE = Recipe(num_hops=4, dropout=0.0, weight_decay=0.0, hidden_channels=8)


@pytest.fixture(params=[1.0, 0.05], ids=["dense", "sparse"])
def subject(request):
    return Subject(synthetic(60, 150, 30, 4, density=request.param), torch.device("cpu"))


def assert_equal(stock, stock_fields, ours, subject):
    """Same outputs and same gradients, parameter by parameter, with the same weights."""
    with torch.no_grad():
        for mine, theirs in zip(ours.parameters(), stock.parameters(), strict=True):
            theirs.copy_(mine)
    outputs = [stock(**stock_fields), ours(**inputs(ours, subject.task.data))]
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)
    weight = torch.randn_like(outputs[0])
    (outputs[0] * weight).sum().backward()
    (outputs[1] * weight).sum().backward()
    for mine, theirs in zip(ours.parameters(), stock.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad, mine.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [GatherScatterDAGNN, CachedDAGNN])
def test_stock_dagnn_equals_ours(subject, kind):
    fields = subject.dense if kind is GatherScatterDAGNN else subject.cached
    assert_equal(make(kind, subject, RECIPE), fields, make(DAGNN, subject, RECIPE), subject)


@pytest.mark.parametrize("kind", [StockGCN, CachedGCN])
def test_stock_gcn_equals_ours(subject, kind):
    fields = subject.dense if kind is StockGCN else subject.cached
    sizes = (30, 8, 4)
    ours = GCN(*sizes).eval()
    torch.nn.init.normal_(ours.layers[0].conv.bias)
    assert_equal(kind(*sizes).eval(), fields, ours, subject)


@pytest.mark.parametrize("kind", [GatherScatterDAGNN, CachedDAGNN, DAGNN])
def test_dropout_acts_in_training_only(subject, kind):
    recipe = Recipe(num_hops=2, dropout=0.5, weight_decay=0.0, hidden_channels=8)
    fields = {GatherScatterDAGNN: subject.dense, CachedDAGNN: subject.cached}.get(kind)
    model = make(kind, subject, recipe)
    passes = subject.evaluate(model, fields)
    assert torch.equal(passes(), passes())
    train = subject.train(model, fields, recipe)
    assert train() != train()


def test_a_training_step_lowers_the_loss_for_everybody(subject):
    recipe = Recipe(num_hops=2, dropout=0.0, weight_decay=0.0, hidden_channels=8)
    for kind, fields in (
        (GatherScatterDAGNN, subject.dense),
        (CachedDAGNN, subject.cached),
        (DAGNN, None),
    ):
        step = subject.train(make(kind, subject, recipe), fields, recipe)
        losses = [step().item() for _ in range(30)]
        assert losses[-1] < losses[0]
