"""A sweep of small runs with two jobs beside the same sweep with one: whole commands, in wall time.

The clock runs from the start of the command to its end: imports, composing, training, curves and
records are all in it. One job is the launcher ``local``, one thread each, as in the joblib jobs.
"""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from gnnzoo.bench.cases import Case, Settings
from gnnzoo.bench.harness import Contestant
from gnnzoo.bench.report import Row, rows
from gnnzoo.tables import default_jobs

GOAL = 1 / 1.7  # of the time with one job: at least 1.7 times as many runs an hour
RUNS, EPOCHS = 60, 50
JOBS = 2


def sweep(settings: Settings) -> list[Case]:
    """GCN on the digits, one run per seed."""
    return [("digits", partial(_digits, settings))]


def _digits(settings: Settings) -> list[Row]:
    if settings.device.type != "cpu":
        return [Row("digits", note="not run: two jobs are compared on a CPU")]
    if default_jobs() < JOBS:
        return [Row("digits", note=f"not run: needs {JOBS} cores, there is {default_jobs()}")]
    num_runs, epochs = (2, 2) if settings.quick else (RUNS, EPOCHS)
    two = ("launcher=joblib", f"hydra.launcher.n_jobs={JOBS}")
    contestants = [
        Contestant("one job", partial(_sweep, num_runs, epochs, ("launcher=local",))),
        Contestant("two jobs, joblib", partial(_sweep, num_runs, epochs, two), GOAL),
    ]
    results = settings.race(contestants, commands=True)
    return rows("digits", f"sweep of {num_runs} runs, GCN, {epochs} epochs", results)


def _sweep(num_runs: int, epochs: int, launcher: tuple[str, ...]) -> None:
    """Run the command in an empty runs folder and see that every run was finished."""
    code = "from gnnzoo.cli import main; main()"
    overrides = ["model=gcn", "dataset=digits", f"trainer.epochs={epochs}", "device=cpu"]
    overrides += ["threads=1", f"seed=range(0,{num_runs})", *launcher]
    command = [sys.executable, "-c", code, "train", "-m", *overrides]
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            command,
            env=os.environ | {"GNNZOO_RUNS": folder},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        store = Path(folder) / "runs.jsonl"
        lines = store.read_text(encoding="utf-8").splitlines() if store.is_file() else []
        finished = sum(json.loads(line)["status"] == "finished" for line in lines)
    if done.returncode != 0 or finished != num_runs:
        raise RuntimeError(f"{finished} of {num_runs} runs finished:\n{done.stdout}")
