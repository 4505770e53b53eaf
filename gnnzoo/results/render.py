"""A table as text: Markdown for files, rich for the terminal, CSV for other programs."""

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gnnzoo.results import wording
from gnnzoo.results.summary import Summary, compare
from gnnzoo.results.table import Table

if TYPE_CHECKING:
    from rich.console import Group

_CSV_COLUMNS = [
    "method", "column", "metric", "reported_mean", "reported_std", "reported_runs",
    "reported_status", "reported_protocol", "reported_source", "mean", "std", "runs",
    "value_is_stale", "num_stale", "num_failed", "num_missing", "verdict", "difference",
    "standard_errors", "seconds_per_run",
]  # fmt: skip
_SHOWN_VERSIONS = ("gnnzoo", "python", "torch", "torch-geometric")


@dataclass
class _Grid:
    caption: str
    header: list[str]
    rows: list[list[str]]


def to_markdown(table: Table, summaries: list[Summary]) -> str:
    """The whole table as GitHub Markdown; comparisons, settings and sources unfold on a click."""
    rest = [_markdown(grid) for grid in _further_grids(table, summaries)]
    rest.append("\n".join(f"- **{label}**: {text}" for label, text in _footer(table, summaries)))
    return "\n\n".join([
        _markdown(_values_wide(table, summaries)),
        f"<details>\n<summary>{_summary(table)}</summary>",
        *rest,
        "</details>\n",
    ])  # fmt: skip


def _markdown(grid: _Grid) -> str:
    lines = [grid.header, ["---"] * len(grid.header), *grid.rows]
    text = "\n".join("| " + " | ".join(_escaped(c) for c in line) + " |" for line in lines)
    return f"**{grid.caption}**\n\n{text}"


def _summary(table: Table) -> str:
    compared = f"Every row paired against {', '.join(table.baselines)}; " * bool(table.baselines)
    return f"{compared}settings, protocol, sources and notes"


def to_rich(table: Table, summaries: list[Summary]) -> "Group":
    """The same for ``rich.print``."""
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    parts = []
    for grid in [_values_long(table, summaries), *_further_grids(table, summaries)]:
        shown = RichTable(title=Text(grid.caption, style="bold"), title_justify="left")
        for number, title in enumerate(grid.header):
            shown.add_column(Text(title), style="bold" if number == 0 else "", overflow="fold")
        for row in grid.rows:
            shown.add_row(*(Text(cell.replace("`", "")) for cell in row))
        parts += [shown, Text()]
    for label, text in _footer(table, summaries):
        parts.append(Text.assemble((f"{label}: ", "bold"), text.replace("`", "")))
    return Group(*parts)


