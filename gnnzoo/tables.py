"""Fill, render and keep a published table."""

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from gnnzoo.config import MissingRecipe, compose
from gnnzoo.executor import execute
from gnnzoo.files import write_text
from gnnzoo.identity import Identity
from gnnzoo.paths import runs_root, shared_root
from gnnzoo.results import (
    Recheck,
    RunStore,
    Summary,
    Table,
    add_rechecks,
    collect,
    extract,
    missing,
    plot_comparison,
    published_records,
    read_curve_csv,
    same_scores,
    to_csv,
    to_markdown,
    update_between_markers,
)
from gnnzoo.table_plots import draw_homophily

Identify = Callable[[list[str]], tuple[str, str]]

UNSEARCHED = ("no recipe yet", "no recipe yet")  # the identity of a cell that waits for a search


def identifier() -> Identify:
    """Gives settings hash and sources hash of a cell's overrides; composes each cell once.

    A cell whose recipe does not exist yet is `UNSEARCHED`, and so without runs.
    """

    @cache
    def of(overrides: tuple[str, ...]) -> tuple[str, str]:
        try:
            identity = Identity.of(compose(overrides))
        except MissingRecipe:
            return UNSEARCHED
        return identity.cell_hash, identity.code_hash

    return lambda overrides: of(tuple(overrides))


def only(blocks: list[Table], pattern: str) -> list[Table]:
    """The rows and columns that ``ROW/COLUMN`` names, each with shell wildcards.

    Raises:
        ValueError: If no cell is named.
    """
    row, _, column = pattern.rpartition("/")
    chosen = []
    for table in blocks:
        rows = [own for own in table.rows if fnmatchcase(own.name, row or "*")]
        columns = [own for own in table.columns if fnmatchcase(own.name, column)]
        names = [own.name for own in rows]
        baselines = [name for name in table.baselines if name in names]
        if rows and columns:
            chosen.append(replace(table, rows=rows, columns=columns, baselines=baselines))
    if not chosen:
        names = {own.name: None for table in blocks for own in [*table.rows, *table.columns]}
        raise ValueError(f"--only {pattern!r} names no cell; rows and columns: {', '.join(names)}")
    return chosen


def known_records(blocks: list[Table]) -> list[dict[str, Any]]:
    """The committed records of a table and then those of the run store."""
    return [*published_records(blocks), *RunStore(runs_root()).records()]


def fill(blocks: list[Table], identify: Identify, num_jobs: int) -> list[str]:
    """Run every (cell, seed) that has no finished record; returns a line per failure.

    Jobs run side by side with one torch thread each. Every finished run is stored at once, so a
    killed call goes on where it was.

    Raises:
        ValueError: If ``num_jobs`` is less than 1.
    """
    from joblib import Parallel, delayed
    from rich.console import Console
    from rich.progress import track

    from gnnzoo.workers import end_with_this_process

    if num_jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {num_jobs}")
    records = known_records(blocks)
    places = [place for table in blocks for place in missing(table, identify, records)]
    cells = {(*identify(cell.overrides), seed): (cell, seed) for cell, seed in places}
    waiting = [place for identity, place in cells.items() if identity[:2] != UNSEARCHED]
    unsearched = {
        f"{c.row} on {c.column}" for c, _ in places if identify(c.overrides) == UNSEARCHED
    }
    if unsearched:
        print(f"no recipe yet, --tune searches: {', '.join(sorted(unsearched))}", file=sys.stderr)
    if not waiting:
        print(
            "every other cell is filled" if unsearched else "every cell is filled", file=sys.stderr
        )
        return []
    end_with_this_process()
    parallel = Parallel(n_jobs=num_jobs, backend="loky", return_as="generator_unordered")
    results = parallel(delayed(_run_cell)(cell.overrides, seed) for cell, seed in waiting)
    console = Console(stderr=True)
    done = track(results, f"filling {blocks[0].name}", len(waiting), console=console)
    return [failure for failure in done if failure]


