"""Worker processes do not outlive a sweep that is killed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

CODE = "from gnnzoo.cli import main; main()"


@pytest.mark.parametrize("num_workers", [2, 3])  # with three, one of them never gets a job
def test_a_killed_sweep_leaves_no_process_behind(workspace, toy_graph, num_workers):
    process = subprocess.Popen(
        [
            sys.executable, "-c", CODE, "train", "-m", "dataset=file", f"dataset.path={toy_graph}",
            "trainer.epochs=1000000", "trainer.stopping=null", "device=cpu", "seed=0,1",
            "checkpoint_seconds=0.2", "launcher=joblib", f"hydra.launcher.n_jobs={num_workers}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        while len(list((workspace / "runs").rglob("checkpoint.pt"))) < 2:
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        process.kill()
        process.communicate(timeout=30)  # returns once nobody holds its output open
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
