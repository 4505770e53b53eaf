"""Rows of a benchmark, as a table for people and as CSV for programs."""

import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from gnnzoo.bench.harness import Result
from gnnzoo.files import write_text

COLUMNS = [
    *("benchmark", "case", "what", "contestant", "median_ms", "ratio", "ratio_low", "ratio_high"),
    *("rounds", "peak_extra_mib", "memory_ratio", "time_goal", "time_goal_state"),
    *("memory_goal", "memory_goal_state", "note", "device", "threads", "torch"),
]


@dataclass(frozen=True)
class Row:
    """One contestant in one case, or the reason why nothing was run.

    Attributes:
        case: The graph or size.
        what: The work that was timed.
        result: What was measured, or None.
        note: With no result: what was not run and why.
    """

    case: str
    what: str = ""
    result: Result | None = None
    note: str = ""


def rows(case: str, what: str, results: Sequence[Result]) -> list[Row]:
    """One row per contestant of a race."""
    return [Row(case, what, result) for result in results]


def place(device: torch.device) -> str:
    """The device in words: "CPU, 2 threads" or the name of the GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type.upper()}, {threads} thread{'s' if threads > 1 else ''}"


def print_table(name: str, found: Sequence[Row], device: torch.device) -> None:
    """Show rows on standard output, the reference first in each block."""
    table = Table(title=f"{name}, on {place(device)}", title_justify="left")
    for column in ("case", "what", "contestant"):
        table.add_column(column)
    for column in ("median ms", "ratio to reference (quartiles)", "peak extra MiB"):
        table.add_column(column, justify="right")
    table.add_column("goal")
    before = None
    for row in found:
        if before is not None and (row.case, row.what) != before:
            table.add_section()
        new, before = (row.case, row.what) != before, (row.case, row.what)
        table.add_row(*(before if new else ("", "")), *_cells(row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _cells(row: Row) -> list[str]:
    result = row.result
    if result is None:
        return [row.note, "", "", "", ""]
    ratio = f"{result.ratio:.3f} ({result.ratio_low:.3f}..{result.ratio_high:.3f})"
    peak = "not measured" if result.peak_mib is None else f"{result.peak_mib:.1f}"
    goals = []
    if (limit := result.contestant.time_goal) is not None:
        goals.append(f"time at most {limit:.3g}: {_state(result.ratio, limit)}")
    if (limit := result.contestant.memory_goal) is not None:
        shown = "" if result.memory_ratio is None else f" ({result.memory_ratio:.2f})"
        goals.append(f"memory at most {limit:.3g}: {_state(result.memory_ratio, limit)}{shown}")
    return [
        result.contestant.name,
        f"{1e3 * result.seconds:.3f}",
        ratio,
        peak,
        "\n".join(goals),
    ]


def _state(value: float | None, limit: float | None) -> str:
    if limit is None:
        return ""
    if value is None:
        return "not measured"
    return "met" if value <= limit else "missed"


def write_csv(folder: Path, name: str, found: Sequence[Row], device: torch.device) -> Path:
    """Write ``<folder>/<name>.csv``, one line per row; returns the path."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    for row in found:
        writer.writerow(_record(name, row, device))
    path = folder / f"{name}.csv"
    write_text(path, text.getvalue())
    return path


def _record(name: str, row: Row, device: torch.device) -> dict[str, object]:
    gpu = device.type == "cuda"
    record: dict[str, object] = {
        "benchmark": name,
        "case": row.case,
        "what": row.what,
        "note": row.note,
        "device": torch.cuda.get_device_name(device) if gpu else device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    if (result := row.result) is None:
        return record
    contestant = result.contestant
    record |= {
        "contestant": contestant.name,
        "median_ms": f"{1e3 * result.seconds:.6g}",
        "ratio": f"{result.ratio:.6g}",
        "ratio_low": f"{result.ratio_low:.6g}",
        "ratio_high": f"{result.ratio_high:.6g}",
        "rounds": result.rounds,
        "time_goal": _number(contestant.time_goal),
        "time_goal_state": _state(result.ratio, contestant.time_goal),
        "peak_extra_mib": _number(result.peak_mib),
        "memory_ratio": _number(result.memory_ratio),
        "memory_goal": _number(contestant.memory_goal),
        "memory_goal_state": _state(result.memory_ratio, contestant.memory_goal),
    }
    return record


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
