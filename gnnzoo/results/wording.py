"""How the values of a table are worded: percent, spread, counts of runs, verdicts."""

import math
from collections.abc import Iterable

from gnnzoo.results.statistics import Paired, Verdict
from gnnzoo.results.summary import Summary
from gnnzoo.results.table import Reported, Table

_MINUS = "\N{MINUS SIGN}"


def reported_text(table: Table, reported: Reported | None, sources: list[str]) -> str:
    """The value of the literature with the number of its source."""
    if reported is None:
        return ""
    mark = sources.index(reported.source) + 1
    spread = "" if reported.std is None else f" ± {_as_published(table, reported.std)}"
    marks = "" if reported.verified else ", unverified"
    marks += "" if reported.same_protocol else ", other protocol"
    return f"{_as_published(table, reported.mean)}{spread} [{mark}{marks}]"


def ours_text(table: Table, summary: Summary) -> str:
    """Our value with its number of runs and what is wrong with the others."""
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


def verdict_text(table: Table, summary: Summary, reported: Reported | None) -> str:
    """Whether the reproduction holds, and by how much it differs."""
    found: Verdict | None = summary.verdict(reported)
    if found is None or reported is None:
        if reported is None or summary.mean is None:
            return ""
        return "stale" if summary.is_stale else "not compared"
    text = f"{found.word}, {_signed(table, found.difference)}"
    if found.errors is not None and math.isfinite(found.errors):
        text += f" ({'≥ ' if found.at_least else ''}{found.errors:.1f} s.e.)"
    return text if reported.verified else f"{text}, unverified"


def paired_text(table: Table, found: Paired) -> str:
    """A paired comparison with its interval."""
    if found.mean is None or found.low is None or found.high is None:
        return found.word
    interval = f"[{_signed(table, found.low)}, {_signed(table, found.high)}]"
    return f"{found.word}, {_signed(table, found.mean)} {interval}, {found.n} pairs"


def recipe_text(summary: Summary) -> str:
    """Recipe and time of a cell."""
    if not summary.used:
        return "not run"
    recipe = distinct(record.get("tuned") or "untuned defaults" for record in summary.used)
    return recipe if summary.seconds is None else f"{recipe}, {summary.seconds:.3g} s"


def seeds_text(seeds: tuple[int, ...]) -> str:
    """Seeds, a gapless row of them by its ends."""
    first, last = seeds[0], seeds[-1]
    if len(seeds) > 2 and seeds == tuple(range(first, last + 1)):
        return f"{first} to {last}"
    return ", ".join(str(seed) for seed in seeds)


def sources(table: Table) -> list[str]:
    """All sources of reported values, each once, in order of appearance."""
    found = (reported.source for row in table.rows for reported in row.reported.values())
    return list(dict.fromkeys(found))


def short_commit(commit: str | None) -> str:
    """The first 12 digits of a commit, and whether the tree was dirty."""
    if commit is None:
        return "none (installed package)"
    name, _, dirty = commit.partition("-")
    return name[:12] + (f"-{dirty}" if dirty else "")


def distinct(values: Iterable[object]) -> str:
    """Every different value once."""
    return ", ".join(dict.fromkeys("unknown" if value is None else str(value) for value in values))


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
    return ("+" if value > 0 else _MINUS) + text
