"""The runs of a search, side by side: each looked up where it exists, trained where it does not."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from gnnzoo.config import compose
from gnnzoo.executor import execute
from gnnzoo.train.backprop import TrainingFailed
from gnnzoo.tune.trials import Score

# What the settings of a trial are to blame for; all else ends the search and can be put right.
_UNTRAINABLE = (ValueError, TrainingFailed, torch.OutOfMemoryError, MemoryError)


@dataclass(frozen=True)
class Job:
    """One run of one trial."""

    trial: int
    seed: int
    overrides: list[str]


def scores(jobs: Iterable[Job], num_jobs: int) -> Iterator[tuple[Job, Score]]:
    """Score jobs as they end, ``num_jobs`` at a time with one torch thread each.

    ``jobs`` is read little by little, two rounds ahead, so that no worker waits for another's run.
    """
    from joblib import Parallel, delayed

    from gnnzoo.workers import end_with_this_process

    end_with_this_process()
    parallel = Parallel(num_jobs, "loky", return_as="generator_unordered", batch_size=1)
    return parallel(delayed(_score)(job) for job in jobs)


def _score(job: Job) -> tuple[Job, Score]:
    began = time.perf_counter()
    try:
        composed = compose([*job.overrides, f"seed={job.seed}", "threads=1", "progress=none"])
        record = execute(composed, in_sweep=True).record
    except _UNTRAINABLE as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return job, Score(None, time.perf_counter() - began, 0, reason)
    return job, Score(record["val"], record["seconds_total"], record["epochs"])
