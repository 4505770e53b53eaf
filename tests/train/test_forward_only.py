"""Whole trainings: that they learn, resume, leak nothing, stay flat in memory, and refuse."""

import pytest
import torch
from torch_geometric.nn import GCNConv as PyGGCNConv
from torch_geometric.nn import SAGEConv as PyGSAGEConv

from gnnzoo.bench.forward import saved_mib
from gnnzoo.heads import NodeHead
from gnnzoo.models import DAGNN, GAT, GCN, GCNII, LINKX, NSD, SGC
from gnnzoo.nn import GCNConv
from gnnzoo.train import ForwardOnly, MatchedBackprop, Patience
from gnnzoo.train.backprop import TrainingFailed, TrainingInterrupted
from gnnzoo.train.checkpoint import Checkpoint
from gnnzoo.train.forward.layer_list import LayerChain
from tests.reference.forward import communities, cut, fields, hidden_test, schedule

DATA = communities()
METHODS = ["sf", "sf_t2i", "sf_t2l", "ff_la", "ff_vn", "train_mean", "probe"]


def planned(trainer, kind=GCN, task=None, **settings):
    """An encoder as a run builds it."""
    torch.manual_seed(0)
    settings = {"hidden_channels": 16, "num_layers": 2, "dropout": 0.0} | settings
    make = lambda **known: kind(**{**settings, **known})  # noqa: E731
    known = {"in_channels": 6, "out_channels": 3}
    return trainer.plan(kind, settings, make, known, task or hidden_test(DATA))


def accuracy(model, mask):
    with torch.inference_mode():
        return (model.eval()(**fields(DATA)).argmax(1) == DATA.y)[mask].float().mean().item()


@pytest.mark.parametrize("method", METHODS)
def test_each_method_learns_two_communities(method):
    trainer = ForwardOnly(method, epochs=60, lr=0.02)
    model = planned(trainer)
    fit = trainer.fit(model, NodeHead(hidden_test(DATA)))
    best = fit.selection.best["accuracy"]
    model.load_state_dict({k[8:]: v for k, v in best.state.items() if k.startswith("encoder.")})
    assert accuracy(model, DATA.val_mask) == pytest.approx(best.val)
    assert accuracy(model, DATA.test_mask) >= (0.6 if method.startswith("ff") else 0.85)


def test_a_list_of_pyg_layers_is_trained_without_anything_else():
    trainer = ForwardOnly("sf", epochs=40, lr=0.02)
    model, fit = trainer.train([PyGSAGEConv(6, 16), PyGGCNConv(16, 16)], DATA)
    assert accuracy(model, DATA.test_mask) >= 0.85
    assert [row["layer"] for row in fit.curve] == [1] * 40 + [2] * 40
    assert fit.selection.best["accuracy"].epoch >= 40


@pytest.mark.parametrize("supervision", ["last", "deep"])
def test_matched_backpropagation_learns_the_same_blocks(supervision):
    trainer = MatchedBackprop(supervision, epochs=40, lr=0.02)
    model = planned(trainer)
    trainer.fit(model, NodeHead(hidden_test(DATA)))
    assert accuracy(model, DATA.test_mask) >= 0.85


@pytest.mark.parametrize("method", ["sf", "sf_t2i", "ff_vn"])
@pytest.mark.parametrize("after", [3, 11])  # in the first layer, and in the second
def test_a_resumed_run_ends_bit_identical(tmp_path, method, after):
    def run(checkpoint=None, seed=0):
        trainer = ForwardOnly(method, epochs=8, lr=0.01, stopping=Patience(3, "metric"))
        if method == "sf_t2i":
            trainer.epochs = 16
        model = planned(trainer, dropout=0.1)
        torch.manual_seed(seed)
        return model, trainer.fit(model, NodeHead(hidden_test(DATA)), checkpoint)

    whole, whole_fit = run()
    if len(whole_fit.curve) <= after + 1:
        pytest.skip("stopped before")
    calls = iter(range(100))
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(TrainingInterrupted, match="epoch"):
        run(Checkpoint(path, stop_requested=lambda: next(calls) == after))
    resumed, fit = run(Checkpoint(path), seed=99)
    assert fit.curve == whole_fit.curve
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    mine, theirs = whole_fit.selection.best["accuracy"], fit.selection.best["accuracy"]
    assert (mine.epoch, mine.val) == (theirs.epoch, theirs.val)


@pytest.mark.parametrize("method", ["sf", "sf_t2l", "ff_la"])
def test_labels_that_are_not_trained_on_change_nothing(method):
    def weights(poison):
        data = DATA.clone()
        data.y = torch.where(data.train_mask, data.y, poison)
        trainer = ForwardOnly(method, epochs=6, lr=0.01)
        model = planned(trainer, task=hidden_test(data))
        plan = schedule(model, data)
        losses = []
        for number in range(plan.num_phases):
            phase = plan.phase(number)
            losses += [phase.step() for _ in range(4)]
            plan.advance(number)
        return [*losses, *model.parameters(), model(**fields(data))]

    for a, b in zip(weights(-1), weights(2), strict=True):
        assert torch.equal(a, b)


