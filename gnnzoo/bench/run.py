"""One benchmark after the other, a table for each."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import torch

from gnnzoo.bench.cases import Settings
from gnnzoo.bench.report import Row, print_table, write_csv
from gnnzoo.data import MissingDataError


def run(names: Sequence[str], device: str, csv: str | None, quick: bool) -> None:
    """What :func:`gnnzoo.bench.run_benchmarks` does once names are checked."""
    if device != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"device={device}, but torch sees no CUDA device; device=cpu works")
    settings = Settings(torch.device(device))
    if quick:
        settings = replace(settings, budget_seconds=0.0, min_rounds=1, quick=True)
    for name in names:
        cases = getattr(import_module(f"gnnzoo.bench.{name}"), name)(settings)
        found = []
        for case, measure in cases:
            print(f"{name}: {case} ... (up to some minutes)", file=sys.stderr, flush=True)
            try:
                found += measure()
            except MissingDataError as error:
                found.append(Row(case, note=f"not run: {_first_sentence(error)}"))
        print_table(name, found, settings.device)
        if csv is not None:
            print(write_csv(Path(csv), name, found, settings.device))


def _first_sentence(error: Exception) -> str:
    return str(error).split(". ")[0]
