"""Reading ``experiments/<name>/table.yaml``, with one clear sentence for each mistake in it."""

import difflib
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from gnnzoo.paths import experiments_root
from gnnzoo.results.table import Budget, Column, Reported, Row, Table

PLOTS = ("homophily",)


class UnknownTableError(KeyError):
    """There is no table of that name."""

    def __str__(self) -> str:
        return self.args[0]


def list_tables() -> list[str]:
    """Names of the tables under ``experiments``."""
    return sorted(path.parent.name for path in experiments_root().glob("*/table.yaml"))


def load_table(name_or_path: str | Path) -> list[Table]:
    """Read a table by its name under ``experiments`` or by the path of its YAML file.

    Returns:
        Its blocks: one for each YAML document in the file, each with columns and rows of its own.

    Raises:
        UnknownTableError: If there is no such file.
        ValueError: If the file has an error; the message is one sentence that names it.
    """
    import yaml

    path = Path(name_or_path)
    if path.suffix != ".yaml" and os.sep not in str(name_or_path):
        path = experiments_root() / path / "table.yaml"
    if not path.is_file():
        known = list_tables()
        close = difflib.get_close_matches(str(name_or_path), known) or known
        raise UnknownTableError(
            f"no table named {str(name_or_path)!r}; there is: {', '.join(close) or 'none'}"
        )
    try:
        text = path.read_text(encoding="utf-8")
        for node in yaml.compose_all(text, yaml.SafeLoader):
            _refuse_doubled_keys(node)
        documents = list(yaml.safe_load_all(text))
        if not documents:
            raise ValueError("holds no table")
        return [_table(path.absolute(), document) for document in documents]
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _refuse_doubled_keys(node: Any) -> None:
    """PyYAML would keep the last of several values without a word."""
    if node.id == "mapping":
        keys = [key.value for key, _ in node.value if key.id == "scalar"]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise ValueError(f"the key {twice[0]!r} stands twice in one mapping")
    if node.id != "scalar":
        for entry in node.value:
            for inner in entry if isinstance(entry, tuple) else [entry]:
                _refuse_doubled_keys(inner)


def _table(path: Path, raw: Any) -> Table:
    needed = ("title", "protocol", "metric", "seeds", "columns", "rows")
    _check_keys("the table", raw, needed, ("unit", "mode", "baselines", "search", "plots"))
    unit = _one_of("unit", raw.get("unit", "percent"), ("percent", "plain"))
    metric, seeds = str(raw["metric"]), _seeds(raw["seeds"])
    columns = [
        _column(name, entry, metric, seeds)
        for name, entry in _mapping("columns", raw["columns"]).items()
    ]
    if not columns:
        raise ValueError("columns must name at least one data set")
    if not isinstance(raw["rows"], list) or not raw["rows"]:
        raise ValueError("rows must be a list with at least one method")
    rows = [_row(entry, {column.name for column in columns}, unit) for entry in raw["rows"]]
    names = [row.name for row in rows]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two rows are named {twice[0]!r}")
    baselines = raw.get("baselines", [])
    if not isinstance(baselines, list):
        raise ValueError(f"baselines must be a list of rows, got {baselines!r}")
    if unknown := [name for name in baselines if name not in names]:
        raise ValueError(f"baselines names {unknown[0]!r}, which is no row; rows: {_listed(names)}")
    budget = _budget(raw["search"]) if "search" in raw else None
    if lacking := [row.name for row in rows if row.space and not budget]:
        raise ValueError(f"row {lacking[0]!r} has a space, but the table has no search")
    return Table(
        name=path.parent.name,
        path=path,
        title=str(raw["title"]),
        protocol=" ".join(str(raw["protocol"]).split()),
        metric=metric,
        unit=unit,
        mode=_one_of("mode", raw.get("mode", "max"), ("max", "min")),
        seeds=seeds,
        columns=columns,
        rows=rows,
        baselines=list(baselines),
        budget=budget,
        plots=_plots(raw.get("plots", {}), names),
    )


def _budget(raw: Any) -> Budget:
    _check_keys("search", raw, ("trials", "seeds"), ("final", "final_seeds"))
    final, final_seeds = raw.get("final", 0), raw.get("final_seeds", raw["seeds"])
    for key, value, least in (("trials", raw["trials"], 1), ("final", final, 0)):
        if type(value) is not int or value < least:
            raise ValueError(f"{key} of search must be a count from {least}, got {value!r}")
    return Budget(raw["trials"], _seeds(raw["seeds"]), final, _seeds(final_seeds))


def _plots(raw: Any, names: Collection[str]) -> dict[str, list[str]]:
    for plot, rows in _mapping("plots", raw).items():
        _one_of("a plot", plot, PLOTS)
        if not isinstance(rows, list) or not rows:
            raise ValueError(f"plot {plot!r} must be a list of rows, got {rows!r}")
        if unknown := [name for name in rows if name not in names]:
            raise ValueError(
                f"plot {plot!r} names {unknown[0]!r}, which is no row; rows: {_listed(names)}"
            )
    return raw


