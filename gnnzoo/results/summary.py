"""From records to the cells of a table: which runs count, which are stale, which are missing."""

import json
import statistics
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gnnzoo
from gnnzoo.files import write_text
from gnnzoo.results.rechecks import Recheck, equal_sources, read_rechecks
from gnnzoo.results.record import compact
from gnnzoo.results.statistics import Paired, Verdict, mean_and_std, paired, verdict
from gnnzoo.results.table import Cell, Reported, Table

Record = Mapping[str, Any]
Identify = Callable[[list[str]], tuple[str, str]]


@dataclass
class Summary:
    """The runs of one cell; each of its seeds is in exactly one of the four places.

    Attributes:
        cell: Which cell.
        fresh: Finished runs of the present code, or of code rechecked against it, by seed.
        stale: Seeds that only other versions of the code have finished: the runs of the version
            used last.
        failed: Seeds whose run ended without a score.
        missing: Seeds never run, or not to the end.
        num_rechecked: How many of the fresh runs are of older code that gave the same scores.
        metric: Which score is the value; None for the one that a run was selected on.
    """

    cell: Cell
    fresh: dict[int, Record] = field(default_factory=dict)
    stale: dict[int, Record] = field(default_factory=dict)
    failed: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    num_rechecked: int = 0
    metric: str | None = None

    def score(self, record: Record) -> float:
        """The test score that the cell shows, at its own best epoch."""
        if self.metric in (None, record["metric"]):
            return record["test"]
        return record["metrics"][self.metric]["test"]

    @property
    def is_stale(self) -> bool:
        """Whether the value comes from stale runs, as there are no fresh ones."""
        return not self.fresh and bool(self.stale)

    @property
    def used(self) -> list[Record]:
        """The records behind the value: all fresh, or all stale from one version of the code."""
        return list((self.fresh or self.stale).values())

    @property
    def n(self) -> int:
        """Number of runs behind the value."""
        return len(self.used)

    @property
    def mean(self) -> float | None:
        """Mean test score."""
        return mean_and_std([self.score(record) for record in self.used])[0]

    @property
    def std(self) -> float | None:
        """Sample standard deviation (n - 1) of the test scores."""
        return mean_and_std([self.score(record) for record in self.used])[1]

    @property
    def seconds(self) -> float | None:
        """Median seconds per run."""
        known = [r["seconds_total"] for r in self.used if r.get("seconds_total") is not None]
        return statistics.median(known) if known else None

    def verdict(self, reported: Reported | None) -> Verdict | None:
        """Agreement with a reported value of the same protocol; none without runs that count."""
        if reported is None or self.mean is None or self.is_stale or not reported.same_protocol:
            return None
        return verdict(self.mean, self.std, self.n, (reported.mean, reported.std, reported.runs))


def summarise(
    cell: Cell,
    identity: tuple[str, str],
    records: Iterable[Record],
    rechecks: Iterable[Recheck] = (),
) -> Summary:
    """Sort the runs of a cell; later records win, but never over a finished one.

    Args:
        cell: Which cell.
        identity: Its cell_hash and present code_hash.
        records: Any records, oldest first.
        rechecks: Which older sources give the same scores.
    """
    cell_hash, code_hash = identity
    present = equal_sources(cell_hash, code_hash, rechecks)
    own = [r for r in records if r["cell_hash"] == cell_hash and r["seed"] in cell.seeds]
    summary = Summary(cell)
    failed = {}
    old: dict[str, dict[int, Record]] = {}
    for record in own:
        seed = record["seed"]
        scored = record["status"] == "finished" and record["test"] is not None
        if record["code_hash"] in present:
            failed[seed] = record["status"] in ("failed", "finished")
            if scored:
                summary.fresh[seed] = record
        elif scored:
            old.setdefault(record["code_hash"], {})[seed] = record
    summary.failed = [s for s in cell.seeds if failed.get(s) and s not in summary.fresh]
    last_used = max(old.values(), key=_last_start, default={})
    taken = {*summary.fresh, *summary.failed}
    summary.stale = {seed: last_used[seed] for seed in sorted(last_used) if seed not in taken}
    summary.fresh = dict(sorted(summary.fresh.items()))
    summary.num_rechecked = sum(r["code_hash"] != code_hash for r in summary.fresh.values())
    taken |= set(summary.stale)
    summary.missing = [seed for seed in cell.seeds if seed not in taken]
    return summary


