"""Synthetic records."""

from collections.abc import Callable
from typing import Any

import pytest

from gnnzoo.results import new_record

VERSIONS = {"python": "3.11.0", "torch": "2.13.0", "torch-geometric": "2.8.1", "gnnzoo": "0.1.0"}


@pytest.fixture
def make_record() -> Callable[..., dict[str, Any]]:
    """A finished run; keywords replace keys of the record."""

    def make(cell: str = "cell", seed: int = 0, test: float | None = 0.8, **changes: Any) -> dict:
        finished = {
            "status": "finished",
            "split": {"number": 0, "sha256": "a" * 64},
            "protocol": "public split",
            "metric": "accuracy",
            "val": 0.79,
            "test": test,
            "metrics": {"accuracy": {"val": 0.79, "test": test, "epoch": 31, "mode": "max"}},
            "best_epoch": 31,
            "epochs": 131,
            "seconds_total": 2.5,
            "seconds_per_epoch": 0.01,
            "device": "cpu",
            "threads": 1,
            "commit": "0123456789abcdef",
            "versions": VERSIONS,
            "started": "2026-01-01T00:00:00+00:00",
        }
        identity = {"cell_hash": cell, "code_hash": "code", "seed": seed}
        return new_record(**({"config": {"seed": seed}} | identity | finished | changes))

    return make