def _column(name: str, raw: Any, metric: str, seeds: tuple[int, ...]) -> Column:
    where = f"column {name!r}"
    _check_keys(where, raw, ("overrides",), ("title", "metric", "seeds"))
    return Column(
        name=name,
        title=str(raw.get("title", name)),
        overrides=_overrides(where, raw),
        metric=str(raw.get("metric", metric)),
        seeds=_seeds(raw["seeds"]) if "seeds" in raw else seeds,
    )


def _row(raw: Any, columns: Collection[str], unit: str) -> Row:
    name = raw.get("name", "?") if isinstance(raw, dict) else "?"
    where = f"row {name!r}"
    _check_keys(where, raw, ("name", "overrides"), ("reported", "notes", "space"))
    for key in ("reported", "notes"):
        for column in _mapping(f"{key} of {where}", raw.get(key, {})):
            if column not in columns:
                raise ValueError(
                    f"{key} of {where} names the column {column!r}; columns: {_listed(columns)}"
                )
    reported = {
        column: _reported(f"reported value of {where}, column {column!r}", value, unit)
        for column, value in raw.get("reported", {}).items()
    }
    notes = {column: " ".join(str(text).split()) for column, text in raw.get("notes", {}).items()}
    overrides, space = _overrides(where, raw), raw.get("space")
    if space is not None and not any(entry.startswith("tuned=") for entry in overrides):
        raise ValueError(f"{where} has a space, but no tuned=... to say where recipes belong")
    return Row(str(name), overrides, reported, notes, space)


def _reported(where: str, raw: Any, unit: str) -> Reported:
    _check_keys(where, raw, ("mean", "std", "runs", "source", "status"), ("protocol",))
    mean, std, runs = raw["mean"], raw["std"], raw["runs"]
    for key, value in (("mean", mean), ("std", std)):
        known = isinstance(value, int | float) and not isinstance(value, bool)
        if not known and not (key == "std" and value is None):
            raise ValueError(f"{key} in the {where} must be a number, got {value!r}")
    if runs is not None and (not isinstance(runs, int) or runs < 1):
        raise ValueError(f"runs in the {where} must be a count, or null if unknown, got {runs!r}")
    if unit == "percent":
        if not 0 <= mean <= 1:
            raise ValueError(
                f"mean in the {where} must be a fraction like 0.844, got {mean}; divide it by 100"
            )
        if std is not None and not 0 <= std < 0.3:
            raise ValueError(
                f"std in the {where} must be a fraction like 0.005, got {std}; divide it by 100"
            )
    if not isinstance(raw["source"], str) or not raw["source"].strip():
        raise ValueError(f"source in the {where} is empty; say where the number stands")
    status = _one_of(f"status in the {where}", raw["status"], ("verified", "memory"))
    protocol = _one_of(f"protocol in the {where}", raw.get("protocol", "same"), ("same", "other"))
    source = " ".join(raw["source"].split())
    return Reported(mean, std, runs, source, status == "verified", protocol == "same")


def _seeds(raw: Any) -> tuple[int, ...]:
    if isinstance(raw, str) and (found := re.fullmatch(r"range\((\d+), *(\d+)\)", raw.strip())):
        raw = list(range(int(found[1]), int(found[2])))
    good = isinstance(raw, list) and raw and all(type(seed) is int for seed in raw)
    if not good or len(set(raw)) < len(raw):
        raise ValueError(
            f"seeds must be like 'range(0,20)' or a list of distinct ints, got {raw!r}"
        )
    return tuple(raw)


def _overrides(where: str, raw: Mapping[str, Any]) -> list[str]:
    value = raw["overrides"]
    if not isinstance(value, list) or not all(isinstance(v, str) and "=" in v for v in value):
        raise ValueError(f"overrides of {where} must be a list like [model=gcn], got {value!r}")
    return value


def _check_keys(where: str, raw: Any, needed: Collection[str], optional: Collection[str]) -> None:
    for key in _mapping(where, raw):
        if key not in needed and key not in optional:
            known = [*needed, *optional]
            raise ValueError(f"{where} has the unknown key {key!r}; known: {_listed(known)}")
    if lacking := [key for key in needed if key not in raw]:
        raise ValueError(f"{where} lacks {_listed(lacking)}")


def _mapping(where: str, raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ValueError(f"{where} must be a mapping, got {raw!r}")
    return raw


def _one_of(where: str, value: Any, allowed: Collection[str]) -> str:
    if value not in allowed:
        raise ValueError(f"{where} must be {' or '.join(allowed)}, got {value!r}")
    return value


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
