"""No gradient passes between layers, and nothing that is frozen moves."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from gnnzoo.models import GCN
from gnnzoo.nn import GCNConv, SAGEConv
from gnnzoo.train import ForwardOnly, MatchedBackprop
from gnnzoo.train.forward.phases import JointPhase
from tests.reference.forward import communities, cut, fields, hidden_test, schedule

DATA = communities()
TASK = hidden_test(DATA)


def layers(first=6, count=3):
    return lambda: [GCNConv(first if i == 0 else 8, 8) for i in range(count)]


def grads(model):
    return [any(p.grad is not None for p in m.parameters()) for m in model.encoder.layers]


@pytest.mark.parametrize("method", ["sf", "ff_la", "ff_vn", "train_mean", "probe"])
def test_a_layer_s_loss_reaches_its_own_weights_only(method):
    model = cut(layers(9 if method == "ff_la" else 6), TASK, method)
    plan = schedule(model, DATA)
    before = [p.detach().clone() for p in model.encoder.layers[0].parameters()]
    plan.advance(0)
    phase = plan.phase(1)
    phase._update = lambda *_: None  # the gradients stay to be looked at
    for frozen in phase.inputs:
        assert not frozen.stream.h.requires_grad
        assert frozen.stream.h.grad_fn is None
    phase.step()
    assert grads(model) == [False, True, False]
    del phase._update
    phase.step()
    after = list(model.encoder.layers[0].parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_joint_layers_do_not_see_each_other_s_loss():
    def weights_after(scale):
        model = cut(layers(), TASK, "sf_t2l", clip_norm=float("inf"))
        phase = schedule(model, DATA).phase(0)
        objective, seen = model.method.objective, []
        plain = objective.loss

        def loss(*args):
            seen.append(1)
            return plain(*args) * (scale if len(seen) == 2 else 1)

        objective.loss = loss
        phase.step()
        return [p.detach().clone() for p in model.encoder.layers.parameters()]

    first, second = weights_after(1.0), weights_after(1e3)
    for index, (a, b) in enumerate(zip(first, second, strict=True)):
        if index not in (2, 3):  # the scaled loss is that of the second layer
            assert torch.equal(a, b)


def test_optimisers_hold_every_parameter_once():
    for method in ("sf_t2l", "probe"):
        model = cut(layers(), TASK, method)
        ids = [id(p) for i in range(3) for p in model.unit(i).parameters()]
        assert len(ids) == len(set(ids))
        assert set(ids) == {id(p) for p in model.parameters()}


def test_a_shallower_run_is_the_beginning_of_a_deeper_one():
    def weights(count):
        torch.manual_seed(0)
        trainer = ForwardOnly("sf", epochs=8, lr=0.01)
        model, _ = trainer.train(layers(count=count)(), DATA, 3)
        return list(model.encoder.layers[:2].parameters())

    for a, b in zip(weights(2), weights(3), strict=True):
        assert torch.equal(a, b)


def test_alternating_layers_read_what_is_new():
    torch.manual_seed(0)
    trainer = ForwardOnly("sf_t2i")

    settings = {"hidden_channels": 8, "num_layers": 3, "dropout": 0.0}
    known = {"in_channels": 6, "out_channels": 3}
    model = trainer.plan(GCN, settings, lambda **k: GCN(**{**settings, **k}), known, TASK)
    assert [layer.conv.in_channels for layer in model.encoder.layers] == [14, 16, 11]
    phase, read = schedule(model, DATA).phase(0), []
    run = phase.merge.run

    def spy(block, index, states, stream):
        read.append((index, [id(s) for s in states]))
        return run(block, index, states, stream)

    phase.merge.run = spy
    phase.step()
    assert [index for index, _ in read] == [0, 2, 1]
    assert read[0][1] == read[1][1]
    assert [a == b for a, b in zip(read[0][1], read[2][1], strict=True)][1:4] == [
        False,
        True,
        False,
    ]


def test_deep_supervision_cut_between_layers_is_local_training():
    model = cut(layers(), TASK, "sf")
    joined = MatchedBackprop(supervision="deep").joined(model).train()
    model.merge.order = "bottom_up"
    phase = JointPhase(model, fields(DATA), lambda p: torch.optim.SGD(p, 0.0), None)
    phase._update = lambda *_: None
    phase.step()
    local = [p.grad.clone() for p in model.encoder.parameters()]
    model.zero_grad()
    for block in model.blocks:
        block.layer.register_forward_pre_hook(lambda _, args: (args[0].detach(), *args[1:]))
    nodes = DATA.train_mask
    parts = [cross_entropy(logits[nodes], DATA.y[nodes]) for logits in joined(**fields(DATA))]
    sum(parts).backward()
    for grad, p in zip(local, model.encoder.parameters(), strict=True):
        torch.testing.assert_close(grad, p.grad)


def test_other_layers_take_part():
    model = cut(lambda: [SAGEConv(6, 8), GCNConv(8, 4)], TASK)
    assert model(**fields(DATA)).shape == (60, 3)
