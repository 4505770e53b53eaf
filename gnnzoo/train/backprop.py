"""Training by backpropagation through the whole encoder."""

import copy
import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from gnnzoo.models import inputs
from gnnzoo.train.checkpoint import Checkpoint, set_rng_state
from gnnzoo.train.optim import make_optimizer, parameter_groups
from gnnzoo.train.progress import Reporter, Silent
from gnnzoo.train.selection import Selection


class TrainingFailed(RuntimeError):
    """Training cannot go on, for instance because the loss is not finite."""


class TrainingInterrupted(KeyboardInterrupt):
    """Training was asked to stop; a checkpoint of the last epoch is on disk."""


@dataclass
class Fit:
    """What training left: the selected epochs with their weights, and the curve."""

    selection: Selection
    curve: list[dict[str, float]] = field(default_factory=list)  # one row per epoch
    seconds: list[float] = field(default_factory=list)  # training time of each epoch

    @property
    def seconds_per_epoch(self) -> float:
        """Median training time of an epoch in seconds, validation not counted."""
        return statistics.median(self.seconds) if self.seconds else 0.0


class Backprop:
    """Adam or AdamW on all parameters, one validation per epoch, an early stopping rule.

    Args:
        epochs: Most epochs to train.
        optimizer: ``"adam"`` (L2 joins the gradient) or ``"adamw"`` (decoupled weight decay).
        lr: Learning rate.
        weight_decay: Weight decay.
        groups: Per named parameter group its own ``lr`` and ``weight_decay``.
        select: Epoch that counts: ``"metric"``, each metric at its own best validation value, or
            ``"loss"``, all of them at the lowest validation loss.
        stopping: Early stopping rule, see :mod:`gnnzoo.train.stopping`; None trains all epochs.
        scheduler: Called with the optimiser, returns a torch scheduler; stepped once per epoch
            (``ReduceLROnPlateau`` with the validation loss, at validations).
        clip_norm: Largest norm of the whole gradient; None does not clip.
        eval_every: Epochs from one validation to the next; the last epoch has one in any case.
            Stopping rules count validations.
        precision: ``"fp32"`` or ``"bf16"`` (autocast).
        compile: Compile the encoder with ``torch.compile``.
    """

    def __init__(
        self,
        epochs: int = 500,
        optimizer: str = "adam",
        lr: float = 0.01,
        weight_decay: float = 5e-4,
        groups: Mapping[str, Mapping[str, float]] | None = None,
        select: str = "metric",
        stopping: Any = None,
        scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
        clip_norm: float | None = None,
        precision: str = "fp32",
        compile: bool = False,
        eval_every: int = 1,
    ) -> None:
        if not isinstance(epochs, int) or epochs < 1:
            raise ValueError(f"epochs must be a whole number from 1, got {epochs!r}")
        if not isinstance(eval_every, int) or eval_every < 1:
            raise ValueError(f"eval_every must be a whole number from 1, got {eval_every!r}")
        for name, value in (("lr", lr), ("weight_decay", weight_decay), ("clip_norm", clip_norm)):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and value >= 0) and not (name == "clip_norm" and value is None):
                raise ValueError(f"{name} must be a number from 0, got {value!r}")
        if precision not in ("fp32", "bf16"):
            raise ValueError(f"precision must be fp32 or bf16, got {precision!r}")
        self.epochs = epochs
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.groups = groups or {}
        self.select = select
        self.stopping = stopping
        self.scheduler = scheduler
        self.clip_norm = clip_norm
        self.precision = precision
        self.compile = compile
        self.eval_every = eval_every

    def fit(
        self,
        encoder: nn.Module,
        head: nn.Module,
        checkpoint: Checkpoint | None = None,
        reporter: Reporter | None = None,
        label: str = "training",
    ) -> Fit:
        """Train ``encoder`` and ``head`` in place, on the head's train and validation splits.

        Args:
            encoder: Called with the fields that its ``forward`` names.
            head: Gives batches, loss and scores.
            checkpoint: Where to resume from and save to; None keeps nothing.
            reporter: Shown after each epoch.
            label: What the reporter calls this run.

        Raises:
            TrainingFailed: If the loss is not finite; the epoch is named.
            TrainingInterrupted: If the checkpoint was asked to stop.
        """
        reporter = reporter or Silent()
        metric = next(iter(head.modes))
        loop = _Loop(self, encoder, head)
        first_epoch = loop.resume(checkpoint)
        reporter.start(label, self.epochs, first_epoch)
        try:
            for epoch in range(first_epoch, self.epochs):
                loss = loop.train(epoch)
                loop.schedule()
                if (epoch + 1) % self.eval_every == 0 or epoch + 1 == self.epochs:
                    scores = loop.validate(epoch)
                    reporter.update(epoch, loss, metric, scores[metric])
                    judged = scores[metric] if head.modes[metric] == "max" else -scores[metric]
                    if loop.should_stop(epoch, scores["loss"], judged):
                        break
                if checkpoint is not None and epoch + 1 < self.epochs:
                    loop.checkpoint(checkpoint, epoch)
        finally:
            reporter.close()
        return loop.fit

    def autocast(self, device: torch.device) -> torch.autocast:
        """The precision that training, validation and test run in."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")


class _Loop:
    """One training in progress: everything that a checkpoint has to hold."""

    def __init__(self, recipe: Backprop, encoder: nn.Module, head: nn.Module) -> None:
        self.recipe, self.encoder, self.head = recipe, encoder, head
        self.model = nn.ModuleDict({"encoder": encoder, "head": head})
        groups = parameter_groups(encoder, head)
        self.parameters = [parameter for group in groups.values() for parameter in group]
        self.optimizer = make_optimizer(
            recipe.optimizer, groups, recipe.lr, recipe.weight_decay, recipe.groups
        )
        self.scheduler = recipe.scheduler(self.optimizer) if recipe.scheduler else None
        self.stopping = copy.deepcopy(recipe.stopping)  # it counts, and a recipe may be used again
        self.fit = Fit(Selection(head.modes, recipe.select))
        if not self.parameters:
            raise ValueError(f"{type(encoder).__name__} has no parameters to train")
        self.device = self.parameters[0].device
        if recipe.compile:
            encoder.compile()

    def train(self, epoch: int) -> float:
        """Train one epoch; returns its mean loss."""
        began = time.perf_counter()
        self.model.train()
        losses = [self._step(batch) for batch in self.head.batches("train")]
        loss = torch.stack(losses).mean().item()
        self.fit.seconds.append(time.perf_counter() - began)
        self._check_finite("training", loss, epoch)
        self.fit.curve.append({"epoch": epoch + 1, "loss": loss})
        return loss

    def validate(self, epoch: int) -> dict[str, float]:
        """Score the epoch just trained; returns the validation scores."""
        with self.recipe.autocast(self.device):
            scores = self.head.evaluate(self.encoder, ("train", "val"))
        self._check_finite("validation", scores["val"]["loss"], epoch)
        self.fit.selection.update(epoch, scores["val"], self.model)
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(scores["val"]["loss"])
        for split, values in scores.items():
            self.fit.curve[-1] |= {f"{split}_{name}": value for name, value in values.items()}
        return scores["val"]

    def _check_finite(self, kind: str, loss: float, epoch: int) -> None:
        if not math.isfinite(loss):
            raise TrainingFailed(
                f"the {kind} loss is {loss} in epoch {epoch + 1}; a lower trainer.lr "
                f"(now {self.recipe.lr}) or trainer.clip_norm=1 may help"
            )

    def _step(self, batch: Any) -> torch.Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        with self.recipe.autocast(self.device):
            h = self.encoder(**inputs(self.encoder, batch.data))
            loss = self.head.loss(h, batch)
        loss.backward()
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip_norm)
        self.optimizer.step()
        return loss.detach()

    def schedule(self) -> None:
        """End an epoch for the scheduler; one that waits for a plateau steps at validations."""
        if self.scheduler is not None and not isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step()

    def should_stop(self, epoch: int, loss: float, metric: float) -> bool:
        """Ask the early stopping rule."""
        rule = self.stopping
        return rule is not None and rule.should_stop(epoch, self.recipe.epochs, loss, metric)

    def checkpoint(self, checkpoint: Checkpoint, epoch: int) -> None:
        """Save if it is time to or if asked to stop."""
        stop = checkpoint.stop_requested()
        if stop or checkpoint.due():
            checkpoint.save(self._state(epoch))
        if stop:
            raise TrainingInterrupted(f"stopped after epoch {epoch + 1}")

    def _state(self, epoch: int) -> dict[str, Any]:
        return {
            "epoch": epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler else None,
            "stopping": self.stopping.state_dict() if self.stopping else None,
            "selection": self.fit.selection.state_dict(),
            "curve": self.fit.curve,
            "seconds": self.fit.seconds,
        }

    def resume(self, checkpoint: Checkpoint | None) -> int:
        """Take up a saved state if there is one; returns the first epoch to train."""
        state = checkpoint.load() if checkpoint is not None else None
        if state is None:
            return 0
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler:
            self.scheduler.load_state_dict(state["scheduler"])
        if self.stopping:
            self.stopping.load_state_dict(state["stopping"])
        self.fit.selection.load_state_dict(state["selection"])
        self.fit.curve, self.fit.seconds = state["curve"], state["seconds"]
        set_rng_state(state["rng"])
        return state["epoch"] + 1
