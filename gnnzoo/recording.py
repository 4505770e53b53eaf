"""One run in its folder: its record, checkpoint, weights and curve."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from gnnzoo.assemble import Parts, build_parts, choose_device
from gnnzoo.config import Composed, ConfigError
from gnnzoo.fitting import test_scores
from gnnzoo.identity import Identity
from gnnzoo.interrupts import stop_on_signal
from gnnzoo.ops import backends, spare
from gnnzoo.paths import runs_root
from gnnzoo.results import (
    RunStore,
    Tracks,
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
SMALL_GRAPH = 200_000  # nodes and edges below which a second thread gains nothing and may cost much


class Recording:
    """One run in its folder, from the first line of its record to the last."""

    def __init__(
        self, composed: Composed, identity: Identity, run_dir: Path, in_sweep: bool
    ) -> None:
        self.composed, self.settings = composed, composed.settings
        self.run_dir, self.in_sweep = run_dir, in_sweep
        self.began = time.perf_counter()
        choices, config = composed.choices, OmegaConf.to_container(composed.settings, resolve=True)
        self.name = f"{choices['model']} on {choices['dataset']}, seed {identity.seed}"
        self.record = new_record(
            config=config,
            cell_hash=identity.cell_hash,
            code_hash=identity.code_hash,
            seed=identity.seed,
            tuned=composed.tuned,
            protocol={"name": choices["protocol"], **config["protocol"]},
        )
        self.resumes = (run_dir / "checkpoint.pt").is_file()
        self.tracks: Tracks | None = None
        before = read_record(run_dir) if self.resumes else None
        self.seconds_before = (before or {}).get("seconds_total") or 0.0

    def recorded(self) -> Record:
        """Run; whatever happens, the record says so."""
        self._write()
        try:
            with _torch_settings(self.settings), stop_on_signal() as stop_requested:
                self._train_and_test(stop_requested)
                self._close("finished")
        except KeyboardInterrupt:
            if self.record["status"] != "finished":  # the signal may have come at the very end
                self._close("interrupted", error="interrupted; the same command resumes it")
            raise
        except Exception as error:
            self._close("failed", error=f"{type(error).__name__}: {error}")
            raise
        finally:
            spare.release()  # the next run in this process would be charged for it
        return self.record

    def _close(self, status: str, error: str | None = None) -> None:
        self.record |= {"status": status, "error": error}
        self._write()
        RunStore(runs_root()).append(self.record, self.run_dir)
        if self.tracks is not None:
            self.tracks.close(self.record)

    def _write(self) -> None:
        seconds = self.seconds_before + time.perf_counter() - self.began
        self.record |= {"heartbeat": timestamp(), "seconds_total": round(seconds, 3)}
        write_record(self.run_dir, self.record)

    def _train_and_test(self, stop_requested: Callable[[], bool]) -> None:
        settings = self.settings
        self.tracks = Tracks(
            settings.track, self.run_dir, self.name, self.record, resumed=self.resumes
        )
        device = choose_device(settings.device)
        parts = build_parts(self.composed, device)
        direction = getattr(parts.task, "direction", None)
        if not self.in_sweep and settings.progress != "none":
            print(f"recipe: {self.composed.tuned or 'untuned defaults'}", file=sys.stderr)
            if direction is not None:
                print(f"direction: {direction.why}", file=sys.stderr)
        whole = parts.task.data.num_nodes + parts.task.data.num_edges
        size = getattr(parts.head, "step_rows", whole)
        if settings.threads is None and size < SMALL_GRAPH:
            torch.set_num_threads(1)
        self._describe(parts, device)
        if direction is not None:
            self.record["protocol"]["direction"] = direction.record()
        memory = PeakMemory(device)
        memory.start()
        path, seconds = self.run_dir / "checkpoint.pt", settings.checkpoint_seconds
        checkpoint = _TrackedCheckpoint(self.tracks, path, seconds, stop_requested, self._write)
        fit = parts.trainer.fit(
            parts.encoder,
            parts.head,
            checkpoint,
            make_reporter(settings.progress, self.in_sweep),
            self.name,
        )
        self.tracks.log(fit.curve)
        metrics = test_scores(parts, fit, device)
        self._scores(metrics, parts.task.metric, fit)
        self.record["peak_memory_mib"] = round(memory.mib(), 1)
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

    def _scores(self, metrics: dict[str, Any], selected: str, fit: Fit) -> None:
        self.record |= {
            "metrics": metrics,
            "val": metrics[selected]["val"],
            "test": metrics[selected]["test"],
            "best_epoch": metrics[selected]["epoch"],
            "epochs": len(fit.curve),
            "seconds_per_epoch": fit.seconds_per_epoch,
        }

    def _keep(self, parts: Parts, fit: Fit) -> None:
        """Weights of the selected epoch and the curve."""
        selected = fit.selection.best[parts.task.metric]
        save_weights(self.run_dir / "weights.safetensors", selected.state)
        write_curve_csv(self.run_dir / "curve.csv", fit.curve)
        plot_curve(
            fit.curve,
            self.run_dir / "curve.png",
            title=self.name,
            metric=parts.task.metric,
            best_epoch=selected.epoch + 1,
        )


class _TrackedCheckpoint(Checkpoint):
    """Mirrors the curve whenever it is safe: epochs that a kill would take back are not shown."""

    def __init__(self, tracks: Tracks, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.tracks = tracks

    def save(self, state: dict[str, Any]) -> None:
        super().save(state)
        self.tracks.log(state["curve"])


def _cpu_name() -> str:
    return f"cpu ({platform.machine()}, {os.cpu_count()} cores)"


@contextmanager
def _torch_settings(settings: Any) -> Iterator[None]:
    """Thread count and determinism of this run; the caller's come back afterwards."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    if settings.threads is not None:
        if settings.threads < 1:
            raise ConfigError(f"threads must be at least 1 or null, got {settings.threads}")
        torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(settings.deterministic)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def read_record(run_dir: Path) -> Record | None:
    """The record in a run folder, or None where there is none."""
    path = run_dir / "run.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
