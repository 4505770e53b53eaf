"""The trials of a search: what each tried, what came of it, and the CSV file that shows them."""

import csv
import io
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gnnzoo.files import write_text

LOWER_IS_BETTER = ("rmse", "mae")


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
        error: Why it has no mean.
    """

    number: int
    params: Mapping[str, Any]
    vals: dict[int, float | None] = field(default_factory=dict)
    seconds: float = 0.0
    epochs: int = 0
    error: str = ""

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


def best_of(trials: Iterable[Trial], count: int, metric: str = "") -> list[Trial]:
    """The trials with the best means, best first; of equal ones the earlier.

    Args:
        trials: Trials that ended.
        count: How many to give, at most.
        metric: What the means are of; its last word tells whether lower is better.
    """
    sign = 1 if metric.endswith(LOWER_IS_BETTER) else -1
    scored = [trial for trial in trials if trial.mean is not None]
    return sorted(scored, key=lambda trial: (sign * trial.mean, trial.number))[:count]


def write_csv(
    path: Path,
    trials: Iterable[Trial],
    finals: Mapping[int, Trial],
    start: Mapping[str, Any],
    seeds: Iterable[int],
) -> None:
    """Write all trials anew, a line each, for people; nothing reads the file back.

    Args:
        path: The file.
        trials: Trials that ended.
        finals: What came of some of them in the second stage, by number.
        start: What the start sets where a trial does not, by setting.
        seeds: Seeds of the first stage.
    """
    columns = ["trial", *start, *(f"val_{seed}" for seed in seeds)]
    columns += ["mean", "final_mean", "seconds", "epochs", "error"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for trial in sorted(trials, key=lambda trial: trial.number):
        row = [trial.number, *map(shown, (start | dict(trial.params)).values())]
        row += [trial.vals.get(seed) for seed in seeds]
        final = finals.get(trial.number, Trial(trial.number, {}))
        row += [trial.mean, final.mean, round(trial.seconds, 3), trial.epochs]
        row += [trial.error or final.error]
        writer.writerow(row)
    write_text(path, text.getvalue())


def shown(value: Any) -> Any:
    """A setting as YAML writes it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else value
