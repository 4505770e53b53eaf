"""Training curves on disk: one CSV line per epoch."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from gnnzoo.files import write_atomically

CurveRow = Mapping[str, float | int | None]


def write_curve_csv(path: Path, rows: Sequence[CurveRow]) -> None:
    """Write the rows atomically; a column that a row lacks, or NaN, is left empty.

    Args:
        path: Usually ``curve.csv`` in the run folder.
        rows: One per epoch. Plots read the columns ``epoch``, ``train_loss``, ``val_loss`` and, for
            a metric such as accuracy, ``train_accuracy`` and ``val_accuracy``.
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([_text(row.get(column)) for column in columns] for row in rows)

    write_atomically(path, write)


def read_curve_csv(path: Path) -> list[dict[str, float | None]]:
    """Read what :func:`write_curve_csv` wrote; empty fields are ``None``."""
    with path.open(newline="", encoding="utf-8") as stream:
        return [
            {key: float(value) if value else None for key, value in row.items()}
            for row in csv.DictReader(stream)
        ]


def _text(value: float | int | None) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)