def collect(table: Table, identify: Identify, records: Iterable[Record]) -> list[Summary]:
    """Summaries of all cells, in the order of ``table.cells()``.

    Args:
        table: The table.
        identify: Gives the cell_hash and present code_hash of a list of overrides.
        records: Any records, oldest first.

    Raises:
        ValueError: If runs of a cell were scored by another metric than the column shows.
    """
    records, rechecks = list(records), read_rechecks(table.path.parent)
    summaries = [
        summarise(cell, identify(cell.overrides), records, rechecks) for cell in table.cells()
    ]
    for summary in summaries:
        metric = summary.metric = table.column(summary.cell.column).metric
        for record in summary.used:
            if metric not in (record["metric"], *record["metrics"]):
                raise ValueError(
                    f"table {table.name} shows {metric}, but its runs of {summary.cell.row} "
                    f"on {summary.cell.column} are scored by {', '.join(record['metrics'])}"
                )
    return summaries


def missing(table: Table, identify: Identify, records: Iterable[Record]) -> list[tuple[Cell, int]]:
    """Every (cell, seed) without a finished run of the present code: what is left to run."""
    return [
        (summary.cell, seed)
        for summary in collect(table, identify, records)
        for seed in summary.cell.seeds
        if seed not in summary.fresh
    ]


def compare(table: Table, summaries: list[Summary]) -> dict[tuple[str, str, str], Paired]:
    """Each row against each baseline, on each column, over runs with equal seed and split.

    Two baselines are compared once: the later one against the earlier one.

    Returns:
        By (row, baseline, column); stale runs take no part.
    """
    scores = {
        (summary.cell.row, summary.cell.column): {
            (seed, record["split"]["sha256"]): summary.score(record)
            for seed, record in summary.fresh.items()
        }
        for summary in summaries
    }
    return {
        (row.name, baseline, column.name): paired(
            scores[row.name, column.name], scores[baseline, column.name], table.mode
        )
        for baseline in table.baselines
        for row in table.rows
        for column in table.columns
        if row.name not in table.baselines[: table.baselines.index(baseline) + 1]
    }


def published_records(blocks: list[Table]) -> list[dict[str, Any]]:
    """The committed extract beside ``table.yaml``; put it before the records of the store."""
    path = blocks[0].path.parent / "runs.jsonl"
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def extract(blocks: list[Table], identify: Identify, records: Iterable[Record]) -> Path:
    """Write the runs that a table's blocks show to ``runs.jsonl`` beside it, as small sorted lines.

    The old extract is merged with ``records``; runs that belong to no cell any more drop out, and
    so do stale ones that a fresh one replaces.

    Returns:
        The file written.

    Raises:
        ValueError: If the table lies in the installed package, which is never written to.
    """
    folder = blocks[0].path.parent
    if Path(gnnzoo.__file__).resolve().parent in folder.resolve().parents:
        raise ValueError(f"{folder} is part of the installed package; work in a source tree")
    committed = published_records(blocks)
    records = [*committed, *records]
    summaries = [s for table in blocks for s in collect(table, identify, records)]
    kept = [r for s in summaries for r in (*s.fresh.values(), *s.stale.values())]
    # A cell may stand in two blocks; its runs are written once.
    runs = {(r["cell_hash"], r["seed"], r["code_hash"]): compact(r) for r in kept}
    lost = {(r["cell_hash"], r["seed"]) for r in committed} - {key[:2] for key in runs}
    if lost:
        warnings.warn(
            f"{len(lost)} committed runs belong to no cell of {folder / 'table.yaml'} any more and "
            "are left out",
            stacklevel=2,
        )
    lines = [json.dumps(run, sort_keys=True, allow_nan=False) for _, run in sorted(runs.items())]
    write_text(folder / "runs.jsonl", "".join(f"{line}\n" for line in lines))
    return folder / "runs.jsonl"


def _last_start(runs: Mapping[int, Record]) -> str:
    return max(record.get("started") or "" for record in runs.values())
