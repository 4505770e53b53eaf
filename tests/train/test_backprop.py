import copy

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from gnnzoo.train import Backprop, Patience
from gnnzoo.train.backprop import TrainingFailed, TrainingInterrupted
from gnnzoo.train.checkpoint import Checkpoint
from gnnzoo.train.optim import make_optimizer, parameter_groups


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        h = nn.functional.dropout(self.first(x).relu(), 0.5, self.training)
        return self.second(h)

    def param_groups(self):
        return {"first": list(self.first.parameters()), "rest": list(self.second.parameters())}


class Head(nn.Module):
    """Least that a trainer asks of a head."""

    modes = {"accuracy": "max"}

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.data = Data(x=torch.randn(30, 4, generator=generator))
        self.y = torch.randint(3, (30,), generator=generator)

    def batches(self, split):
        yield self

    def loss(self, h, batch):
        return nn.functional.cross_entropy(h.float(), self.y)

    def evaluate(self, encoder, splits):
        encoder.eval()
        with torch.inference_mode():
            h = encoder(self.data.x)
        loss = self.loss(h, self).item()
        accuracy = (h.argmax(1) == self.y).float().mean().item()
        return {split: {"loss": loss, "accuracy": accuracy} for split in splits}


def fitted(trainer, checkpoint=None, encoder=None):
    torch.manual_seed(0)
    encoder = encoder or Encoder()
    fit = trainer.fit(encoder, Head(), checkpoint)
    return encoder, fit


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_training_lowers_the_loss():
    _, fit = fitted(Backprop(epochs=50, lr=0.05))
    assert fit.curve[-1]["val_loss"] < 0.8 * fit.curve[0]["val_loss"]
    assert len(fit.seconds) == len(fit.curve) == 50


def test_two_runs_with_one_seed_are_equal():
    first, second = fitted(Backprop(epochs=5))[0], fitted(Backprop(epochs=5))[0]
    assert same(first.parameters(), second.parameters())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "adamw", "clip_norm": 0.1},
        {"scheduler": lambda opt: torch.optim.lr_scheduler.CosineAnnealingLR(opt, T_max=8)},
        {"scheduler": lambda opt: torch.optim.lr_scheduler.ReduceLROnPlateau(opt, patience=0)},
        {"stopping": "patience"},
    ],
)
def test_a_resumed_run_ends_bit_identical(tmp_path, settings):
    def trainer():
        own = dict(settings)
        if own.get("stopping") == "patience":
            own["stopping"] = Patience(6, monitor="metric")
        return Backprop(epochs=8, **own)

    whole, whole_fit = fitted(trainer())
    stops = iter([False, False, True])
    path = tmp_path / "checkpoint.pt"
    with pytest.raises(TrainingInterrupted, match="epoch 3"):
        fitted(trainer(), Checkpoint(path, stop_requested=lambda: next(stops)))
    torch.manual_seed(99)  # a resumed process starts with another random state
    resumed = Encoder()
    resumed_fit = trainer().fit(resumed, Head(), Checkpoint(path))
    assert same(whole.parameters(), resumed.parameters())
    assert whole_fit.curve == resumed_fit.curve
    for name, best in whole_fit.selection.best.items():
        again = resumed_fit.selection.best[name]
        assert (best.epoch, best.val) == (again.epoch, again.val)
        assert same(best.state.values(), again.state.values())


def test_checkpoints_are_written_only_when_due(tmp_path):
    path = tmp_path / "checkpoint.pt"
    saves = []
    fitted(Backprop(epochs=4), Checkpoint(path, 3600, on_save=lambda: saves.append(1)))
    assert not saves
    fitted(Backprop(epochs=4), Checkpoint(path, 0, on_save=lambda: saves.append(1)))
    assert len(saves) == 3  # not after the last epoch, which ends the run anyway


def test_a_checkpoint_is_read_without_unpickling_objects(tmp_path):
    path = tmp_path / "checkpoint.pt"
    torch.save({"encoder": Encoder()}, path)
    with pytest.raises(Exception, match=r"[Ww]eights"):
        Checkpoint(path).load()


def test_a_loss_that_is_not_finite_stops_with_the_epoch_named():
    encoder = Encoder()
    with torch.no_grad():
        encoder.first.weight.fill_(float("nan"))
    with pytest.raises(TrainingFailed, match="nan in epoch 1"):
        fitted(Backprop(epochs=3), encoder=encoder)


def test_selection_by_loss_takes_every_metric_from_the_lowest_loss():
    _, fit = fitted(Backprop(epochs=30, lr=0.1, select="loss"))
    losses = [row["val_loss"] for row in fit.curve]
    best = fit.selection.best["accuracy"]
    assert best.epoch == losses.index(min(losses))
    assert best.val == fit.curve[best.epoch]["val_accuracy"]


