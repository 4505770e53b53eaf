"""The contract of ``run.json``: its keys, what may stand there, how it is written."""

import importlib.metadata
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import gnnzoo
from gnnzoo.files import write_json

STATUSES = ("running", "finished", "failed", "interrupted")
_PACKAGES = ("torch", "torch-geometric", "numpy", "scipy", "torch-scatter", "triton", "ogb")
_number = (int, float)

# key -> (types, whether null is allowed while unknown)
_KEYS: dict[str, tuple[tuple[type, ...], bool]] = {
    "status": ((str,), False),
    "config": ((dict,), False),
    "cell_hash": ((str,), False),
    "code_hash": ((str,), False),
    "seed": ((int,), False),
    "split": ((dict,), True),  # {"number", "sha256"}
    "protocol": ((str, dict), True),
    "tuned": ((str,), True),  # recipe file applied, relative to the configuration; null for none
    "metric": ((str,), True),  # the one selected on
    "val": (_number, True),  # shares are fractions: 0.844
    "test": (_number, True),
    "metrics": ((dict,), False),  # {name: {"val", "test", "epoch", "mode"}}
    "best_epoch": ((int,), True),
    "epochs": ((int,), True),
    "seconds_total": (_number, True),
    "seconds_per_epoch": (_number, True),  # median over training epochs
    "peak_memory_mib": (_number, True),
    "num_parameters": ((int,), True),
    "device": ((str,), True),
    "threads": ((int,), True),
    "backends": ((dict,), False),
    "data_sha256": ((str,), True),
    "versions": ((dict,), False),
    "commit": ((str,), True),
    "pid": ((int,), True),
    "heartbeat": ((str,), True),  # see timestamp()
    "started": ((str,), True),
    "error": ((str,), True),
}
_NEEDED_WHEN_FINISHED = ("split", "protocol", "metric", "epochs", "seconds_total", "device")
_MACHINE_ONLY = ("pid", "heartbeat", "run_dir", "config", "error")


def new_record(
    *, config: Mapping[str, Any], cell_hash: str, code_hash: str, seed: int, **fields: Any
) -> dict[str, Any]:
    """Start a record: status ``running``, this process, this moment, versions and commit filled in.

    Args:
        config: Resolved settings.
        cell_hash: Identity of the settings without the seed.
        code_hash: Identity of the sources used.
        seed: Seed of the run.
        **fields: Further keys of the contract; they win over what is filled in here.

    Returns:
        A record with every key; what is not known yet is ``None`` or ``{}``.

    Raises:
        ValueError: If a field is not part of the contract or has a wrong type.
    """
    record: dict[str, Any] = {key: None if null else {} for key, (_, null) in _KEYS.items()}
    record |= {"status": "running", "config": dict(config), "cell_hash": cell_hash}
    record |= {"code_hash": code_hash, "seed": seed, "pid": os.getpid(), "started": timestamp()}
    record |= {"heartbeat": record["started"], "versions": versions(), "commit": provenance()}
    record |= fields
    validate(record)
    return record


def validate(record: Mapping[str, Any]) -> None:
    """Raise a ``ValueError`` that lists everything in ``record`` that breaks the contract.

    ``run_dir``, which the store adds, is the only further key that may be there.
    """
    problems = [f"{key} is missing" for key in _KEYS if key not in record]
    problems += [f"unknown key {key!r}" for key in record if key not in _KEYS and key != "run_dir"]
    for key, (types, null_allowed) in _KEYS.items():
        value = record.get(key)
        if key not in record or (value is None and null_allowed):
            continue
        if not isinstance(value, types) or isinstance(value, bool):
            names = " or ".join(kind.__name__ for kind in types)
            problems.append(f"{key} must be {names}, got {value!r}")
    if not problems:
        problems = _inner_problems(record)
    if problems:
        raise ValueError("not a run record: " + "; ".join(problems))


def _inner_problems(record: Mapping[str, Any]) -> list[str]:
    problems = []
    if record["status"] not in STATUSES:
        problems.append(f"status must be one of {', '.join(STATUSES)}, got {record['status']!r}")
    if record["status"] == "finished":
        problems += [
            f"{k} is null in a finished run" for k in _NEEDED_WHEN_FINISHED if record[k] is None
        ]
    if record["split"] is not None and set(record["split"]) != {"number", "sha256"}:
        problems.append(f"split must have number and sha256, got {sorted(record['split'])}")
    for name, score in record["metrics"].items():
        if not isinstance(score, dict) or set(score) != {"val", "test", "epoch", "mode"}:
            problems.append(f"metrics.{name} must have val, test, epoch and mode, got {score!r}")
        elif score["mode"] not in ("max", "min"):
            problems.append(f"metrics.{name}.mode must be max or min, got {score['mode']!r}")
    return problems


def write_record(run_dir: Path, record: Mapping[str, Any]) -> None:
    """Write ``run.json`` in ``run_dir`` atomically, after :func:`validate`; NaN becomes null."""
    record = json_safe(record)
    validate(record)
    write_json(run_dir / "run.json", record)


def json_safe(value: Any) -> Any:
    """Copy of ``value`` that JSON can hold: NaN and infinity as null, NumPy scalars as numbers."""
    if isinstance(value, Mapping):
        return {str(key): json_safe(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(entry) for entry in value]
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, str | int | float | None) and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def compact(record: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a record worth committing: small, and with nothing that tells of the machine.

    Settings are left out, since ``cell_hash`` names them and the table's overrides at ``commit``
    make them again. Of an error its type remains.
    """
    small = {key: value for key, value in record.items() if key not in _MACHINE_ONLY}
    if record.get("error"):
        small["error"] = record["error"].strip().splitlines()[-1].split(":")[0][:80]
    if small.get("tuned"):
        small["tuned"] = _inside_configuration(small["tuned"])
    return small


def _inside_configuration(recipe: str) -> str:
    path = Path(recipe)
    if path.is_absolute():
        parts = path.parts
        start = parts.index("tuned") + 1 if "tuned" in parts else len(parts) - 1
        return Path(*parts[start:]).as_posix()
    return recipe


def timestamp() -> str:
    """This moment as ISO 8601 text in UTC; ``datetime.fromisoformat`` reads it back."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of Python, gnnzoo and the installed packages that numbers depend on."""
    found = {"python": platform.python_version(), "gnnzoo": gnnzoo.__version__}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@lru_cache(maxsize=1)
def provenance() -> str | None:
    """Commit of the source tree, None from a wheel.

    ``-dirty`` is appended when tracked files that decide numbers (sources, configuration, cards)
    have changed; a table filled or a text edited since then does not count.
    """
    tree = Path(gnnzoo.__file__).resolve().parent.parent
    top = _git(tree, "rev-parse", "--show-toplevel")
    commit = _git(tree, "rev-parse", "HEAD")
    if top is None or commit is None or Path(top).resolve() != tree:
        return None  # a wheel inside somebody else's repository is not that repository's commit
    parts = ("gnnzoo", "conf", "datasets", "pyproject.toml")
    changed = _git(tree, "status", "--porcelain", "--untracked-files=no", "--", *parts)
    return commit if changed == "" else f"{commit}-dirty"


def _git(tree: Path, *arguments: str) -> str | None:
    own = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=tree,
            env=own,
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
