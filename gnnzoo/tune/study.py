"""A search under way: its trials, then the finalists, then the recipe of the winner."""

import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gnnzoo.config import ConfigError
from gnnzoo.executor import RunRefused
from gnnzoo.files import write_text
from gnnzoo.tune.fit import check_fit
from gnnzoo.tune.progress import Progress
from gnnzoo.tune.recipe import recipe
from gnnzoo.tune.runs import Job, scores
from gnnzoo.tune.search import Search
from gnnzoo.tune.space import distributions
from gnnzoo.tune.storage import Stage, open_storage
from gnnzoo.tune.trials import Trial, best_of, write_csv


def tune(search: Search, num_jobs: int = 1, minutes: float | None = None) -> Path:
    """Run the trials that are left, let the best meet again, write the winner as a recipe.

    Trials stand in an Optuna study in ``study.db``, their runs in the run store, so a killed search
    goes on where it was. Settings that cannot be trained count as one trial of the budget; anything
    else that fails, such as missing data, ends the search and can be put right.

    Args:
        search: What to search.
        num_jobs: Runs side by side, one torch thread each.
        minutes: No new trial begins after so many minutes of this call; the recipe says how many
            trials were made. The same call without it makes the rest.

    Returns:
        The recipe, a YAML file; ``study.db`` lies beside it, and ``trials.csv`` for people.

    Raises:
        ConfigError: If the space does not fit the model, no drawn trial could be trained, or
            ``study.db`` is broken.
        RunRefused: If another process is at the same search.
    """
    check_fit(search.space, search.composed)
    distributions(search.space)  # a range that cannot be is told before anything is made
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
        self.storage = open_storage(search.folder / "study.db")
        self.first = Stage(self.storage, "trials", search.space)
        self.params = cache(lambda number: self.first.params.get(number) or search.params(number))
        self.finals: Mapping[int, Trial] = {}

    def counted(self) -> list[Trial]:
        """The trials within the budget that have ended, in their order."""
        numbers = range(1, self.search.num_trials + 1)
        return [self.first.ended[number] for number in numbers if number in self.first.ended]

    def make_trials(self, seconds: float) -> None:
        """Make the trials that are left, unless time runs out before."""
        deadline = time.monotonic() + seconds
        cap = deadline if seconds < math.inf else None
        progress = Progress(
            "trials", self.search.metric, self.search.num_trials, self.counted(), cap
        )
        self._run(self.first, self._jobs(deadline), self.search.seeds, progress)
        for trial in list(self.first.begun.values()):  # looked up: it has cost nothing
            like = self.first.ended[self._first_alike(trial.number)]
            trial.vals, trial.error = like.vals, like.error
            self._end(self.first, trial, progress)

    def _jobs(self, deadline: float) -> Iterator[Job]:
        """The runs of the trials that are left; repeats of earlier trials begin but need none."""
        for number in range(1, self.search.num_trials + 1):
            if number in self.first.ended:
                continue
            if (self.first.begun or self.counted()) and time.monotonic() >= deadline:
                return
            trial = self.first.begin(number, self.params(number))
            if self._first_alike(number) == number:
                yield from self._missing(trial, self.search.seeds)

    def _missing(self, trial: Trial, seeds: Iterable[int]) -> Iterator[Job]:
        overrides = self.search.overrides_of(trial.params)
        return (Job(trial.number, seed, overrides) for seed in seeds if seed not in trial.vals)

    def _run(
        self, stage: Stage, jobs: Iterator[Job], seeds: tuple[int, ...], progress: Progress
    ) -> None:
        for job, score in scores(jobs, self.num_jobs):
            trial = stage.begun[job.trial]
            trial.add(job.seed, score)
            if len(trial.vals) == len(seeds):
                self._end(stage, trial, progress)

    def _end(self, stage: Stage, trial: Trial, progress: Progress) -> None:
        stage.end(trial)
        self._export()
        progress.show(trial)

    def _first_alike(self, number: int) -> int:
        """The first trial with the same settings: random draws may repeat, or hit the start."""
        own = self._settings(number)
        return next(n for n in range(1, number + 1) if self._settings(n) == own)

    def _settings(self, number: int) -> dict[str, Any]:
        return self.search.start | self.params(number)

    def _export(self) -> None:
        path = self.search.folder / "trials.csv"
        trials = self.first.ended.values()
        write_csv(path, trials, self.finals, self.search.start, self.search.seeds)

    def winner(self) -> Trial:
        """The best trial of the last stage; of equal ones the earlier."""
        counted = self.counted()
        drawn = [trial for trial in counted if trial.number > 1]
        tried = drawn or counted
        if all(trial.mean is None for trial in tried):
            raise ConfigError(
                f"{'no drawn trial could be trained' if drawn else 'the start cannot be trained'}; "
                f"trial {tried[0].number}: {tried[0].error} "
                f"(remove {self.search.folder} to search again)"
            )
        different = [trial for trial in counted if self._first_alike(trial.number) == trial.number]
        best = best_of(different, max(self.search.num_finalists, 1), self.search.metric)
        return self._best_finalist(best) if self.search.num_finalists else best[0]

    def _best_finalist(self, finalists: list[Trial]) -> Trial:
        seeds = self.search.final_seeds
        name = f"finalists on the seeds {', '.join(map(str, seeds))}"
        stage = Stage(self.storage, name, self.search.space)
        self.finals = stage.ended
        before = [stage.ended[trial.number] for trial in finalists if trial.number in stage.ended]
        print(f"second stage: the best {len(finalists)} again; {name}", file=sys.stderr)
        progress = Progress("finalists", self.search.metric, len(finalists), before)
        self._run(stage, self._final_jobs(stage, finalists), seeds, progress)
        for trial in list(stage.begun.values()):  # the first stage had all of its seeds
            self._end(stage, trial, progress)
        again = [stage.ended[trial.number] for trial in finalists]
        if not (best := best_of(again, 1, self.search.metric)):
            raise ConfigError(
                f"all {len(again)} finalists failed on some seed; trial {again[0].number}: "
                f"{again[0].error} (remove {self.search.folder} to search again)"
            )
        return self.first.ended[best[0].number]

    def _final_jobs(self, stage: Stage, finalists: list[Trial]) -> Iterator[Job]:
        """The runs of the finalists on seeds that the first stage did not have."""
        for trial in finalists:
            if trial.number not in stage.ended:
                again = stage.begin(trial.number, trial.params)
                known = set(trial.vals) & set(self.search.final_seeds)
                again.vals = {seed: trial.vals[seed] for seed in known}
                yield from self._missing(again, self.search.final_seeds)

    def write_recipe(self, winner: Trial) -> Path:
        """Write the winner's recipe, with what it took to find it."""
        self._export()  # a kill may have come between a trial and its line
        made = [*self.counted(), *self.finals.values()]
        seconds = sum(trial.seconds for trial in made)
        path = self.search.folder / "recipe.yaml"
        write_text(path, recipe(self.search, winner, self.counted(), self.finals, seconds))
        return path
