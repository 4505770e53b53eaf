"""The references compute what gnnzoo computes, so that the races are fair."""

import sys

import pytest
import torch
from torch_geometric.utils import coalesce, remove_self_loops

from gnnzoo.bench.cases import Recipe, Subject, synthetic
from gnnzoo.bench.classics import CLASSICS, Sizes, stock_fields
from gnnzoo.bench.dagnn import make
from gnnzoo.bench.stock import CachedDAGNN, CachedGCN, GatherScatterDAGNN, StockGCN
from gnnzoo.models import DAGNN, GCN, inputs

RECIPE = Recipe(num_hops=4, dropout=0.0, weight_decay=0.0, hidden_channels=8)


@pytest.fixture(params=[1.0, 0.05], ids=["dense", "sparse"])
def subject(request):
    task = synthetic(60, 150, 30, 4, density=request.param)
    task.data.edge_index = coalesce(remove_self_loops(task.data.edge_index)[0])
    return Subject(task, torch.device("cpu"))


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


@pytest.mark.parametrize("limit", [0, 2**32], ids=["adjacency", "edges"])
@pytest.mark.parametrize("name", CLASSICS)
def test_stock_classics_equal_ours(subject, name, limit, monkeypatch):
    module = sys.modules["gnnzoo.bench.classics"]  # the function bears the module's name
    monkeypatch.setattr(module, "GATHER_LIMIT", limit)
    classic = CLASSICS[name]
    sizes = Sizes(60, 30, 4)
    extra = {"input_dropout": 0.5} if classic.input_dropout else {}
    stock, ours = classic.stock(sizes, **extra).eval(), classic.ours(sizes, **extra).eval()
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    fields, title = stock_fields(subject, classic.gathers_input)
    assert ("CSR" in title) == (classic.gathers_input and limit == 0)
    assert_equal(stock, fields, ours, subject)


@pytest.mark.parametrize("share", [0.5, 0.0])
@pytest.mark.parametrize("name", [key for key in CLASSICS if CLASSICS[key].input_dropout])
def test_stock_classics_drop_their_input_or_do_not(subject, name, share, monkeypatch):
    calls = []

    def dropout(x, p, training=True):
        calls.append((x.size(-1), p))
        return x

    monkeypatch.setattr("torch.nn.functional.dropout", dropout)
    CLASSICS[name].stock(Sizes(60, 30, 4), input_dropout=share).train()(**subject.dense)
    assert ((30, 0.5) in calls) == (share > 0)


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
