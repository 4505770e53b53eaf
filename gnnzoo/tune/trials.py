"""The trials of a search: what each tried, what came of it, and the CSV file that keeps them."""

import csv
import io
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gnnzoo.files import write_text


@dataclass(frozen=True)
class Score:
    """What one run left behind.

    Attributes:
        val: Validation score; None where the settings cannot be trained.
        seconds: Time of the run, also when it was looked up.
        epochs: Epochs trained.
        error: Why there is no score.
    """

    val: float | None
    seconds: float
    epochs: int
    error: str = ""


@dataclass
class Trial:
    """Settings that were tried, and their validation scores.

    Attributes:
        number: Place in the search, from 1; the first is the start.
        params: What is set on top of the start.
        vals: Validation score per seed.
        seconds: Time of all its runs.
        epochs: Epochs of all its runs.
        error: Why it has no mean, or none in the second stage.
        final: Mean over the seeds of the second stage.
    """

    number: int
    params: Mapping[str, Any]
    vals: dict[int, float | None] = field(default_factory=dict)
    seconds: float = 0.0
    epochs: int = 0
    error: str = ""
    final: float | None = None

    @property
    def mean(self) -> float | None:
        """Mean validation score; None if a seed could not be trained or is missing."""
        vals = list(self.vals.values())
        return None if not vals or None in vals else statistics.mean(vals)

    def add(self, seed: int, score: Score) -> None:
        """Take in one run."""
        self.vals[seed] = score.val
        self.seconds += score.seconds
        self.epochs += score.epochs
        self.error = self.error or score.error


def best_of(trials: Iterable[Trial], count: int) -> list[Trial]:
    """The trials with the highest means, best first; of equal ones the earlier."""
    scored = [trial for trial in trials if trial.mean is not None]
    return sorted(scored, key=lambda trial: (-trial.mean, trial.number))[:count]


class TrialFile:
    """``trials.csv``: one line per trial that ended; a search goes on from it."""

    def __init__(self, path: Path, keys: Iterable[str], seeds: Iterable[int]) -> None:
        self.path, self.keys, self.seeds = path, list(keys), list(seeds)

    def write(self, trials: Iterable[Trial], start: Mapping[str, Any]) -> None:
        """Write all trials anew; ``start`` has the values of what a trial does not set."""
        columns = ["trial", *self.keys, *(f"val_{seed}" for seed in self.seeds)]
        columns += ["mean", "final_mean", "seconds", "epochs", "error"]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        for trial in sorted(trials, key=lambda trial: trial.number):
            params = start | dict(trial.params)
            row = [trial.number, *(_shown(params[key]) for key in self.keys)]
            row += [trial.vals.get(seed) for seed in self.seeds]
            row += [trial.mean, trial.final, round(trial.seconds, 3), trial.epochs, trial.error]
            writer.writerow(row)
        write_text(self.path, text.getvalue())

    def read(self, params_of: Callable[[int], Mapping[str, Any]]) -> dict[int, Trial]:
        """The trials that ended before, by number; ``params_of`` tells what a number sets."""
        if not self.path.is_file():
            return {}
        rows = csv.DictReader(io.StringIO(self.path.read_text(encoding="utf-8")))
        return {int(row["trial"]): self._trial(row, params_of) for row in rows}

    def _trial(self, row: Mapping[str, str], params_of: Callable[[int], Any]) -> Trial:
        number = int(row["trial"])
        vals = {seed: _number(row[f"val_{seed}"]) for seed in self.seeds}
        spent = float(row["seconds"]), int(row["epochs"])
        return Trial(number, params_of(number), vals, *spent, row["error"])


def _shown(value: Any) -> Any:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else value


def _number(text: str) -> float | None:
    return float(text) if text else None
