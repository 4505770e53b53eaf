"""A published table: which cells it has and what was reported for them."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Reported:
    """A value from the literature, a fraction where the table shows percent.

    Attributes:
        mean: As published.
        std: Standard deviation, ``None`` if not published.
        runs: Number of runs behind it, ``None`` if not published.
        source: Where it stands.
        verified: Whether it was read there; otherwise it is quoted from memory and marked so.
        same_protocol: Whether it was measured as the table says; otherwise it is marked so, and
            ours is not held against it.
    """

    mean: float
    std: float | None
    runs: int | None
    source: str
    verified: bool
    same_protocol: bool = True


@dataclass(frozen=True)
class Column:
    """One data set (or task); ``overrides`` select it, ``metric`` scores it, once per seed."""

    name: str
    title: str
    overrides: list[str]
    metric: str
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One method; ``reported`` and ``notes`` are by column name.

    ``space`` names the space in which its recipes are searched, the one of ``tuned=`` among its
    overrides for each column; None where settings are not searched.
    """

    name: str
    overrides: list[str]
    reported: dict[str, Reported]
    notes: dict[str, str]
    space: str | None = None


@dataclass(frozen=True)
class Budget:
    """What each search of a table may spend: trials on seeds, the best once more on others."""

    num_trials: int
    seeds: tuple[int, ...]
    num_finalists: int
    final_seeds: tuple[int, ...]


@dataclass(frozen=True)
class Cell:
    """One method on one data set, run once per seed."""

    row: str
    column: str
    overrides: list[str]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """What ``table.yaml`` says, or one of its blocks.

    Attributes:
        name: Folder name, the one of ``gnnzoo table NAME``.
        path: The YAML file.
        title: Heading.
        protocol: How the scores are measured, in words.
        metric: Which score, unless a column has its own.
        unit: ``percent`` (fractions shown times 100) or ``plain``.
        mode: ``max`` if higher is better, ``min`` if lower is.
        seeds: Seeds of every cell, unless a column has its own.
        columns: Data sets.
        rows: Methods.
        baselines: Rows that all others are compared with.
        budget: Of every search for a row with a space; None if there is none.
        plots: For each figure of the table, its rows; the one there is, ``homophily``, shows scores
            against the homophily of the graphs, of all blocks that ask for it.
    """

    name: str
    path: Path
    title: str
    protocol: str
    metric: str
    unit: str
    mode: str
    seeds: tuple[int, ...]
    columns: list[Column]
    rows: list[Row]
    baselines: list[str]
    budget: Budget | None = None
    plots: dict[str, list[str]] = field(default_factory=dict)

    def cells(self) -> list[Cell]:
        """All cells, row by row; the overrides of the column come first."""
        return [
            Cell(row.name, column.name, column.overrides + row.overrides, column.seeds)
            for row in self.rows
            for column in self.columns
        ]

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    def row(self, name: str) -> Row:
        """The row of that name."""
        return next(row for row in self.rows if row.name == name)
