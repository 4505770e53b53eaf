"""What the jobs of a sweep tell the process that started them: one line each, in a shared file."""

import json
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LEDGER = "GNNZOO_SWEEP_LEDGER"


@contextmanager
def ledger() -> Iterator[Path]:
    """A file that the jobs of this sweep, here or in child processes, write their ends into."""
    with tempfile.TemporaryDirectory(prefix="gnnzoo-") as folder:
        path = Path(folder) / "jobs.jsonl"
        path.touch()
        os.environ[_LEDGER] = str(path)
        try:
            yield path
        finally:
            del os.environ[_LEDGER]


@contextmanager
def seeds_composed_once() -> Iterator[None]:
    """Let Hydra compose jobs that differ in their seed once before it starts them.

    It composes every job to find mistakes early, one after the other, while all workers wait: for
    many small runs a large part of the whole time. Each job composes its own settings anyway.
    """
    from hydra.plugins.sweeper import Sweeper

    validate = Sweeper.validate_batch_is_legal

    def check(sweeper: Sweeper, batch: Sequence[Sequence[str]]) -> None:
        validate(sweeper, without_other_seeds(batch))

    Sweeper.validate_batch_is_legal = check
    try:
        yield
    finally:
        Sweeper.validate_batch_is_legal = validate


def without_other_seeds(jobs: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The first job of those that have everything but a numeric seed in common."""
    first: dict[tuple[str, ...], Sequence[str]] = {}
    for job in jobs:
        rest = tuple(entry for entry in job if not re.fullmatch(r"seed=\d+", entry))
        first.setdefault(rest, job)
    return list(first.values())


def report_job(overrides: tuple[str, ...], status: str, **fields: Any) -> None:
    """A job has ended; one short line is written at once, so lines of two jobs do not mix."""
    line = {"overrides": list(overrides), "status": status, **fields}
    with open(os.environ[_LEDGER], "a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def summarise(path: Path) -> int:
    """Print the scores per setting, then what failed; returns the exit status.

    Seeds of one setting share a line: mean and sample standard deviation of the test metric. It is
    named by what differs between settings; where only seeds do, it needs no name.
    """
    jobs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    shared = set.intersection(*(set(job["overrides"]) for job in jobs)) if jobs else set()
    settings: dict[str, list[Mapping[str, Any]]] = {}
    for job in jobs:
        own = [entry for entry in job["overrides"] if not entry.startswith("seed=")]
        name = " ".join(entry for entry in own if entry not in shared)
        settings.setdefault(name, []).append(job)
    width = max(map(len, settings), default=0)
    for name, group in settings.items():
        done = [job for job in group if job["status"] in ("finished", "skipped")]
        if done:
            scores = [job["test"] for job in done]
            spread = f" ± {statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
            count = "1 seed" if len(scores) == 1 else f"{len(scores)} seeds"
            score = f"test {done[0]['metric']} {statistics.mean(scores):.4f}{spread}"
            print(f"{name:<{width}}  {score}  ({count})".lstrip())
    skipped = sum(job["status"] == "skipped" for job in jobs)
    if skipped:
        print(f"{skipped} of {len(jobs)} runs were finished before and were not run again")
    failed = [job for job in jobs if job["status"] == "failed"]
    for job in failed:
        print(f"failed: {' '.join(job['overrides'])}: {job['error']}", file=sys.stderr)
    return 1 if failed else 0