def to_csv(table: Table, summaries: list[Summary]) -> str:
    """One line per cell, in fractions and seconds, with counts of runs of each kind."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for summary in summaries:
        cell = summary.cell
        reported = table.row(cell.row).reported.get(cell.column)
        line = {"method": cell.row, "column": cell.column}
        line |= {"metric": table.column(cell.column).metric}
        if reported is not None:
            line |= {"reported_mean": reported.mean, "reported_std": reported.std}
            line |= {"reported_runs": reported.runs, "reported_source": reported.source}
            line |= {"reported_status": "verified" if reported.verified else "memory"}
            line |= {"reported_protocol": "same" if reported.same_protocol else "other"}
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
            f"the text needs '<!-- table:{name} -->' once, closed by '<!-- /table -->'"
        )
    new = f"<!-- table:{name} -->\n\n{block.strip()}\n\n<!-- /table -->"
    return text.replace(found[0], new)


def _values_wide(table: Table, summaries: list[Summary]) -> _Grid:
    """One line per method, three columns per data set."""
    header = ["method"]
    for column in table.columns:
        header += _shown(
            table, [f"{column.title}, reported", f"{column.title}, ours (runs)", "reproduction"]
        )
    rows = [[row.name] for row in table.rows]
    for number, texts in enumerate(_cell_texts(table, summaries)):
        rows[number // len(table.columns)] += _shown(table, texts)
    return _Grid(_caption(table), header, rows)


def _values_long(table: Table, summaries: list[Summary]) -> _Grid:
    """One line per cell, which fits a terminal whatever the number of data sets."""
    titles = _titles(table)
    rows = [
        [summary.cell.row, titles[summary.cell.column], *_shown(table, texts)]
        for summary, texts in zip(summaries, _cell_texts(table, summaries), strict=True)
    ]
    header = ["method", "data", *_shown(table, ["reported", "ours (runs)", "reproduction"])]
    return _Grid(_caption(table), header, rows)


def _shown(table: Table, texts: list[str]) -> list[str]:
    """Reported value, ours and verdict; ours alone in a table where nothing was reported."""
    return texts if any(row.reported for row in table.rows) else texts[1:2]


def _cell_texts(table: Table, summaries: list[Summary]) -> list[list[str]]:
    sources, notes = wording.sources(table), [place for place, _ in _notes(table)]
    texts = []
    for summary in summaries:
        place = (summary.cell.row, summary.cell.column)
        reported = table.row(place[0]).reported.get(place[1])
        note = f", note {notes.index(place) + 1}" if place in notes else ""
        texts.append([
            wording.reported_text(table, reported, sources),
            wording.ours_text(table, summary) + note,
            wording.verdict_text(table, summary, reported),
        ])  # fmt: skip
    return texts


def _further_grids(table: Table, summaries: list[Summary]) -> list[_Grid]:
    grids = [_comparisons(table, summaries)] if table.baselines else []
    return [*grids, _settings(table, summaries)]


def _comparisons(table: Table, summaries: list[Summary]) -> _Grid:
    found = compare(table, summaries)
    pairs = list(dict.fromkeys((row, baseline) for row, baseline, _ in found))
    rows = []
    for row, baseline in pairs:
        cells = [found[row, baseline, column.name] for column in table.columns]
        texts = [wording.paired_text(table, cell) for cell in cells]
        rows.append([f"{row} against {baseline}", *texts])
    caption = "Paired over seeds: mean difference and its 95 % confidence interval"
    return _Grid(caption, ["", *(column.title for column in table.columns)], rows)


def _settings(table: Table, summaries: list[Summary]) -> _Grid:
    rows = []
    for row in table.rows:
        own = [summary for summary in summaries if summary.cell.row == row.name]
        overrides = " ".join(f"`{override}`" for override in row.overrides)
        rows.append([row.name, overrides, *(wording.recipe_text(summary) for summary in own)])
    header = ["method", "settings", *(column.title for column in table.columns)]
    return _Grid("Settings, recipe file and median seconds per run", header, rows)


def _footer(table: Table, summaries: list[Summary]) -> list[tuple[str, str]]:
    lines = [("Protocol", table.protocol)]
    if any(row.reported for row in table.rows):
        lines.append((
            "Reproduction",
            "holds when ours and the reported mean differ by no more than two combined standard "
            "errors (s.e.); undecided when that depends on a number of runs the source does not "
            "state, or ours are fewer than three; unverified marks a reported value quoted from "
            "memory. Differences are ours "
            f"minus reported{', in points' if table.unit == 'percent' else ''}.",
        ))  # fmt: skip
    if not all(cell.same_protocol for row in table.rows for cell in row.reported.values()):
        text = "such values were measured in another way; ours are not held against them."
        lines.append(("Other protocol", text))
    lines += [(f"[{i}]", text) for i, text in enumerate(wording.sources(table), start=1)]
    lines += [
        (f"Note {i}", f"{row} on {_titles(table)[column]}: {text}")
        for i, ((row, column), text) in enumerate(_notes(table), start=1)
    ]
    lines += _circumstances(summaries)
    if count := sum(summary.num_rechecked for summary in summaries):
        lines.append((
            "Rechecked",
            f"{count} runs are of earlier sources; one seed of each of their cells was run again "
            "with the present ones and gave the same scores to the last digit.",
        ))  # fmt: skip
    if any(summary.stale for summary in summaries):
        lines.append(("Stale", "measured with another version of the sources that take part."))
    lines += [
        ("Seeds", _seeds(table)),
        ("Command", f"`gnnzoo table {table.name} --fill`"),
    ]
    return lines


def _seeds(table: Table) -> str:
    """Seeds of the table, and of the columns that have others."""
    own = [column for column in table.columns if column.seeds != table.seeds]
    texts = [f"{column.title}: {wording.seeds_text(column.seeds)}" for column in own]
    if len(own) < len(table.columns):
        texts.insert(0, wording.seeds_text(table.seeds))
    return "; ".join(texts)


def _circumstances(summaries: list[Summary]) -> list[tuple[str, str]]:
    used = [record for summary in summaries for record in summary.used]
    if not used:
        return []
    devices = wording.distinct(record.get("device") for record in used)
    if not any(word in devices.lower() for word in ("cuda", "nvidia", "gpu")):
        devices += " (GPU: not run)"
    threads = wording.distinct(record.get("threads") for record in used)
    versions = [
        f"{name} {wording.distinct((record.get('versions') or {}).get(name) for record in used)}"
        for name in _SHOWN_VERSIONS
    ]
    commits = wording.distinct(wording.short_commit(record.get("commit")) for record in used)
    return [
        ("Device", f"{devices}; threads per run: {threads}"),
        ("Versions", ", ".join(versions)),
        ("Commit", commits),
    ]


def _caption(table: Table) -> str:
    unit = " in percent" if table.unit == "percent" else ""
    metrics = {column.title: column.metric for column in table.columns}
    others = [f"{title}: {metric}" for title, metric in metrics.items() if metric != table.metric]
    other = f" ({', '.join(others)})" if others else ""
    return f"{table.title}: test {table.metric}{unit}{other}"


def _titles(table: Table) -> dict[str, str]:
    return {column.name: column.title for column in table.columns}


def _notes(table: Table) -> list[tuple[tuple[str, str], str]]:
    return [((row.name, column), text) for row in table.rows for column, text in row.notes.items()]


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
