"""Worker processes do not outlive a sweep that is killed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

CODE = "from gnnzoo.cli import main; main()"


@pytest.mark.parametrize(
    ("number", "num_workers"),
    [(signal.SIGKILL, 2), (signal.SIGKILL, 3), (signal.SIGTERM, 2)],  # a third gets no job
)
def test_a_killed_sweep_leaves_no_process_behind(workspace, toy_graph, number, num_workers):
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
        process.send_signal(number)
        text, _ = process.communicate(timeout=30)  # returns once nobody holds its output open
        if number == signal.SIGTERM:
            assert process.returncode == 143
            assert b"interrupted; the same command keeps what is finished" in text
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
