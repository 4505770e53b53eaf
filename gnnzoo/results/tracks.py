"""Mirrors of a run for those who watch runs elsewhere: TensorBoard and Weights & Biases.

The run record stays the truth. Rows are mirrored once a checkpoint holds them, so a run that was
killed and resumed shows every epoch once, and a mirror that fails never costs the run.
"""

import importlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from gnnzoo.files import write_json
from gnnzoo.results.curves import CurveRow
from gnnzoo.results.record import json_safe

FINAL = ("val", "test", "best_epoch", "epochs", "seconds_total", "seconds_per_epoch")


class Mirror(Protocol):
    """One place that shows a run."""

    def log(self, rows: Sequence[CurveRow]) -> None:
        """Show further epochs."""

    def close(self, record: Mapping[str, Any]) -> None:
        """Show how the run ended."""


class TensorBoard:
    """Event files in ``<run_dir>/tensorboard``; tags are the columns of ``curve.csv``."""

    def __init__(
        self, run_dir: Path, name: str, record: Mapping[str, Any], note: dict[str, Any]
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = run_dir / "tensorboard"
        if not note["epochs"]:
            shutil.rmtree(folder, ignore_errors=True)  # of a run that is run again
        # readers forget what an earlier process wrote beyond the epochs noted
        self.writer = SummaryWriter(str(folder), purge_step=note["epochs"] + 1)
        if not note["epochs"]:
            self.writer.add_text("settings", _as_code(record["config"]), 0)

    def log(self, rows: Sequence[CurveRow]) -> None:
        """Write the rows and flush them."""
        for row in rows:
            for column, value in row.items():
                if column != "epoch" and value is not None:
                    self.writer.add_scalar(column, value, row["epoch"])
        self.writer.flush()

    def close(self, record: Mapping[str, Any]) -> None:
        """Write the record as text, its scores as scalars."""
        epochs = record.get("epochs") or 0
        for key in FINAL:
            if record["status"] == "finished" and record.get(key) is not None:
                self.writer.add_scalar(f"final/{key}", record[key], epochs)
        self.writer.add_text("record", _as_code(record), epochs)
        self.writer.close()


class WandB:
    """A run of Weights & Biases; its own ``WANDB_MODE``, ``WANDB_PROJECT`` and so on are heeded."""

    def __init__(
        self, run_dir: Path, name: str, record: Mapping[str, Any], note: dict[str, Any]
    ) -> None:
        import wandb

        note.setdefault("id", uuid.uuid4().hex[:12])
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "gnnzoo"),
            name=os.environ.get("WANDB_NAME", name),
            group=os.environ.get("WANDB_RUN_GROUP", record["cell_hash"][:10]),
            id=note["id"],
            resume="allow",
            dir=str(run_dir),
            config=json_safe(record["config"]),
            settings=wandb.Settings(console="off"),  # standard output belongs to results
        )

    def log(self, rows: Sequence[CurveRow]) -> None:
        """Log the rows under their epochs."""
        for row in rows:
            self.run.log(dict(row), step=int(row["epoch"]))

    def close(self, record: Mapping[str, Any]) -> None:
        """Put the record into the summary."""
        summary = {key: value for key, value in record.items() if key != "config"}
        self.run.summary.update(json_safe(summary))
        self.run.finish(exit_code=0 if record["status"] == "finished" else 1)


MIRRORS: dict[str, Callable[..., Mirror]] = {"tensorboard": TensorBoard, "wandb": WandB}


class Tracks:
    """The mirrors of one run.

    ``tracked.json`` in the run folder notes how many epochs each of them has, for a resumed run.

    Args:
        track: ``"none"``, a name of ``MIRRORS``, or a list of names.
        run_dir: The run folder.
        name: What the run is called.
        record: Its record, with the settings as ``config``.
        resumed: Whether the run goes on from a checkpoint; else the mirrors begin anew.

    Raises:
        ValueError: If there is no such mirror.
    """

    def __init__(
        self, track: Any, run_dir: Path, name: str, record: Mapping[str, Any], resumed: bool
    ) -> None:
        self.path = run_dir / "tracked.json"
        self.notes = _read(self.path) if resumed else {}
        self.mirrors: dict[str, Mirror] = {}
        self.complained: set[str] = set()
        for kind in mirror_names(track):
            note = self.notes.setdefault(kind, {"epochs": 0})
            with self._forgiving(kind):
                self.mirrors[kind] = MIRRORS[kind](run_dir, name, record, note)
        if self.mirrors:
            write_json(self.path, self.notes)

    def log(self, curve: Sequence[CurveRow]) -> None:
        """Mirror the rows of the curve that are not mirrored yet."""
        for kind, mirror in self.mirrors.items():
            rows = curve[self.notes[kind]["epochs"] :]
            with self._forgiving(kind):
                mirror.log(rows)
                self.notes[kind]["epochs"] += len(rows)
                write_json(self.path, self.notes)

    def close(self, record: Mapping[str, Any]) -> None:
        """Mirror how the run ended."""
        while self.mirrors:
            kind, mirror = self.mirrors.popitem()
            with self._forgiving(kind):
                mirror.close(record)

    @contextmanager
    def _forgiving(self, kind: str) -> Iterator[None]:
        """Turn what goes wrong with a mirror into one warning."""
        try:
            yield
        except Exception as error:
            if kind not in self.complained:
                self.complained.add(kind)
                print(
                    f"warning: {kind} may lack a part of this run, which goes on: {error}",
                    file=sys.stderr,
                )


def mirror_names(track: Any) -> list[str]:
    """The mirrors that a ``track`` setting names.

    Raises:
        ValueError: If there is no such mirror.
    """
    names = [track] if isinstance(track, str) else list(track or [])
    if unknown := [name for name in names if name not in (*MIRRORS, "none")]:
        raise ValueError(
            f"track must be none, {', '.join(MIRRORS)} or a list of them, got {unknown[0]!r}"
        )
    return [name for name in dict.fromkeys(names) if name != "none"]


def require_mirrors(track: Any) -> None:
    """Raise an ``ImportError`` if a mirror that ``track`` names lacks its package."""
    for package in mirror_names(track):
        try:
            module = importlib.import_module(package)
            reason = "a folder of that name is no package"
        except ImportError as error:
            module, reason = None, str(error)
        if getattr(module, "__file__", None) is None:  # also for a folder that only looks like one
            raise ImportError(
                f'track={package} needs a package: pip install "gnnzoo[track]" ({reason})'
            )


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _as_code(value: Any) -> str:
    """JSON as an indented block of Markdown."""
    text = json.dumps(json_safe(value), indent=2)
    return "\n".join(f"    {line}" for line in text.splitlines())
