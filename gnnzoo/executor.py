"""From settings to one run record: build, train, score the test set once, write it down."""

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from torch import nn

from gnnzoo.assemble import Parts, build_parts, choose_device
from gnnzoo.config import Composed, compose
from gnnzoo.identity import cell_hash, code_hash
from gnnzoo.interrupts import stop_on_signal
from gnnzoo.ops import backends
from gnnzoo.paths import runs_root
from gnnzoo.results import (
    RunStore,
    new_record,
    plot_curve,
    timestamp,
    write_curve_csv,
    write_record,
)
from gnnzoo.train.backprop import Fit
from gnnzoo.train.checkpoint import Checkpoint, save_weights
from gnnzoo.train.memory import PeakMemory
from gnnzoo.train.progress import make_reporter

Record = dict[str, Any]


class RunRefused(RuntimeError):
    """The run folder cannot take this run; the message says why and what would work."""


@dataclass(frozen=True)
class Identity:
    """What a run is: settings, sources and seed."""

    cell_hash: str
    code_hash: str
    seed: int

    @classmethod
    def of(cls, composed: Composed) -> "Identity":
        """Identity of composed settings."""
        return cls(cell_hash(composed), code_hash(composed), composed.settings.seed)

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether a record is of this very run."""
        keys = ("cell_hash", "code_hash", "seed")
        return all(record.get(key) == getattr(self, key) for key in keys)


@dataclass(frozen=True)
class Outcome:
    """A record, where it lies, and whether it was there already."""

    record: Record
    run_dir: Path
    skipped: bool = False


def run(config_dirs: Iterable[str | Path] = (), **overrides: Any) -> Record:
    """Train one model and return its run record; a finished run is looked up, not run again.

    Args:
        config_dirs: Folders with YAML groups of one's own.
        **overrides: Settings as on the command line; nested ones as dictionaries.

    Example:
        >>> record = gnnzoo.run(model="dagnn", dataset="cora", seed=1, trainer={"epochs": 50})
        >>> record["test"]

    Raises:
        ConfigError: If a setting is unknown or cannot work.
    """
    return execute(compose(override_strings(overrides), config_dirs)).record


def override_strings(overrides: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Overrides in Hydra's grammar from keyword arguments."""
    lines: list[str] = []
    for key, value in overrides.items():
        name = f"{prefix}{key.replace('__', '.')}"
        if isinstance(value, Mapping):
            lines += override_strings(value, prefix=f"{name}.")
        elif isinstance(value, str) and value not in ("", "null"):
            quoted = value.replace("\\", "\\\\").replace("'", "\\'")
            lines.append(f"{name}={value}" if value.isidentifier() else f"{name}='{quoted}'")
        else:
            lines.append(f"{name}={'null' if value is None else value}")
    return lines


def execute(composed: Composed, in_sweep: bool = False) -> Outcome:
    """Run what the settings say, unless a finished record of it exists.

    Raises:
        RunRefused: If the run folder is in use or holds another run.
        KeyboardInterrupt: If interrupted; the record then says so and the run can be resumed.
        Exception: Whatever made the run fail, after it was recorded.
    """
    identity = Identity.of(composed)
    settings = composed.settings
    run_dir = folder_of(composed, identity)
    if not settings.rerun and (outcome := _finished(identity, run_dir, settings.run_dir)):
        return outcome
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(run_dir / ".lock", timeout=0):
            _refuse_foreign(run_dir, identity)
            if settings.rerun:
                (run_dir / "checkpoint.pt").unlink(missing_ok=True)
            return Outcome(_Run(composed, identity, run_dir, in_sweep).recorded(), run_dir)
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
    record = _read_record(run_dir)
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


def _read_record(run_dir: Path) -> Record | None:
    path = run_dir / "run.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _refuse_foreign(run_dir: Path, identity: Identity) -> None:
    """Never mix two runs in one folder."""
    record = _read_record(run_dir)
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


