"""How far a search is, a line on standard error per trial that ended."""

import sys
import time

from gnnzoo.tune.trials import Trial, best_of


class Progress:
    """Says what is done, what was best so far, and how long the rest may take.

    Args:
        what: What is counted: trials or finalists.
        metric: What the scores are.
        total: How many there are.
        ended: Those that had ended before.
        deadline: Moment of ``time.monotonic()`` at which no new trial begins; None: no such moment.
    """

    def __init__(
        self,
        what: str,
        metric: str,
        total: int,
        ended: list[Trial],
        deadline: float | None = None,
    ) -> None:
        self.what, self.metric, self.total, self.deadline = what, metric, total, deadline
        self.ended, self.done_before, self.began = list(ended), len(ended), time.monotonic()

    def show(self, trial: Trial) -> None:
        """A trial has ended."""
        self.ended.append(trial)
        params = " ".join(f"{key}={value}" for key, value in trial.params.items()) or "the start"
        result = trial.error if trial.mean is None else f"{trial.mean:.4f}"
        best = "".join(
            f"  best {self.metric} {b.mean:.4f} (trial {b.number})"
            for b in best_of(self.ended, 1, self.metric)
        )
        print(
            f"{self.what} {len(self.ended)}/{self.total}{best}  {self._left()}  "
            f"trial {trial.number}: {result}  {params}",
            file=sys.stderr,
            flush=True,
        )

    def _left(self) -> str:
        now = time.monotonic()
        mean = (now - self.began) / (len(self.ended) - self.done_before)
        left = mean * (self.total - len(self.ended))
        if self.deadline is not None:
            left = min(left, max(self.deadline - now, 0.0))
        return f"{left / 60:.0f} min left" if left >= 120 else f"{left:.0f} s left"
