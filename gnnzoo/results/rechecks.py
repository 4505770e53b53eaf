"""Sources that changed and numbers that did not: old runs that count again, and why.

A change of the sources makes every run before it stale, also one that cannot have changed a number.
So one seed of a cell is run again; if it gives the very same scores, the runs of the other seeds
stand for the new sources too. ``rechecked.jsonl`` beside ``table.yaml`` keeps what was found.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gnnzoo.files import write_text

COMPARED = ("split", "metric", "metrics", "best_epoch", "epochs", "num_parameters")


class Recheck(NamedTuple):
    """One seed of one cell gave the same scores with two versions of the sources."""

    cell_hash: str
    seed: int
    old_code_hash: str
    code_hash: str


def same_scores(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two finished runs agree to the last digit in all that does not depend on time."""
    return all(old.get(key) == new.get(key) for key in COMPARED)


def equal_sources(cell_hash: str, code_hash: str, rechecks: Iterable[Recheck]) -> set[str]:
    """The versions of the sources whose runs of a cell count as runs of ``code_hash``."""
    steps = [entry for entry in rechecks if entry.cell_hash == cell_hash]
    equal, waiting = {code_hash}, [code_hash]
    while waiting:
        new = waiting.pop()
        for entry in steps:
            if entry.code_hash == new and entry.old_code_hash not in equal:
                equal.add(entry.old_code_hash)
                waiting.append(entry.old_code_hash)
    return equal


def read_rechecks(folder: Path) -> list[Recheck]:
    """What was found for the table in a folder."""
    path = folder / "rechecked.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Recheck(**json.loads(line)) for line in lines if line]


def add_rechecks(folder: Path, found: Iterable[Recheck]) -> None:
    """Keep what was found, each line once, sorted."""
    lines = {
        json.dumps(entry._asdict(), sort_keys=True) for entry in [*read_rechecks(folder), *found]
    }
    write_text(folder / "rechecked.jsonl", "".join(f"{line}\n" for line in sorted(lines)))