class _Run:
    """One run in its folder, from the first line of its record to the last."""

    def __init__(
        self, composed: Composed, identity: Identity, run_dir: Path, in_sweep: bool
    ) -> None:
        self.composed, self.settings = composed, composed.settings
        self.run_dir, self.in_sweep = run_dir, in_sweep
        self.began = time.perf_counter()
        self.record = new_record(
            config=OmegaConf.to_container(composed.settings, resolve=True),
            cell_hash=identity.cell_hash,
            code_hash=identity.code_hash,
            seed=identity.seed,
            tuned=composed.tuned,
            protocol={"name": composed.choices["protocol"], **composed.settings.protocol},
        )
        resumes = (run_dir / "checkpoint.pt").is_file()
        before = _read_record(run_dir) if resumes else None
        self.seconds_before = (before or {}).get("seconds_total") or 0.0

    def recorded(self) -> Record:
        """Run; whatever happens, the record says so."""
        self._write()
        try:
            with stop_on_signal() as stop_requested:
                self._train_and_test(stop_requested)
                self._close("finished")
        except KeyboardInterrupt:
            if self.record["status"] != "finished":  # the signal may have come at the very end
                self._close("interrupted", error="interrupted; the same command resumes it")
            raise
        except Exception as error:
            self._close("failed", error=f"{type(error).__name__}: {error}")
            raise
        return self.record

    def _close(self, status: str, error: str | None = None) -> None:
        self.record |= {"status": status, "error": error}
        self._write()
        RunStore(runs_root()).append(self.record, self.run_dir)

    def _write(self) -> None:
        seconds = self.seconds_before + time.perf_counter() - self.began
        self.record |= {"heartbeat": timestamp(), "seconds_total": round(seconds, 3)}
        write_record(self.run_dir, self.record)

    def _train_and_test(self, stop_requested: Callable[[], bool]) -> None:
        settings = self.settings
        device = choose_device(settings.device)
        if settings.threads:
            torch.set_num_threads(settings.threads)
        torch.use_deterministic_algorithms(settings.deterministic)
        parts = build_parts(self.composed, device)
        self._describe(parts, device)
        memory = PeakMemory(device)
        memory.start()
        checkpoint = Checkpoint(
            self.run_dir / "checkpoint.pt", settings.checkpoint_seconds, stop_requested, self._write
        )
        choices = self.composed.choices
        fit = parts.trainer.fit(
            parts.encoder,
            parts.head,
            checkpoint,
            make_reporter(settings.progress, self.in_sweep),
            f"{choices['model']} on {choices['dataset']}, seed {settings.seed}",
        )
        self._score(parts, fit)
        self.record |= {"peak_memory_mib": round(memory.mib(), 1)}
        self._keep(parts, fit)
        checkpoint.remove()

    def _describe(self, parts: Parts, device: torch.device) -> None:
        modules = (parts.encoder, parts.head)
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
        self.record |= {
            "split": {"number": parts.task.split_number, "sha256": parts.task.split_sha256},
            "metric": parts.task.metric,
            "device": name,
            "threads": torch.get_num_threads(),
            "backends": backends.report(),
            "data_sha256": parts.dataset.sha256,
            "num_parameters": sum(p.numel() for module in modules for p in module.parameters()),
        }

    def _score(self, parts: Parts, fit: Fit) -> None:
        """Read the test labels, once, with the weights of the selected epochs."""
        model = nn.ModuleDict({"encoder": parts.encoder, "head": parts.head})
        metrics = {}
        for name, best in fit.selection.best.items():
            model.load_state_dict(best.state)
            test = parts.head.test(parts.encoder, parts.task.test_labels)
            metrics[name] = {
                "val": best.val,
                "test": test[name],
                "epoch": best.epoch + 1,
                "mode": best.mode,
            }
        selected = metrics[parts.task.metric]
        self.record |= {
            "metrics": metrics,
            "val": selected["val"],
            "test": selected["test"],
            "best_epoch": selected["epoch"],
            "epochs": len(fit.curve),
            "seconds_per_epoch": fit.seconds_per_epoch,
        }

    def _keep(self, parts: Parts, fit: Fit) -> None:
        """Weights of the selected epoch and the curve."""
        selected = fit.selection.best[parts.task.metric]
        save_weights(self.run_dir / "weights.safetensors", selected.state)
        write_curve_csv(self.run_dir / "curve.csv", fit.curve)
        choices = self.composed.choices
        plot_curve(
            fit.curve,
            self.run_dir / "curve.png",
            title=f"{choices['model']} on {choices['dataset']}, seed {self.settings.seed}",
            metric=parts.task.metric,
            best_epoch=selected.epoch + 1,
        )


def _cpu_name() -> str:
    return f"cpu ({platform.machine()}, {os.cpu_count()} cores)"
