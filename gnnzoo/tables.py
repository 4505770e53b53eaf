"""Fill, render and keep a published table."""

import os
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from gnnzoo.config import compose
from gnnzoo.executor import execute
from gnnzoo.files import write_text
from gnnzoo.identity import Identity
from gnnzoo.paths import runs_root, shared_root
from gnnzoo.results import (
    RunStore,
    Summary,
    Table,
    collect,
    extract,
    missing,
    plot_comparison,
    published_records,
    read_curve_csv,
    to_csv,
    to_markdown,
    update_between_markers,
)

Identify = Callable[[list[str]], tuple[str, str]]


def identifier() -> Identify:
    """Gives settings hash and sources hash of a cell's overrides; composes each cell once."""

    @cache
    def of(overrides: tuple[str, ...]) -> tuple[str, str]:
        identity = Identity.of(compose(overrides))
        return identity.cell_hash, identity.code_hash

    return lambda overrides: of(tuple(overrides))


def known_records(table: Table) -> list[dict[str, Any]]:
    """The committed records of a table and then those of the run store."""
    return [*published_records(table), *RunStore(runs_root()).records()]


def fill(table: Table, identify: Identify, num_jobs: int) -> list[str]:
    """Run every (cell, seed) that has no finished record; returns a line per failure.

    Jobs run side by side with one torch thread each. Every finished run is stored at once, so a
    killed call goes on where it was.

    Raises:
        ValueError: If ``num_jobs`` is less than 1.
    """
    from joblib import Parallel, delayed
    from rich.console import Console
    from rich.progress import track

    if num_jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {num_jobs}")
    waiting = missing(table, identify, known_records(table))
    if not waiting:
        print("every cell is filled", file=sys.stderr)
        return []
    parallel = Parallel(n_jobs=num_jobs, backend="loky", return_as="generator_unordered")
    results = parallel(delayed(_run_cell)(cell.overrides, seed) for cell, seed in waiting)
    console = Console(stderr=True)
    done = track(results, f"filling {table.name}", len(waiting), console=console)
    return [failure for failure in done if failure]


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


def refuse_installed(table: Table) -> None:
    """Raise a ``ValueError`` if the table lies in the installed package, never to be written to."""
    if shared_root().name == "_share" and shared_root() in table.path.parents:
        raise ValueError(f"{table.path} is part of the installed package; --keep needs a checkout")


def keep(table: Table, identify: Identify) -> None:
    """Commit to the numbers: records go beside ``table.yaml``, the table into the READMEs."""
    extract(table, identify, known_records(table))
    block = to_markdown(table, collect(table, identify, published_records(table)))
    for page in (table.path.parent / "README.md", table.path.parents[2] / "README.md"):
        marker = f"<!-- table:{table.name} -->"
        if page.is_file() and marker in (text := page.read_text(encoding="utf-8")):
            write_text(page, update_between_markers(text, table.name, block))


def write_files(table: Table, summaries: list[Summary]) -> list[Path]:
    """Write the table as Markdown and CSV and draw its mean curves, under the runs folder."""
    folder = runs_root() / "tables" / table.name
    write_text(folder / "table.md", to_markdown(table, summaries))
    write_text(folder / "table.csv", to_csv(table, summaries))
    written = [folder / "table.md", folder / "table.csv"]
    for column in table.columns:
        own = [summary for summary in summaries if summary.cell.column == column.name]
        curves = {summary.cell.row: list(_curves(summary)) for summary in own}
        curves = {name: runs for name, runs in curves.items() if runs}
        if curves:
            path = folder / f"curves_{column.name}.png"
            plot_comparison(
                curves,
                path,
                title=column.title,
                column=f"val_{table.metric}",
                label=f"validation {table.metric}",
                in_percent=table.unit == "percent",
            )
            written.append(path)
    return written


def _curves(summary: Summary) -> Iterable[list[dict[str, float | None]]]:
    """Curves of the runs that lie under the runs folder; committed records have none."""
    for record in summary.used:
        path = runs_root() / record.get("run_dir", "") / "curve.csv"
        if "run_dir" in record and path.is_file():
            yield read_curve_csv(path)