def recheck(blocks: list[Table], identify: Identify, num_jobs: int) -> list[str]:
    """Run one seed of every stale cell again; where scores are the same, its other runs count.

    Returns:
        A line for each cell whose scores differ or whose run failed: ``fill`` runs it anew.
    """
    from joblib import Parallel, delayed
    from rich.console import Console
    from rich.progress import track

    from gnnzoo.workers import end_with_this_process

    records = known_records(blocks)
    summaries = [s for table in blocks for s in collect(table, identify, records) if s.stale]
    # A cell may stand in two columns, with another metric, or in two blocks; it is run once.
    cells = {identify(summary.cell.overrides): summary for summary in summaries}
    chosen = [(summary, min(summary.stale)) for summary in cells.values()]
    end_with_this_process()
    parallel = Parallel(n_jobs=num_jobs, backend="loky", return_as="generator")
    runs = parallel(delayed(_run_cell)(summary.cell.overrides, seed) for summary, seed in chosen)
    console = Console(stderr=True)
    errors = list(track(runs, f"rechecking {blocks[0].name}", len(chosen), console=console))
    found, lines = [], []
    for (summary, seed), error in zip(chosen, errors, strict=True):
        cell_hash, code_hash = identify(summary.cell.overrides)
        old, where = summary.stale[seed], f"{summary.cell.row} on {summary.cell.column}"
        new = RunStore(runs_root()).find(cell_hash, seed, code_hash)
        if error or not new:
            lines.append(error or f"{where}: no record of its run")
        elif same_scores(old, new[0]):
            # Every version whose run of the seed was the same: a recheck may have been cut off.
            versions = {
                r["code_hash"]
                for r in records
                if (r["cell_hash"], r["seed"]) == (cell_hash, seed) and same_scores(r, new[0])
            }
            found += [Recheck(cell_hash, seed, v, code_hash) for v in versions - {code_hash}]
        else:
            lines.append(f"{where}, seed {seed}: {old['test']} became {new[0]['test']}")
    add_rechecks(blocks[0].path.parent, found)
    return lines


def _run_cell(overrides: list[str], seed: int) -> str | None:
    overrides = [*overrides, f"seed={seed}", "threads=1", "progress=none"]
    try:
        execute(compose(overrides), in_sweep=True)
    except Exception as error:
        return f"{' '.join(overrides)}: {type(error).__name__}: {error}"
    return None


def default_jobs() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def refuse_installed(blocks: list[Table]) -> None:
    """Raise a ``ValueError`` if the table lies in the installed package, never to be written to."""
    path = blocks[0].path
    if shared_root().name == "_share" and shared_root() in path.parents:
        raise ValueError(f"{path} is part of the installed package; --keep needs a checkout")


def keep(blocks: list[Table], identify: Identify) -> None:
    """Commit to the numbers: records go beside ``table.yaml``, the table into the READMEs."""
    extract(blocks, identify, known_records(blocks))
    records = published_records(blocks)
    text = markdown(blocks, identify, records)
    name, folder = blocks[0].name, blocks[0].path.parent
    draw_homophily(blocks, [collect(t, identify, records) for t in blocks], folder)
    for page in (folder / "README.md", folder.parents[1] / "README.md"):
        marker = f"<!-- table:{name} -->"
        if page.is_file() and marker in (old := page.read_text(encoding="utf-8")):
            write_text(page, update_between_markers(old, name, text))


def markdown(blocks: list[Table], identify: Identify, records: list[dict[str, Any]]) -> str:
    """All blocks as Markdown, one below the other."""
    return "\n".join(to_markdown(table, collect(table, identify, records)) for table in blocks)


def write_files(blocks: list[Table], summaries: list[list[Summary]]) -> list[Path]:
    """Write the table as Markdown and CSV and draw its mean curves, under the runs folder."""
    written = []
    for number, (table, own) in enumerate(zip(blocks, summaries, strict=True), start=1):
        end = f"_{number}" if len(blocks) > 1 else ""
        folder = runs_root() / "tables" / table.name
        write_text(folder / f"table{end}.md", to_markdown(table, own))
        write_text(folder / f"table{end}.csv", to_csv(table, own))
        written += [folder / f"table{end}.md", folder / f"table{end}.csv"]
        written += _draw_curves(table, own, folder, end)
    return [*written, *draw_homophily(blocks, summaries, runs_root() / "tables" / blocks[0].name)]


def _draw_curves(table: Table, summaries: list[Summary], folder: Path, end: str) -> Iterable[Path]:
    for column in table.columns:
        own = [summary for summary in summaries if summary.cell.column == column.name]
        curves = {summary.cell.row: list(_curves(summary)) for summary in own}
        curves = {name: runs for name, runs in curves.items() if runs}
        if curves:
            path = folder / f"curves_{column.name}{end}.png"
            plot_comparison(
                curves,
                path,
                title=column.title,
                column=f"val_{column.metric}",
                label=f"validation {column.metric}",
                in_percent=table.unit == "percent",
            )
            yield path


def _curves(summary: Summary) -> Iterable[list[dict[str, float | None]]]:
    """Curves of the runs that lie under the runs folder; committed records have none."""
    for record in summary.used:
        path = runs_root() / record.get("run_dir", "") / "curve.csv"
        if "run_dir" in record and path.is_file():
            yield read_curve_csv(path)
