"""Telling a person how far the work is: a bar on a terminal, plain lines in a log, or nothing."""

import sys
import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Reporter(Protocol):
    """What a trainer calls; everything goes to standard error."""

    def start(self, label: str, epochs: int, first_epoch: int) -> None:
        """Begin; ``first_epoch`` is not 0 in a resumed run."""

    def update(self, epoch: int, loss: float, metric: str, value: float) -> None:
        """An epoch is done: training loss and the validation metric."""

    def close(self) -> None:
        """The loop has ended, for whatever reason."""


class Silent:
    """Say nothing."""

    def start(self, label: str, epochs: int, first_epoch: int) -> None:
        """Nothing to begin."""

    def update(self, epoch: int, loss: float, metric: str, value: float) -> None:
        """Nothing to show."""

    def close(self) -> None:
        """Nothing to end."""


class Lines:
    """A plain line every ``every_seconds`` seconds."""

    def __init__(self, every_seconds: float = 10.0) -> None:
        self.every_seconds = every_seconds

    def start(self, label: str, epochs: int, first_epoch: int) -> None:
        """Print what starts."""
        self.label, self.epochs, self.first_epoch = label, epochs, first_epoch
        self.began = self.last = time.monotonic()
        where = f", from epoch {first_epoch + 1}" if first_epoch else ""
        print(f"{label}: up to {epochs} epochs{where}", file=sys.stderr, flush=True)

    def update(self, epoch: int, loss: float, metric: str, value: float) -> None:
        """Print if the last line is long enough ago."""
        now = time.monotonic()
        if now - self.last < self.every_seconds:
            return
        self.last = now
        done = epoch + 1 - self.first_epoch
        left = (now - self.began) / done * (self.epochs - epoch - 1)
        print(
            f"{self.label}: epoch {epoch + 1}/{self.epochs}  loss {loss:.4f}  "
            f"val {metric} {value:.4f}  at most {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )

    def close(self) -> None:
        """Nothing to end."""


class Bar:
    """A bar on a terminal with loss, metric and the time left if no early stop comes."""

    REDRAW_SECONDS = 0.2  # more often costs a small graph's training more than it tells

    def start(self, label: str, epochs: int, first_epoch: int) -> None:
        """Draw the bar."""
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[scores]}"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
        self.task = self.progress.add_task(label, total=epochs, completed=first_epoch, scores="")
        self.progress.start()
        self.last = 0.0

    def update(self, epoch: int, loss: float, metric: str, value: float) -> None:
        """Move the bar, a few times a second."""
        now = time.monotonic()
        if now - self.last < self.REDRAW_SECONDS:
            return
        self.last = now
        scores = f"loss {loss:.3f}  val {metric} {value:.3f}"
        self.progress.update(self.task, completed=epoch + 1, scores=scores, refresh=True)

    def close(self) -> None:
        """Remove the bar."""
        self.progress.stop()


def make_reporter(kind: str, in_sweep: bool = False) -> Reporter:
    """The reporter of a ``progress`` setting: auto, bar, lines or none.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind == "auto":
        kind = "none" if in_sweep else "bar" if sys.stderr.isatty() else "lines"
    kinds = {"bar": Bar, "lines": Lines, "none": Silent}
    if kind not in kinds:
        raise ValueError(f"progress must be auto, bar, lines or none, got {kind!r}")
    return kinds[kind]()