def test_selection_by_metric_takes_the_first_best_epoch():
    _, fit = fitted(Backprop(epochs=30, lr=0.1))
    scores = [row["val_accuracy"] for row in fit.curve]
    assert fit.selection.best["accuracy"].epoch == scores.index(max(scores))


def test_selected_weights_are_those_of_the_selected_epoch():
    _, fit = fitted(Backprop(epochs=20, lr=0.2))
    best = fit.selection.best["accuracy"]
    head, encoder = Head(), Encoder()
    nn.ModuleDict({"encoder": encoder, "head": head}).load_state_dict(best.state)
    assert head.evaluate(encoder, ("val",))["val"]["accuracy"] == best.val


def test_groups_have_their_own_rate_and_decay():
    encoder, head = Encoder(), Head()
    groups = parameter_groups(encoder, head)
    optimizer = make_optimizer("adam", groups, 0.1, 0.0, {"first": {"lr": 0.0}})
    before = copy.deepcopy(encoder.state_dict())
    head.loss(encoder(head.data.x), head).backward()
    optimizer.step()
    assert torch.equal(before["first.weight"], encoder.first.weight)
    assert not torch.equal(before["second.weight"], encoder.second.weight)


def test_coupled_and_decoupled_decay_differ():
    adam = fitted(Backprop(epochs=5, weight_decay=0.5))[0]
    adamw = fitted(Backprop(epochs=5, weight_decay=0.5, optimizer="adamw"))[0]
    assert not same(adam.parameters(), adamw.parameters())


def test_unknown_groups_are_refused_with_the_known_ones_named():
    with pytest.raises(ValueError, match="names fist; this encoder and head have: first, rest"):
        fitted(Backprop(groups={"fist": {"lr": 1.0}}))


def test_groups_that_miss_a_parameter_are_refused():
    encoder = Encoder()
    encoder.param_groups = lambda: {"first": list(encoder.first.parameters())}
    with pytest.raises(ValueError, match="not disjoint and complete"):
        parameter_groups(encoder, Head())


def test_clipping_bounds_the_gradient_of_all_parameters_together():
    def norm(**settings):
        encoder = fitted(Backprop(epochs=1, **settings))[0]
        return torch.stack([p.grad.norm() for p in encoder.parameters()]).norm().item()

    assert norm() > 1e-2
    assert norm(clip_norm=1e-3) == pytest.approx(1e-3, rel=1e-3)


def test_bf16_trains_with_parameters_in_fp32():
    dtypes = []
    encoder = Encoder()
    encoder.second.register_forward_hook(lambda module, args, out: dtypes.append(out.dtype))
    _, fit = fitted(Backprop(epochs=20, lr=0.05, precision="bf16"), encoder=encoder)
    assert set(dtypes) == {torch.bfloat16}
    assert all(p.dtype == torch.float32 for p in encoder.parameters())
    assert fit.curve[-1]["val_loss"] < fit.curve[0]["val_loss"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochs": 0}, "epochs must be a whole number from 1, got 0"),
        ({"lr": "abc"}, "lr must be a number from 0, got 'abc'"),
        ({"precision": "fp8"}, "precision must be fp32 or bf16, got 'fp8'"),
        ({"select": "test"}, "select must be metric or loss, got 'test'"),
        ({"optimizer": "sgdd"}, "optimizer must be one of adam, adamw, got 'sgdd'"),
        ({"groups": {"first": {"momentum": 1}}}, "takes lr and weight_decay, got 'momentum'"),
    ],
)
def test_bad_settings_raise(settings, words):
    with pytest.raises(ValueError, match=words):
        fitted(Backprop(**settings))


def test_validation_may_be_rarer_than_training():
    _, every = fitted(Backprop(epochs=7))
    _, rare = fitted(Backprop(epochs=7, eval_every=3))
    assert [row["loss"] for row in rare.curve] == [row["loss"] for row in every.curve]
    scored = [row["epoch"] for row in rare.curve if "val_loss" in row]
    assert scored == [3, 6, 7]
    assert rare.selection.best["accuracy"].epoch + 1 in scored


def test_rules_count_validations():
    _, fit = fitted(Backprop(epochs=60, lr=0.0, eval_every=5, stopping=Patience(patience=3)))
    assert len(fit.curve) == 20


@pytest.mark.parametrize("eval_every", [0, 1.5])
def test_bad_eval_every_raises(eval_every):
    with pytest.raises(ValueError, match="eval_every must be a whole number from 1"):
        Backprop(eval_every=eval_every)


@pytest.mark.parametrize("eval_every", [1, 4])
def test_schedulers_step_every_epoch(eval_every):
    made = []

    def decay(optimizer):
        made.append(optimizer)
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)

    fitted(Backprop(epochs=10, lr=0.01, eval_every=eval_every, scheduler=decay))
    assert made[0].param_groups[0]["lr"] == pytest.approx(0.01 * 0.9**10)
