"""How far a search is, a line on standard error per trial that ended."""

import sys
import time

from gnnzoo.tune.trials import Trial


class Progress:
    """Says what is done, what was best so far, and how long the rest may take.

    Args:
        what: What is counted: trials or finalists.
        total: How many there are.
        done: How many had ended before.
        deadline: Moment of ``time.monotonic()`` at which no new trial begins; None: no such moment.
    """

    def __init__(self, what: str, total: int, done: int = 0, deadline: float | None = None) -> None:
        self.what, self.total, self.done, self.deadline = what, total, done, deadline
        self.done_before, self.began = done, time.monotonic()
        self.best: tuple[float, int] | None = None

    def seen(self, trial: Trial, score: float | None) -> None:
        """Take in a trial that ended; of equal ones the earlier stays the best."""
        if score is not None:
            self.best = max(self.best or (score, -trial.number), (score, -trial.number))

    def show(self, trial: Trial, score: float | None) -> None:
        """A trial has ended with this score, or none."""
        self.seen(trial, score)
        self.done += 1
        params = " ".join(f"{key}={value}" for key, value in trial.params.items()) or "the start"
        result = trial.error if score is None else f"{score:.4f}"
        best = f"  best {self.best[0]:.4f} (trial {-self.best[1]})" if self.best else ""
        print(
            f"{self.what} {self.done}/{self.total}{best}  {self._left()}  "
            f"trial {trial.number}: {result}  {params}",
            file=sys.stderr,
            flush=True,
        )

    def _left(self) -> str:
        now = time.monotonic()
        mean = (now - self.began) / (self.done - self.done_before)
        left = mean * (self.total - self.done)
        if self.deadline is not None:
            left = min(left, max(self.deadline - now, 0.0))
        return f"{left / 60:.0f} min left" if left >= 120 else f"{left:.0f} s left"
