"""From settings to a run record: looked up where there is one, made where there is none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gnnzoo.assemble import choose_device
from gnnzoo.config import Composed, compose, refuse_missing
from gnnzoo.files import make_folder
from gnnzoo.identity import Identity
from gnnzoo.paths import runs_root
from gnnzoo.recording import Record, Recording, read_record
from gnnzoo.results import RunStore, require_mirrors


class RunRefused(RuntimeError):
    """The run folder cannot take this run; the message says why and what would work."""


@dataclass(frozen=True)
class Outcome:
    """A record, where it lies, and whether it was there already."""

    record: Record
    run_dir: Path
    skipped: bool = False


def run(config_dirs: Iterable[str | Path] = (), **overrides: Any) -> Record:
    """Train one model and return its record, with ``run_dir``; a finished run is looked up.

    Args:
        config_dirs: Folders with YAML groups of one's own.
        **overrides: Settings as on the command line; nested ones as dictionaries.

    Example:
        >>> record = gnnzoo.run(model="dagnn", dataset="cora", seed=1, trainer={"epochs": 50})
        >>> record["test"]

    Raises:
        ConfigError: If a setting is unknown or cannot work.
    """
    outcome = execute(compose(override_strings(overrides), config_dirs))
    return outcome.record | {"run_dir": str(outcome.run_dir)}


def override_strings(overrides: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Overrides in Hydra's grammar from keyword arguments.

    A setting inside a part may be one that its YAML file does not list, hence the ``++``.
    """
    lines: list[str] = []
    for key, value in overrides.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            lines += override_strings(value, prefix=f"{name}.")
        else:
            lines.append(f"{'++' if '.' in name else ''}{name}={_grammar(value)}")
    return lines


def _grammar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_grammar, value))}]"
    if isinstance(value, str) and not value.replace("/", "").isidentifier():
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return str(value)


def execute(composed: Composed, in_sweep: bool = False) -> Outcome:
    """Run what the settings say, unless a finished record of it exists.

    Raises:
        RunRefused: If the run folder is in use or holds another run.
        KeyboardInterrupt: If interrupted; the record then says so and the run can be resumed.
        Exception: Whatever made the run fail, after it was recorded.
    """
    settings = composed.settings
    refuse_missing(settings)
    require_mirrors(settings.track)
    choose_device(settings.device)  # a device that cannot be is told for a finished run, too
    identity = Identity.of(composed)
    run_dir = folder_of(composed, identity)
    if not settings.rerun and (outcome := _finished(identity, run_dir, settings.run_dir)):
        return outcome
    make_folder(run_dir, "run_dir" if settings.run_dir else "GNNZOO_RUNS")
    try:
        with FileLock(run_dir / ".lock", timeout=0):
            for half_written in run_dir.glob(".*.tmp"):
                half_written.unlink()
            _refuse_foreign(run_dir, identity)
            if settings.rerun:
                (run_dir / "checkpoint.pt").unlink(missing_ok=True)
            elif outcome := _finished(identity, run_dir, settings.run_dir):
                return outcome  # another process ended it while we came here
            return Outcome(Recording(composed, identity, run_dir, in_sweep).recorded(), run_dir)
    except Timeout as error:
        raise RunRefused(f"{run_dir} is being filled by another process; wait for it") from error


def folder_of(composed: Composed, identity: Identity) -> Path:
    """The run folder: ``run_dir`` if given, else under the runs folder, named by identity."""
    if composed.settings.run_dir:
        return Path(composed.settings.run_dir).absolute()
    choices = composed.choices
    task = f"{choices['dataset']}_{choices['head']}"
    cell = f"{choices['model']}_{identity.cell_hash[:10]}_{identity.code_hash[:6]}"
    return runs_root() / task / cell / f"seed_{identity.seed}"


def _finished(identity: Identity, run_dir: Path, asked_for: str | None) -> Outcome | None:
    """The finished record of this run: in its folder or, unless one was asked for, in the store."""
    store = RunStore(runs_root())
    record = read_record(run_dir)
    if record is not None and identity.matches(record) and record["status"] == "finished":
        if not store.find(identity.cell_hash, identity.seed, identity.code_hash):
            store.append(record, run_dir)  # killed between the record and the store
        return Outcome(record, run_dir, skipped=True)
    if asked_for:
        return None
    for record in store.find(identity.cell_hash, identity.seed, identity.code_hash):
        if record["status"] == "finished":
            return Outcome(record, store.root / record["run_dir"], skipped=True)
    return None


def _refuse_foreign(run_dir: Path, identity: Identity) -> None:
    """Never mix two runs in one folder."""
    record = read_record(run_dir)
    if record is None:
        if any(path.name != ".lock" for path in run_dir.iterdir()):
            raise RunRefused(f"{run_dir} holds files but no run.json; choose an empty folder")
    elif not identity.matches(record):
        differs = [
            key
            for key in ("cell_hash", "code_hash", "seed")
            if record[key] != getattr(identity, key)
        ]
        what = {"cell_hash": "settings", "code_hash": "sources", "seed": "seed"}
        raise RunRefused(
            f"{run_dir} holds a run with other {' and '.join(what[key] for key in differs)}; "
            "choose an empty run_dir"
        )
