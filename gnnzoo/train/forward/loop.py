"""The epochs of forward-only training: phase after phase, each with its own best state."""

import copy
import math
import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from gnnzoo.ops import SparseFeatures
from gnnzoo.train.backprop import Fit, TrainingFailed, TrainingInterrupted
from gnnzoo.train.checkpoint import Checkpoint, set_rng_state
from gnnzoo.train.forward.phases import Phase
from gnnzoo.train.forward.plans import Plan
from gnnzoo.train.progress import Reporter
from gnnzoo.train.selection import Selection


class Loop:
    """One training in progress: everything that a checkpoint has to hold.

    Args:
        recipe: The trainer's settings.
        plan: Makes the phases and says what they score.
        model: What the run selects weights of, encoder and head.
        head: Scores embeddings.
    """

    def __init__(self, recipe: Any, plan: Plan, model: nn.ModuleDict, head: nn.Module) -> None:
        self.recipe, self.plan, self.model, self.head = recipe, plan, model, head
        self.metric = next(iter(head.modes))
        self.fit = Fit(Selection(head.modes, recipe.select))
        self.selection = self.stopping = self.trained = self.saved = None

    def run(self, checkpoint: Checkpoint | None, reporter: Reporter, label: str) -> Fit:
        """Train all phases; arguments as of `Backprop.fit`."""
        saved = checkpoint.load() if checkpoint is not None else None
        if saved is not None:
            self.model.load_state_dict(saved["model"])
            self.fit.curve, self.fit.seconds = saved["curve"], saved["seconds"]
        self.saved = saved
        for number in range(self.plan.num_phases):
            if self.saved is None or number >= self.saved["phase"]:
                self._phase(number, checkpoint, reporter, label)
            if number + 1 < self.plan.num_phases:
                self.plan.advance(number)  # the same in a resumed run: its layers are finished
        if self.trained is None:
            raise ValueError("no layer has parameters to train")
        self._select()
        return self.fit

    def _phase(
        self, number: int, checkpoint: Checkpoint | None, reporter: Reporter, label: str
    ) -> None:
        phase, epochs = self.plan.phase(number), self.recipe.epochs
        if not phase.optimizers:
            return
        first = 0 if self.saved is None else self.saved["epoch"] + 1
        self.selection = Selection(self.head.modes, self.recipe.select)
        self.stopping = copy.deepcopy(self.recipe.stopping)
        if first:
            self._restore(phase)
        reporter.start(f"{label}, {phase.name}", epochs, first)
        try:
            for epoch in range(first, epochs):
                loss = self._train(phase, number, epoch)
                if (epoch + 1) % self.recipe.eval_every == 0 or epoch + 1 == epochs:
                    val = self._validate(phase)
                    reporter.update(epoch, loss, self.metric, val[self.metric])
                    if self._should_stop(epoch, val):
                        break
                if checkpoint is not None and epoch + 1 < epochs:
                    self._checkpoint(checkpoint, phase, number, epoch)
        finally:
            reporter.close()
        self.trained = phase.trained
        phase.trained.load_state_dict(self.selection.best[self.metric].state)

    def _train(self, phase: Phase, number: int, epoch: int) -> float:
        began = time.perf_counter()
        losses = phase.step().tolist()
        self.fit.seconds.append(time.perf_counter() - began)
        loss = sum(losses) / len(losses)
        if not math.isfinite(loss):
            raise TrainingFailed(
                f"the training loss is {losses} in epoch {epoch + 1} of {phase.name}; a lower "
                f"trainer.lr (now {self.recipe.lr}) or trainer.clip_norm=1 may help"
            )
        row = {"epoch": len(self.fit.curve) + 1, "layer": number + 1, "layer_epoch": epoch + 1}
        if len(losses) > 1:
            row = {"epoch": row["epoch"]} | {f"loss_{i + 1}": v for i, v in enumerate(losses)}
        self.fit.curve.append(row | {"loss": loss, "train_loss": loss})
        return loss

    def _validate(self, phase: Phase) -> dict[str, float]:
        val = self.head.evaluate(Given(phase.scores()), ("val",))["val"]
        if not math.isfinite(val["loss"]):
            raise TrainingFailed(f"the validation loss is {val['loss']} in {phase.name}")
        self.selection.update(len(self.fit.curve) - 1, val, phase.trained)
        self.fit.curve[-1] |= {f"val_{name}": value for name, value in val.items()}
        return val

    def _should_stop(self, epoch: int, val: Mapping[str, float]) -> bool:
        rule = self.stopping
        return rule is not None and rule.should_stop(
            epoch, self.recipe.epochs, val["loss"], val[self.metric]
        )

    def _checkpoint(self, checkpoint: Checkpoint, phase: Phase, number: int, epoch: int) -> None:
        stop = checkpoint.stop_requested()
        if stop or checkpoint.due():
            checkpoint.save(
                {
                    "phase": number,
                    "epoch": epoch,
                    "model": self.model.state_dict(),
                    "optimizers": [optimizer.state_dict() for optimizer in phase.optimizers],
                    "kept": phase.kept,
                    "stopping": self.stopping.state_dict() if self.stopping else None,
                    "selection": self.selection.state_dict(),
                    "curve": self.fit.curve,
                    "seconds": self.fit.seconds,
                }
            )
        if stop:
            raise TrainingInterrupted(f"stopped after epoch {epoch + 1} of {phase.name}")

    def _restore(self, phase: Phase) -> None:
        for optimizer, state in zip(phase.optimizers, self.saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        phase.kept = self.saved["kept"]
        if self.stopping:
            self.stopping.load_state_dict(self.saved["stopping"])
        self.selection.load_state_dict(self.saved["selection"])
        set_rng_state(self.saved["rng"])
        self.saved = None

    def _select(self) -> None:
        """The last phase's best states, each within the weights of the whole model."""
        for name, best in self.selection.best.items():
            self.trained.load_state_dict(best.state)
            best.state = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
            self.fit.selection.best[name] = best


class Given(nn.Module):
    """An encoder whose output is there already."""

    reads_sparse_features = True

    def __init__(self, h: Tensor) -> None:
        super().__init__()
        self.h = h

    def forward(self, x: Tensor | SparseFeatures) -> Tensor:
        return self.h
