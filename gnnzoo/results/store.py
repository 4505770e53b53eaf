"""The run store: one line per run in ``runs.jsonl``, shared by all processes of a sweep."""

import json
import os
import shlex
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from gnnzoo.files import write_text
from gnnzoo.results.record import json_safe, validate

Record = dict[str, Any]


@dataclass
class Rebuilt:
    """What :meth:`RunStore.rebuild` did.

    Attributes:
        num_records: Lines now in the store.
        unreadable: ``run.json`` files that are no record, each with the reason.
        dropped: Run folders that the store knew and that are gone.
    """

    num_records: int = 0
    unreadable: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


class RunStore:
    """Records of all runs under ``root``, appended by many processes, readable at any time.

    A line is the record of ``run.json`` plus ``run_dir``, relative to ``root`` where the run lies
    inside. Of several lines with the same cell_hash, seed and code_hash the last one counts.

    Args:
        root: Folder that holds ``runs.jsonl`` and, at any depth, the run folders.

    Example:
        >>> store = RunStore(runs_root())
        >>> store.append(record, run_dir=folder)
        >>> done = store.find(cell_hash, seed=0, code_hash=code_hash)
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).absolute()
        self.path = self.root / "runs.jsonl"
        self._lock_path = self.root / ".runs.jsonl.lock"
        self._read: tuple[tuple[int, int, int] | None, list[Record]] = (None, [])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.root)!r})"

    def append(self, record: Mapping[str, Any], run_dir: Path | str | None = None) -> None:
        """Add a line and wait until it is on disk.

        Args:
            record: A valid record.
            run_dir: Folder of the run; default is ``record["run_dir"]``, relative to the root.

        Raises:
            ValueError: If the record breaks the contract or no run folder is named.
        """
        record = json_safe(record)
        if run_dir is not None:
            record["run_dir"] = self._relative(Path(run_dir))
        if record.get("run_dir") is None:
            raise ValueError("a store line needs its run folder; pass run_dir=")
        validate(record)
        line = _line(record)
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self._lock_path), self.path.open("a+b") as stream:
            if _ends_torn(stream):
                line = b"\n" + line
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())

    def records(self) -> list[Record]:
        """The last record of each (cell_hash, seed, code_hash), oldest first.

        Lines that a killed writer left half written are skipped with a warning.
        """
        if not self.path.exists():
            return []
        state = _state(self.path)
        if self._read[0] != state:
            found, num_torn = self._read_lines()
            if num_torn:  # perhaps a line that is being written now: look again when it is done
                with FileLock(self._lock_path):
                    found, num_torn = self._read_lines()
            if num_torn:
                call = (
                    f"from gnnzoo.results import RunStore; RunStore({str(self.root)!r}).rebuild()"
                )
                warnings.warn(
                    f"{self.path} has {num_torn} unreadable line(s), left by a killed writer; "
                    f"restore them from the run folders: python -c {shlex.quote(call)}",
                    stacklevel=2,
                )
            self._read = (state, _latest(found))
        return [dict(record) for record in self._read[1]]

    def find(self, cell_hash: str, seed: int, code_hash: str | None = None) -> list[Record]:
        """Records of one cell and seed, of any status; at most one if ``code_hash`` is given."""
        return [
            record
            for record in self.records()
            if record["cell_hash"] == cell_hash
            and record["seed"] == seed
            and code_hash in (None, record["code_hash"])
        ]

    def rebuild(self) -> Rebuilt:
        """Write the store anew, atomically, from the ``run.json`` files below the root.

        Runs outside the root, which only the old lines know, are kept while their folder exists.
        """
        report = Rebuilt()
        self.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self._lock_path):
            known, _ = self._read_lines() if self.path.exists() else ([], 0)
            inside = {path.parent for path in self.root.glob("**/run.json")}
            named = {(self.root / record["run_dir"]): record["run_dir"] for record in known}
            report.dropped = sorted(
                name for at, name in named.items() if not (at / "run.json").is_file()
            )
            outside = {at for at in named if (at / "run.json").is_file()}
            records = []
            for run_dir in sorted(inside | outside):
                try:
                    record = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
                    validate(record)
                except (OSError, ValueError) as error:
                    report.unreadable.append(f"{run_dir / 'run.json'}: {error}")
                    continue
                records.append(record | {"run_dir": self._relative(run_dir)})
            records = _latest(sorted(records, key=lambda record: record["started"] or ""))
            write_text(self.path, "".join(_line(record).decode() for record in records))
        report.num_records = len(records)
        return report

    def _relative(self, run_dir: Path) -> str:
        run_dir = run_dir.absolute()
        if run_dir.is_relative_to(self.root):
            run_dir = run_dir.relative_to(self.root)
        return run_dir.as_posix()

    def _read_lines(self) -> tuple[list[Record], int]:
        records, num_torn = [], 0
        for line in self.path.read_bytes().split(b"\n"):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
                _key(record)
            except (ValueError, TypeError, KeyError):
                num_torn += 1
            else:
                records.append(record)
        return records, num_torn


def _key(record: Mapping[str, Any]) -> tuple[str, int, str]:
    return record["cell_hash"], record["seed"], record["code_hash"]


def _latest(records: Iterable[Record]) -> list[Record]:
    latest: dict[tuple[str, int, str], Record] = {}
    for record in records:
        latest.pop(_key(record), None)  # a repeated key moves to the end
        latest[_key(record)] = record
    return list(latest.values())


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, allow_nan=False).encode() + b"\n"


def _ends_torn(stream: Any) -> bool:
    if stream.seek(0, os.SEEK_END) == 0:
        return False
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) != b"\n"


def _state(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