def test_scores_of_wrong_and_true_labels_read_no_validation_label():
    model = cut(lambda: [GCNConv(9, 4)], hidden_test(DATA), "ff_la")
    val = DATA.val_mask.nonzero().squeeze(1)
    for label, stream in enumerate(model.class_streams(fields(DATA), val)):
        assert (stream.h[val, 6:].argmax(1) == label).all()


def saved_by_depth(make, depths):
    return [saved_mib(make(depth)) for depth in depths]


def test_what_is_saved_for_backward_is_flat_in_depth():
    data = communities(num_nodes=300, channels=16)
    task = hidden_test(data)

    def chain(depth):
        return lambda: [GCNConv(16, 16) for _ in range(depth)]

    def layer_by_layer(depth):
        plan = schedule(cut(chain(depth), task), data)
        for number in range(depth - 1):
            plan.advance(number)
        return plan.phase(depth - 1).step

    def together(depth):
        phase = schedule(cut(chain(depth), task, "sf_t2l"), data).phase(0)
        return lambda: phase._train(depth - 1)

    def backprop(depth):
        joined = MatchedBackprop().joined(cut(chain(depth), task)).train()
        return lambda: joined(**fields(data)).sum().backward()

    for make in (layer_by_layer, together):
        first, *others = saved_by_depth(make, (2, 8, 32))
        assert first > 0
        assert all(abs(other / first - 1) < 0.05 for other in others)
    eight, thirty_two = saved_by_depth(backprop, (8, 32))
    assert thirty_two > 3 * eight


def test_false_streams_add_nothing_to_what_is_saved_at_a_time():
    data = communities(num_nodes=200, channels=16, num_classes=8)

    def most(num_negatives):
        model = cut(
            lambda: [GCNConv(16, 16)], hidden_test(data, 8), "ff_vn", num_negatives=num_negatives
        )
        phase = schedule(model, data).phase(0)
        sizes, frozen = [], phase.inputs
        for part in frozen:
            sizes.append(saved_mib(lambda part=part: part().sum().backward(retain_graph=True)))
        return max(sizes)

    assert most(7) <= 1.05 * most(1)


@pytest.mark.parametrize("kind", [GAT, NSD, DAGNN])
def test_other_encoders_follow(kind):
    trainer = ForwardOnly("sf", epochs=3)
    settings = {"heads": 4} if kind is GAT else {}
    model = planned(trainer, kind, **settings)
    fit = trainer.fit(model, NodeHead(hidden_test(DATA)))
    assert len(fit.curve) == 3 * len(model.blocks)
    assert len(model.blocks) == {GAT: 2, NSD: 3, DAGNN: 3}[kind]


@pytest.mark.parametrize(
    ("kind", "method", "message"),
    [
        (GCNII, "sf", "GCNII cannot be trained forward-only: all its layers read an embedding"),
        (NSD, "sf_t2i", "NSD cannot be trained by method=sf_t2i"),
        (GCN, "lp_ce", "does not go with this head"),
    ],
)
def test_what_cannot_follow_says_why(kind, method, message):
    with pytest.raises(ValueError, match=message):
        planned(ForwardOnly(method), kind)


def test_an_encoder_without_a_hidden_width_is_refused_by_name():
    with pytest.raises(ValueError, match="SGC cannot be trained forward-only"):
        ForwardOnly().plan(SGC, {}, None, {"in_channels": 6}, hidden_test(DATA))


def test_states_that_are_no_vectors_are_refused_by_name():
    with pytest.raises(ValueError, match="layer 1 of NSD returns Diffused"):
        planned(ForwardOnly(), NSD, share_maps=True)


def test_an_encoder_of_one_graph_gets_no_further_nodes():
    encoder = LINKX(6, 16, 16, num_nodes=60)
    with pytest.raises(ValueError, match="LINKX has weights for each node"):
        ForwardOnly().cut(encoder, hidden_test(DATA))


def test_a_class_without_training_nodes_is_named():
    task = hidden_test(DATA, num_classes=4)
    with pytest.raises(ValueError, match="class 3"):
        ForwardOnly().cut(LayerChain([GCNConv(6, 8)]), task)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "backprop"}, "method must be one of"),
        ({"temperature": 0.0}, "temperature must be positive"),
        ({"method": "ff_la", "threshold": -1.0}, "threshold must be positive"),
        ({"method": "ff_la", "num_negatives": 0}, "num_negatives must be at least 1"),
        ({"edge_direction": "up"}, "edge_direction"),
        ({"epochs": 0}, "epochs"),
        ({"optimizer": "sgd"}, "optimizer"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ForwardOnly(**settings)


def test_a_loss_that_is_not_finite_names_layer_and_epoch():
    trainer = ForwardOnly("sf", epochs=3, lr=1e38)
    with pytest.raises(TrainingFailed, match=r"epoch \d of layer 1 of 2"):
        trainer.fit(planned(trainer), NodeHead(hidden_test(DATA)))
