"""A table as text: Markdown for files, rich for the terminal, CSV for other programs."""

import csv
import io
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gnnzoo.results.statistics import Paired, Verdict
from gnnzoo.results.summary import Summary, compare
from gnnzoo.results.table import Reported, Table

if TYPE_CHECKING:
    from rich.console import Group

_SHOWN_VERSIONS = ("gnnzoo", "python", "torch", "torch-geometric")


@dataclass
class _Grid:
    caption: str
    header: list[str]
    rows: list[list[str]]


def to_markdown(table: Table, summaries: list[Summary]) -> str:
    """The whole table with its comparisons, sources and settings, as GitHub Markdown."""
    blocks = []
    for grid in _grids(table, summaries):
        lines = [grid.header, ["---"] * len(grid.header), *grid.rows]
        text = "\n".join("| " + " | ".join(_escaped(c) for c in line) + " |" for line in lines)
        blocks.append(f"**{grid.caption}**\n\n{text}")
    blocks.append("\n".join(f"- {label}: {text}" for label, text in _footer(table, summaries)))
    return "\n\n".join(blocks) + "\n"


def to_rich(table: Table, summaries: list[Summary]) -> "Group":
    """The same for ``rich.print``."""
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    parts = []
    for grid in _grids(table, summaries):
        shown = RichTable(title=Text(grid.caption, style="bold"), title_justify="left")
        for number, title in enumerate(grid.header):
            shown.add_column(Text(title), style="bold" if number == 0 else "")
        for row in grid.rows:
            shown.add_row(*(Text(cell) for cell in row))
        parts += [shown, Text()]
    for label, text in _footer(table, summaries):
        parts.append(Text.assemble((f"{label}: ", "bold"), text.replace("`", "")))
    return Group(*parts)


def to_csv(table: Table, summaries: list[Summary]) -> str:
    """One line per cell, in fractions and seconds, with counts of runs of each kind."""
    stream = io.StringIO()
    header = (
        "method,column,metric,reported_mean,reported_std,reported_runs,reported_status,"
        "reported_source,mean,std,runs,value_is_stale,num_stale,num_failed,num_missing,"
        "verdict,difference,standard_errors,seconds_per_run"
    ).split(",")
    writer = csv.DictWriter(stream, header, lineterminator="\n")
    writer.writeheader()
    for summary in summaries:
        cell = summary.cell
        reported = table.row(cell.row).reported.get(cell.column)
        line = {"method": cell.row, "column": cell.column, "metric": table.metric}
        if reported is not None:
            line |= {"reported_mean": reported.mean, "reported_std": reported.std}
            line |= {"reported_runs": reported.runs, "reported_source": reported.source}
            line |= {"reported_status": "verified" if reported.verified else "memory"}
        line |= {"mean": summary.mean, "std": summary.std, "runs": summary.n}
        line |= {"value_is_stale": int(summary.is_stale), "num_stale": len(summary.stale)}
        line |= {"num_failed": len(summary.failed), "num_missing": len(summary.missing)}
        line |= {"seconds_per_run": summary.seconds}
        if found := summary.verdict(reported):
            line |= {"verdict": found.word, "difference": found.difference}
            line |= {"standard_errors": found.errors}
        writer.writerow(line)
    return stream.getvalue()


def update_between_markers(text: str, name: str, block: str) -> str:
    """Replace what stands between ``<!-- table:name -->`` and the next ``<!-- /table -->``.

    Raises:
        ValueError: If the two markers are not there, in this order, exactly once.
    """
    start = re.escape(f"<!-- table:{name} -->")
    found = re.findall(rf"{start}.*?<!-- /table -->", text, flags=re.DOTALL)
    if len(found) != 1 or "<!-- table:" in found[0][1:]:
        raise ValueError(
            f"expected '<!-- table:{name} -->' followed by '<!-- /table -->' once, "
            f"found {len(found)} times"
        )
    new = f"<!-- table:{name} -->\n\n{block.strip()}\n\n<!-- /table -->"
    return text.replace(found[0], new)


def _grids(table: Table, summaries: list[Summary]) -> list[_Grid]:
    grids = [_values(table, summaries)]
    if table.baselines:
        grids.append(_comparisons(table, summaries))
    return grids


def _values(table: Table, summaries: list[Summary]) -> _Grid:
    sources, notes = _sources(table), [key for key, _ in _notes(table)]
    by_place = {(s.cell.row, s.cell.column): s for s in summaries}
    header = ["method"]
    for column in table.columns:
        header += [f"{column.title}, reported", "ours (runs)", "reproduction"]
    rows = []
    for row in table.rows:
        line = [row.name]
        for column in table.columns:
            summary = by_place[row.name, column.name]
            reported = row.reported.get(column.name)
            place = (row.name, column.name)
            note = f" [{notes.index(place) + 1}]" if place in notes else ""
            line.append(_reported_text(table, reported, sources))
            line.append(_ours_text(table, summary) + note)
            line.append(_verdict_text(table, summary, reported))
        rows.append(line)
    unit = " in percent" if table.unit == "percent" else ""
    return _Grid(f"{table.title}: test {table.metric}{unit}", header, rows)


