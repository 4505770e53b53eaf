"""The trainer beside a bare loop: what curve, metrics, stopping and checkpoints cost."""

import io
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.nn.functional import cross_entropy

from gnnzoo.bench.cases import Case, Settings, Subject, planetoid
from gnnzoo.bench.dagnn import RECIPES, make
from gnnzoo.bench.harness import Contestant
from gnnzoo.bench.report import Row, rows
from gnnzoo.heads import NodeHead
from gnnzoo.models import DAGNN, inputs
from gnnzoo.train import Backprop, TrailingMean
from gnnzoo.train.checkpoint import Checkpoint
from gnnzoo.train.progress import Lines

GOAL = 1.15
EPOCHS = 100


def loop(settings: Settings) -> list[Case]:
    """Training DAGNN on Cora, validation after every epoch."""
    return [("Cora", partial(_cora, settings))]


def _cora(settings: Settings) -> list[Row]:
    subject = planetoid("Cora", settings)
    epochs = 3 if settings.quick else EPOCHS
    contestants = [
        Contestant("bare loop", partial(_bare, subject, epochs)),
        Contestant("gnnzoo.train.Backprop", partial(_backprop, subject, epochs), GOAL),
    ]
    results = settings.race(contestants, budgets=2)
    return rows("Cora", f"DAGNN, {epochs} epochs", results)


def _bare(subject: Subject, epochs: int) -> list[tuple[float, float, float]]:
    """What one would write by hand: step, validation, loss and accuracy of every epoch."""
    recipe, data = RECIPES["Cora"], subject.task.data
    torch.manual_seed(0)
    model = make(DAGNN, subject, recipe)
    fields = inputs(model, data)
    step = subject.train(model, fields, recipe)
    nodes = data.val_mask.nonzero().squeeze(1)
    labels = data.y[nodes]
    curve = []
    for _ in range(epochs):
        model.train()
        loss = step().item()
        model.eval()
        with torch.inference_mode():
            h = model(**fields)[nodes]
            val_loss = cross_entropy(h, labels).item()
            accuracy = (h.argmax(dim=1) == labels).float().mean().item()
        curve.append((loss, val_loss, accuracy))
    return curve


def _backprop(subject: Subject, epochs: int) -> None:
    """The same training with everything that a run switches on."""
    recipe = RECIPES["Cora"]
    torch.manual_seed(0)
    model = make(DAGNN, subject, recipe).to(subject.x.device)
    trainer = Backprop(
        epochs=epochs,
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        select="loss",
        stopping=TrailingMean(patience=epochs),  # watches every epoch, never stops this early
    )
    head = NodeHead(subject.task).to(subject.x.device)
    with TemporaryDirectory() as folder, redirect_stderr(io.StringIO()):
        fit = trainer.fit(model, head, Checkpoint(Path(folder) / "checkpoint.pt"), Lines())
    assert len(fit.curve) == epochs
