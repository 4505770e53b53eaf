"""Losses, gradients and scores against slow dense versions; kept products against none."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from gnnzoo.models import GCN, GIN, MLP, SAGE
from gnnzoo.nn import GCNConv
from gnnzoo.ops import SparseFeatures
from gnnzoo.train import ForwardOnly
from gnnzoo.train.forward.frozen import FrozenInput, Sharing, output
from gnnzoo.train.forward.objectives import Goodness, Labels
from gnnzoo.train.forward.rows import normalized, row_scale, with_rows
from tests.reference.forward import communities, cut, dense_sf, fields, hidden_test, schedule

F64 = torch.float64
DATA = communities()
DATA.x[5] = 0  # a row that stays zero


def in_double(data):
    own = data.clone()
    own.x = own.x.double()
    return own


def test_sf_is_the_dense_version_with_its_gradients():
    data = in_double(DATA)
    layers = lambda: [GCNConv(6, 5).double(), GCNConv(5, 4).double()]  # noqa: E731
    model = cut(layers, hidden_test(data), temperature=0.5)
    convs = [link.layer for link in model.encoder.layers]
    weights = [conv.lin.weight for conv in convs]
    biases = [conv.bias for conv in convs]
    losses, chances = dense_sf(data, weights, biases, model.virtual_features, 0.5)
    torch.testing.assert_close(model(**fields(data)), chances.log())
    plan = schedule(model, data)
    for number, loss in enumerate(losses):
        want = torch.autograd.grad(loss, [weights[number], biases[number]])
        phase = plan.phase(number)
        phase._update = lambda *_: None
        torch.testing.assert_close(phase.step()[0], loss.detach())
        torch.testing.assert_close(weights[number].grad, want[0])
        torch.testing.assert_close(biases[number].grad, want[1])
        scores = phase.scores()[data.val_mask].softmax(1)
        mean = chances[data.val_mask]
        if number == 1:
            torch.testing.assert_close(scores, mean)
        plan.advance(number)


def test_classes_may_be_named_otherwise():
    data = in_double(DATA)
    model = cut(lambda: [GCNConv(6, 5).double()], hidden_test(data))
    order = torch.tensor([2, 0, 1])
    other = data.clone()
    other.y = order[data.y]
    twin = cut(lambda: [GCNConv(6, 5).double()], hidden_test(other))
    twin.load_state_dict(model.state_dict())
    twin.train_classes = order[model.train_classes]
    twin.virtual_features = model.virtual_features[order.argsort()]
    twin._last = None
    torch.testing.assert_close(twin(**fields(data))[:, order], model(**fields(data)))


@pytest.mark.parametrize("kind", [GCN, SAGE, GIN, MLP])
@pytest.mark.parametrize("sparse", [True, False])
def test_kept_products_give_what_the_layer_gives(kind, sparse):
    torch.manual_seed(0)
    x = in_double(DATA).x * (torch.rand(60, 6) < 0.5)
    own = SparseFeatures.from_dense(x) if sparse else x
    extra = {} if kind is MLP else {"residual": True}
    encoder = kind(6, 8, 8, num_layers=2, dropout=0.0, act="elu", **extra).double()
    data = in_double(DATA)
    data.x = own
    model = ForwardOnly().cut(encoder, hidden_test(data))
    (stream,) = model.train_streams(fields(data))
    rows = torch.tensor([60, 3, 5, 17, 62])
    block = model.blocks[0]
    kept = FrozenInput(block, stream, rows)
    plain = FrozenInput(block, stream, rows, use_operators=False)
    assert kept.parts is not None
    assert plain.parts is None
    torch.testing.assert_close(kept(), plain())
    torch.testing.assert_close(output(block, stream), block(stream.h, stream.context))
    parameters = list(block.layer.parameters())
    found = [
        torch.autograd.grad(frozen().square().sum(), parameters, allow_unused=True)
        for frozen in (kept, plain)
    ]
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_layers_that_drop_out_are_run_as_they_are():
    model = ForwardOnly().cut(GCN(6, 8, 8, dropout=0.5), hidden_test(DATA))
    (stream,) = model.train_streams(fields(DATA))
    assert FrozenInput(model.blocks[0], stream, torch.arange(3)).parts is None


@pytest.mark.parametrize("method", ["ff_la", "ff_vn"])
def test_streams_that_share_a_product_train_as_if_they_did_not(method, monkeypatch):
    data = in_double(DATA)
    sparse = in_double(DATA)
    sparse.x = SparseFeatures.from_dense(sparse.x)
    width = 9 if method == "ff_la" else 6

    def gradients(data, shared):
        encoder = GCN(width, 8, 8, dropout=0.0).double()
        torch.manual_seed(0)
        encoder.reset_parameters()
        model = ForwardOnly(method).cut(encoder, hidden_test(data))
        phase = schedule(model, data).phase(0)
        if not shared:
            rows = model.method.objective.train_rows(phase.stack.labels)
            streams = [frozen.stream for frozen in phase.inputs]
            phase.inputs = [
                FrozenInput(model.blocks[0], s, rows, use_operators=False) for s in streams
            ]
        assert shared == (phase.inputs[0].parts is not None)
        if shared and data.x is not sparse.x:
            known = phase.inputs[0].sharing.known
            assert sum(x.size(1) == 6 for _, x, _ in known) == 1  # one product for all streams
        phase._update = lambda *_: None
        loss = phase.step()
        return [loss, *(p.grad for p in model.encoder.layers[0].parameters()), phase.scores()]

    for own in (data, sparse):
        for a, b in zip(gradients(own, True), gradients(own, False), strict=True):
            torch.testing.assert_close(a, b)


def test_goodness_is_cross_entropy_of_activity_against_the_threshold():
    z = torch.randn(7, 4, dtype=F64)
    labels = Labels(torch.arange(7), torch.zeros(7).long(), 3, torch.empty(0).long())
    objective, good = Goodness(2.0, 2), z.square().sum(1) - 2.0
    for stream, target in ((0, torch.ones), (1, torch.zeros)):
        want = binary_cross_entropy_with_logits(good, target(7, dtype=F64))
        loss = objective.loss(z, stream, labels, nn.Identity())
        torch.testing.assert_close(loss, want if stream == 0 else want / 2)
    torch.testing.assert_close(objective.scores([z, 2 * z], 7, labels, None)[:, 0], good)


def test_rows_of_zeros_stay_zero_and_finite():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    for own in (x, SparseFeatures.from_dense(x)):
        out = normalized(own)
        out = out if isinstance(out, torch.Tensor) else out.to_dense()
        torch.testing.assert_close(out, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
        assert row_scale(own).isfinite().all()


def test_further_rows_come_last_in_either_kind():
    x, more = torch.eye(3)[:2], torch.tensor([[1.0, 2.0, 3.0]])
    want = torch.cat([x, more])
    assert torch.equal(with_rows(x, more), want)
    assert torch.equal(with_rows(SparseFeatures.from_dense(x), more).to_dense(), want)


def test_one_layer_of_t2l_is_sf():
    task = hidden_test(DATA)
    first = cut(lambda: [GCNConv(6, 8)], task)
    second = cut(lambda: [GCNConv(6, 8)], task, "sf_t2l", clip_norm=float("inf"))
    phases = [schedule(model, DATA).phase(0) for model in (first, second)]
    for _ in range(3):
        losses = [phase.step() for phase in phases]
        torch.testing.assert_close(*losses)
    torch.testing.assert_close(first(**fields(DATA)), second(**fields(DATA)))


def test_real_columns_are_shared_only_where_they_are_the_same():
    sharing = Sharing(60)
    model = cut(lambda: [GCNConv(6, 8)], hidden_test(DATA), "ff_vn")
    streams = model.train_streams(fields(DATA))
    rows = model.train_nodes
    x = streams[0].h
    for stream in streams:
        FrozenInput(model.blocks[0], replace(stream, h=x), rows, sharing)
    assert len(sharing.known) == 1
    FrozenInput(model.blocks[0], replace(streams[0], h=2 * x), rows, sharing)
    assert len(sharing.known) == 2
