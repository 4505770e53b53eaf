"""The searches that a table rests on: made where a recipe is missing, kept beside the table."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from gnnzoo.config import compose
from gnnzoo.files import write_text
from gnnzoo.paths import conf_root
from gnnzoo.results import Table
from gnnzoo.tune.search import Search
from gnnzoo.tune.space import load_space
from gnnzoo.tune.study import tune


@dataclass(frozen=True)
class TableSearch:
    """One search, and where its winner and its trials belong."""

    search: Search
    recipe: Path
    trials: Path


def missing_searches(blocks: list[Table]) -> list[TableSearch]:
    """A search for each recipe that a row with a space names and that is no file yet."""
    found: dict[Path, TableSearch] = {}
    for table in blocks:
        for row in table.rows:
            for column in table.columns if row.space else ():
                own = _table_search(table, column.overrides + row.overrides, row.space)
                if not own.recipe.is_file():
                    found.setdefault(own.recipe, own)
    return list(found.values())


def _table_search(table: Table, overrides: list[str], space: str) -> TableSearch:
    start = [entry for entry in overrides if not entry.startswith("tuned=")]
    named = [entry.removeprefix("tuned=") for entry in overrides if entry not in start]
    choices = compose(start).choices
    name = re.sub(r"\$\{(\w+)\}", lambda found: str(choices[found[1]]), named[-1])
    budget = table.budget
    search = Search(
        tuple(start),
        load_space(space),
        budget.num_trials,
        budget.seeds,
        budget.num_finalists,
        budget.final_seeds,
    )
    log = f"{name.removeprefix('searched/').replace('/', '_')}.csv"
    return TableSearch(
        search, conf_root() / "tuned" / f"{name}.yaml", table.path.parent / "search" / log
    )


def make_searches(blocks: list[Table], num_jobs: int) -> list[str]:
    """Make the missing searches one after the other; a killed call goes on where it was.

    Args:
        blocks: The table.
        num_jobs: Runs side by side.

    Returns:
        A line for each search that failed; the others go on.
    """
    waiting, failures = missing_searches(blocks), []
    for number, wanted in enumerate(waiting, start=1):
        start = " ".join(wanted.search.overrides)
        print(f"search {number} of {len(waiting)}: {start}", file=sys.stderr)
        try:
            made = tune(wanted.search, num_jobs)
        except Exception as error:
            failures.append(f"search for {start}: {error}")
            continue
        write_text(wanted.trials, (made.parent / "trials.csv").read_text(encoding="utf-8"))
        write_text(wanted.recipe, made.read_text(encoding="utf-8"))
    return failures
