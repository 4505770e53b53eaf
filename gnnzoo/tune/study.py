"""A search under way: its trials, then the finalists, then the recipe of the winner."""

import math
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gnnzoo.config import ConfigError
from gnnzoo.executor import RunRefused
from gnnzoo.files import write_text
from gnnzoo.tune.progress import Progress
from gnnzoo.tune.recipe import recipe
from gnnzoo.tune.runs import Job, scores
from gnnzoo.tune.search import Search
from gnnzoo.tune.trials import Trial, TrialFile, best_of


def tune(search: Search, num_jobs: int = 1, minutes: float | None = None) -> Path:
    """Run the trials that are left, let the best meet again, write the winner as a recipe.

    Trials that ended stand in ``trials.csv``, their runs in the run store, so a killed search goes
    on where it was. Settings that cannot be trained count as one trial of the budget; anything else
    that fails, such as missing data, ends the search and can be put right.

    Args:
        search: What to search.
        num_jobs: Runs side by side, one torch thread each.
        minutes: No new trial begins after so many minutes of this call; the recipe says how many
            trials were made. The same call without it makes the rest.

    Returns:
        The recipe, a YAML file; ``trials.csv`` lies beside it.

    Raises:
        ImportError: If Optuna is missing.
        ConfigError: If every trial failed.
        RunRefused: If another process is at the same search.
    """
    search.params(2)  # a missing Optuna is told before any run has begun
    search.folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(search.folder / ".lock", timeout=0):
            study = Study(search, num_jobs)
            study.make_trials(math.inf if minutes is None else 60 * minutes)
            return study.write_recipe(study.winner())
    except Timeout as error:
        raise RunRefused(f"{search.folder} is in use by another search; wait for it") from error


class Study:
    """The trials of a search, those of earlier calls included."""

    def __init__(self, search: Search, num_jobs: int) -> None:
        self.search, self.num_jobs = search, num_jobs
        self.params = cache(search.params)
        self.file = TrialFile(search.folder / "trials.csv", search.space, search.seeds)
        self.trials = self.file.read(self.params)
        self.final_seconds = 0.0

    def counted(self) -> list[Trial]:
        """The trials within the budget that have ended, in their order."""
        numbers = range(1, self.search.num_trials + 1)
        return [self.trials[number] for number in numbers if number in self.trials]

    def make_trials(self, seconds: float) -> None:
        """Make the trials that are left, unless time runs out before."""
        deadline = time.monotonic() + seconds
        before = self.counted()
        cap = deadline if seconds < math.inf else None
        progress = Progress("trials", self.search.num_trials, len(before), cap)
        for trial in before:
            progress.seen(trial, trial.mean)
        begun: dict[int, Trial] = {}
        for job, score in scores(self._jobs(begun, deadline), self.num_jobs):
            trial = begun[job.trial]
            trial.add(job.seed, score)
            if len(trial.vals) == len(self.search.seeds):
                self._keep(trial)
                progress.show(trial, trial.mean)
        for trial in begun.values():
            first = self._first_alike(trial.number)
            if first != trial.number:  # looked up: it has cost nothing
                trial.vals, trial.error = self.trials[first].vals, self.trials[first].error
                self._keep(trial)
                progress.show(trial, trial.mean)

    def _jobs(self, begun: dict[int, Trial], deadline: float) -> Iterator[Job]:
        """The runs of the trials that are left; repeats of earlier trials begin but need none."""
        for number in range(1, self.search.num_trials + 1):
            if number in self.trials:
                continue
            if (begun or self.trials) and time.monotonic() >= deadline:
                return
            begun[number] = Trial(number, self.params(number))
            if self._first_alike(number) == number:
                overrides = self.search.overrides_of(self.params(number))
                yield from (Job(number, seed, overrides) for seed in self.search.seeds)

    def _first_alike(self, number: int) -> int:
        """The first trial with the same settings: random draws may repeat, or hit the start."""
        own = self._settings(number)
        return next(n for n in range(1, number + 1) if self._settings(n) == own)

    def _settings(self, number: int) -> dict[str, Any]:
        return self.search.start | self.params(number)

    def _keep(self, trial: Trial) -> None:
        self.trials[trial.number] = trial
        self.file.write(self.trials.values(), self.search.start)

    def winner(self) -> Trial:
        """The best trial of the last stage; of equal ones the earlier."""
        counted = self.counted()
        different = [trial for trial in counted if self._first_alike(trial.number) == trial.number]
        best = best_of(different, max(self.search.num_finalists, 1))
        if not best:
            raise ConfigError(
                f"all {len(counted)} trials failed; the last one: {counted[-1].error} "
                f"(remove {self.search.folder} to search again)"
            )
        return self._best_finalist(best) if self.search.num_finalists else best[0]

    def _best_finalist(self, finalists: list[Trial]) -> Trial:
        again = {trial.number: Trial(trial.number, trial.params) for trial in finalists}
        jobs = (
            Job(trial.number, seed, self.search.overrides_of(trial.params))
            for trial in finalists
            for seed in self.search.final_seeds
        )
        progress = Progress("finalists", len(finalists))
        for job, score in scores(jobs, self.num_jobs):
            trial = again[job.trial]
            trial.add(job.seed, score)
            if job.seed not in self.search.seeds:
                self.final_seconds += score.seconds
            if len(trial.vals) == len(self.search.final_seeds):
                kept = self.trials[job.trial]
                kept.final, kept.error = trial.mean, trial.error
                self._keep(kept)
                progress.show(trial, trial.mean)
        if not (best := best_of(again.values(), 1)):
            raise ConfigError(
                f"all {len(again)} finalists failed on some seed; the last one: {trial.error}"
            )
        return self.trials[best[0].number]

    def write_recipe(self, winner: Trial) -> Path:
        """Write the winner's recipe, with what it took to find it."""
        seconds = sum(trial.seconds for trial in self.counted()) + self.final_seconds
        path = self.search.folder / "recipe.yaml"
        write_text(path, recipe(self.search, winner, self.counted(), seconds))
        return path
