"""Benchmarks: time and peak memory of ops, layers and the trainer beside stock references."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from gnnzoo.bench.cases import Case, Settings
from gnnzoo.bench.classics import classics
from gnnzoo.bench.dagnn import dagnn
from gnnzoo.bench.gcn import gcn
from gnnzoo.bench.harness import Contestant, Result, race
from gnnzoo.bench.loop import loop
from gnnzoo.bench.ncn import ncn
from gnnzoo.bench.overlap import overlap
from gnnzoo.bench.patterns import patterns
from gnnzoo.bench.report import Row, print_table, write_csv
from gnnzoo.bench.sheaf import sheaf
from gnnzoo.bench.spmm import spmm
from gnnzoo.bench.sweep import sweep
from gnnzoo.data import MissingDataError

__all__ = ["BENCHMARKS", "Contestant", "Result", "Row", "Settings", "race", "run_benchmarks"]

BENCHMARKS: dict[str, Callable[[Settings], list[Case]]] = {
    "classics": classics,
    "dagnn": dagnn,
    "gcn": gcn,
    "loop": loop,
    "ncn": ncn,
    "overlap": overlap,
    "patterns": patterns,
    "sheaf": sheaf,
    "spmm": spmm,
    "sweep": sweep,
}


def run_benchmarks(
    names: Sequence[str], device: str = "cpu", csv: str | None = None, quick: bool = False
) -> None:
    """Run benchmarks and print a table for each.

    Args:
        names: Which ones; all if empty.
        device: ``"cpu"`` or a CUDA device.
        csv: Folder for one CSV file per benchmark.
        quick: Only try them out, on small generated graphs; the numbers mean nothing.

    Raises:
        ValueError: If there is no such benchmark or no such device.
    """
    if unknown := [name for name in names if name not in BENCHMARKS]:
        raise ValueError(f"no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}")
    settings = Settings(_device(device))
    if quick:
        settings = replace(settings, budget_seconds=0.0, min_rounds=1, quick=True)
    for name in names or BENCHMARKS:
        found = []
        for case, run in BENCHMARKS[name](settings):
            print(f"{name}: {case} ... (up to some minutes)", file=sys.stderr, flush=True)
            try:
                found += run()
            except MissingDataError as error:
                found.append(Row(case, note=f"not run: {_first_sentence(error)}"))
        print_table(name, found, settings.device)
        if csv is not None:
            print(write_csv(Path(csv), name, found, settings.device))


def _device(name: str) -> torch.device:
    if name.split(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"device must be cpu or cuda, got {name!r}")
    if name != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"device={name}, but torch sees no CUDA device; device=cpu works")
    return torch.device(name)


def _first_sentence(error: Exception) -> str:
    return str(error).split(". ")[0]