def _comparisons(table: Table, summaries: list[Summary]) -> _Grid:
    found = compare(table, summaries)
    pairs = list(dict.fromkeys((row, baseline) for row, baseline, _ in found))
    rows = [
        [f"{row} against {baseline}"]
        + [_paired_text(table, found[row, baseline, column.name]) for column in table.columns]
        for row, baseline in pairs
    ]
    caption = "Paired over seeds: mean difference and its 95 % confidence interval"
    return _Grid(caption, ["", *(column.title for column in table.columns)], rows)


def _reported_text(table: Table, reported: Reported | None, sources: list[str]) -> str:
    if reported is None:
        return ""
    mark = chr(ord("a") + sources.index(reported.source))
    spread = "" if reported.std is None else f" ± {_as_published(table, reported.std)}"
    unverified = "" if reported.verified else ", unverified"
    return f"{_as_published(table, reported.mean)}{spread} [{mark}{unverified}]"


def _ours_text(table: Table, summary: Summary) -> str:
    counts = [f"{len(summary.failed)} failed"] if summary.failed else []
    if summary.mean is None:
        return ", ".join(["not run", *counts])
    wanted = len(summary.cell.seeds)
    runs = str(summary.n) if summary.n == wanted else f"{summary.n} of {wanted}"
    if summary.is_stale:
        counts.insert(0, "stale")
    elif summary.stale:
        counts.insert(0, f"{len(summary.stale)} stale left out")
    spread = "" if summary.std is None else f" ± {_shown(table, summary.std)}"
    return f"{_shown(table, summary.mean)}{spread} ({', '.join([runs, *counts])})"


def _verdict_text(table: Table, summary: Summary, reported: Reported | None) -> str:
    found: Verdict | None = summary.verdict(reported)
    if found is None or reported is None:
        return "stale" if summary.is_stale and reported else ""
    text = f"{found.word}, {_signed(table, found.difference)}"
    if found.errors is not None and math.isfinite(found.errors):
        text += f" ({'≥ ' if found.at_least else ''}{found.errors:.1f} s.e.)"
    return text if reported.verified else f"{text}, unverified"


def _paired_text(table: Table, found: Paired) -> str:
    if found.mean is None or found.low is None or found.high is None:
        return found.word
    interval = f"[{_signed(table, found.low)}, {_signed(table, found.high)}]"
    return f"{found.word}, {_signed(table, found.mean)} {interval}, {found.n} pairs"


def _footer(table: Table, summaries: list[Summary]) -> list[tuple[str, str]]:
    lines = [("Protocol", table.protocol)]
    if any(row.reported for row in table.rows):
        lines.append((
            "Reproduction",
            "holds when ours and the reported mean differ by no more than two combined standard "
            "errors (s.e.); undecided when that depends on a number of runs the source does not "
            "state; unverified marks a reported value quoted from memory.",
        ))  # fmt: skip
    lines += [(f"[{chr(ord('a') + i)}]", source) for i, source in enumerate(_sources(table))]
    lines += [
        (f"[{i}]", f"{row} on {column}: {text}")
        for i, ((row, column), text) in enumerate(_notes(table), start=1)
    ]
    lines += _settings(table, summaries)
    lines.append(("Command", f"`gnnzoo table {table.name} --fill`"))
    return lines


def _settings(table: Table, summaries: list[Summary]) -> list[tuple[str, str]]:
    used = [record for summary in summaries for record in summary.used]
    if not used:
        return []
    devices = _distinct(record.get("device") for record in used)
    if not any(word in devices.lower() for word in ("cuda", "nvidia", "gpu")):
        devices += " (GPU: not run)"
    recipes = [
        f"{summary.cell.row} on {summary.cell.column} "
        + _distinct(record.get("tuned") or "untuned defaults" for record in summary.used)
        for summary in summaries
        if summary.used
    ]
    seconds = [
        f"{summary.cell.row} on {summary.cell.column} {summary.seconds:.3g} s"
        for summary in summaries
        if summary.seconds is not None
    ]
    versions = [
        f"{name} {_distinct((record.get('versions') or {}).get(name) for record in used)}"
        for name in _SHOWN_VERSIONS
    ]
    return [
        ("Recipes", "; ".join(recipes)),
        ("Median time per run", "; ".join(seconds) or "unknown"),
        ("Device", f"{devices}; threads per run: {_distinct(r.get('threads') for r in used)}"),
        ("Versions", ", ".join(versions)),
        ("Commit", _distinct(_short(record.get("commit")) for record in used)),
    ]


def _sources(table: Table) -> list[str]:
    found = (reported.source for row in table.rows for reported in row.reported.values())
    return list(dict.fromkeys(found))


def _notes(table: Table) -> list[tuple[tuple[str, str], str]]:
    return [((row.name, column), text) for row in table.rows for column, text in row.notes.items()]


def _shown(table: Table, value: float) -> str:
    return f"{100 * value:.2f}" if table.unit == "percent" else f"{value:.4g}"


def _as_published(table: Table, value: float) -> str:
    if table.unit == "percent":
        return f"{100 * value:.1f}" if round(value, 3) == round(value, 4) else f"{100 * value:.2f}"
    return f"{value:g}"


def _signed(table: Table, value: float) -> str:
    text = _shown(table, abs(value))
    if float(text) == 0:
        return text
    return ("+" if value > 0 else "−") + text


def _short(commit: str | None) -> str:
    if commit is None:
        return "none (installed package)"
    name, _, dirty = commit.partition("-")
    return name[:12] + (f"-{dirty}" if dirty else "")


def _distinct(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys("unknown" if value is None else str(value) for value in values))


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
