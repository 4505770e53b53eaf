"""A search in Optuna's storage: readable to all, killed at any moment, taken up again."""

import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from gnnzoo.config import ConfigError
from gnnzoo.executor import RunRefused
from gnnzoo.results import RunStore
from tests.tune.reading import csv_of, optunas_own

pytest.importorskip("optuna", reason="the search needs the extra tune")

from sqlalchemy import event
from sqlalchemy.engine import Engine

from gnnzoo import tune
from gnnzoo.tune.trials import Score


def test_optunas_own_tools_read_the_study(search, invented):
    broken = Score(None, 1.0, 3, "TrainingFailed: the loss is nan")
    invented(lambda trial, seed: broken if trial == 3 else 1 / trial + seed)
    tune.tune(search)
    mine = optunas_own(search)
    assert mine.direction.name == "MAXIMIZE"
    assert [trial.state.name for trial in mine.trials] == ["COMPLETE"] * 2 + ["FAIL", "COMPLETE"]
    assert [trial.params for trial in mine.trials] == [search.params(n) for n in (1, 2, 3, 4)]
    assert [trial.value for trial in mine.trials] == [6.5, 6.0, None, 5.75]
    first, failed = mine.trials[0].user_attrs, mine.trials[2].user_attrs
    assert first == {
        "trial": 1, "vals": {"5": 6.0, "6": 7.0}, "seconds": 4.0, "epochs": 20, "error": ""
    }  # fmt: skip
    assert failed["error"] == "TrainingFailed: the loss is nan"
    assert failed["vals"] == {"5": None, "6": None}
    frame = mine.trials_dataframe()
    assert {"value", "params_trainer.lr", "user_attrs_seconds"} < set(frame.columns)


@pytest.mark.parametrize("end", [1, 2, 5])
def test_a_stopped_search_goes_on_as_if_it_had_not_been(search, invented, end):
    invented(lambda trial, seed: 1 / trial + seed)
    tune.tune(search)
    whole = csv_of(search)
    (search.folder / "study.db").unlink()
    calls = []

    def killed(trial, seed):
        calls.append((trial, seed))
        if len(calls) == end:
            raise KeyboardInterrupt
        return 1 / trial + seed

    invented(killed)
    with pytest.raises(KeyboardInterrupt):
        tune.tune(search)
    invented(lambda trial, seed: calls.append((trial, seed)) or 1 / trial + seed)
    tune.tune(search)
    assert csv_of(search) == whole
    assert len(calls) <= 8 + 2  # only the trial under way is asked for again


def killed_at(moment, search):
    """Search in a child that is killed before the n-th statement or commit of its study."""
    child = os.fork()
    if child == 0:
        left = iter(range(moment - 1))
        kill = lambda *_: next(left, None) is None and os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
        event.listen(Engine, "before_cursor_execute", kill)
        event.listen(Engine, "commit", kill)
        try:
            tune.tune(search)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


# Tables half made; a trial waiting; some of its attributes set; the next half put down; finalists.
@pytest.mark.parametrize("moment", [34, 83, 101, 135, 360])
def test_a_killed_search_loses_doubles_and_changes_no_trial(search, invented, moment):
    search = dataclasses.replace(search, num_finalists=2, final_seeds=(5, 6, 7))
    broken = Score(None, 1.0, 3, "TrainingFailed: the loss is nan")
    invented(lambda trial, seed: broken if trial == 3 else 1 / trial + seed)
    recipe, whole = tune.tune(search).read_text(), csv_of(search)
    (search.folder / "study.db").unlink()
    (search.folder / "trials.csv").unlink()
    killed_at(moment, search)
    assert tune.tune(search).read_text() == recipe
    assert csv_of(search) == whole
    numbers = [trial.user_attrs["trial"] for trial in optunas_own(search).trials]
    assert numbers == [1, 2, 3, 4]
    finals = optunas_own(search, "finalists on the seeds 5, 6, 7").trials
    assert [trial.user_attrs["trial"] for trial in finals] == [1, 2]


def states(search):
    """Numbers of the trials in each state, read beside a search that is under way."""
    if not (search.folder / "trials.csv").exists():
        return {}
    with sqlite3.connect(f"file:{search.folder}/study.db?mode=ro", uri=True) as database:
        found = database.execute("select state, number, datetime_start from trials").fetchall()
    return {state: [row[1:] for row in found if row[0] == state] for state, *_ in found}


@pytest.mark.slow
def test_a_search_killed_in_the_middle_takes_up_the_trial_that_was_running(search, workspace):
    slope = {"low": 0.001, "high": 0.1}
    epochs = (*search.overrides[:-1], "trainer.epochs=300", "trainer.stopping=null")
    search = dataclasses.replace(search, overrides=epochs, seeds=(5,), space={"trainer.lr": slope})
    (workspace / "space.yaml").write_text("trainer.lr: {low: 0.001, high: 0.1}\n")
    command = [
        sys.executable, "-c", "from gnnzoo.cli import main; main()", "tune", *search.overrides,
        "--space", "space.yaml", "--trials", "4", "--seeds", "5", "--jobs", "1",
    ]  # fmt: skip
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while not {"COMPLETE", "RUNNING"} <= set(states(search)):
            assert child.poll() is None, "the search was over before it could be killed"
            time.sleep(0.02)
        with pytest.raises(RunRefused, match="in use by another search"):
            tune.tune(search)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    before = states(search)
    assert len(before["RUNNING"]) == 1
    tune.tune(search)
    after = states(search)
    assert sorted(number for number, _ in after["COMPLETE"]) == [0, 1, 2, 3]
    assert set(before["RUNNING"] + before["COMPLETE"]) < set(after["COMPLETE"])  # since when, too
    assert [trial.params for trial in optunas_own(search).trials] == [
        search.params(number) for number in (1, 2, 3, 4)
    ]
    assert len(RunStore(workspace / "runs").records()) == 4


@pytest.mark.parametrize("end", [1, 2])
def test_finalists_of_a_stopped_search_are_not_run_again(search, invented, end):
    search = dataclasses.replace(search, num_finalists=2, final_seeds=(5, 7))
    calls = []

    def killed(trial, seed):
        calls.append((trial, seed))
        if len(calls) == 8 + end:
            raise KeyboardInterrupt
        return 1 / trial

    invented(killed)
    with pytest.raises(KeyboardInterrupt):
        tune.tune(search)
    invented(lambda trial, seed: calls.append((trial, seed)) or 1 / trial)
    assert "; 20 s of training in all." in tune.tune(search).read_text()
    assert calls[8:] == [(1, 7)] * (3 - end) + [(2, 7)] * end
    tune.tune(search)
    assert len(calls) == 11


@pytest.mark.parametrize("broken", ["no database", "half a file"])
def test_a_broken_study_is_named_and_how_to_go_on(search, invented, broken):
    invented(lambda trial, seed: 1 / trial)
    tune.tune(search)
    path = search.folder / "study.db"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if broken == "half a file" else b"not a study" * 99)
    with pytest.raises(ConfigError, match=r"study\.db cannot be read .*; if it is broken, remove"):
        tune.tune(search)


def test_nobody_else_may_put_trials_into_the_study(search, invented):
    invented(lambda trial, seed: 1 / trial)
    tune.tune(search)
    optunas_own(search).enqueue_trial({"trainer.lr": 0.1})
    tune.tune(search)  # nothing is left to ask for
    more = dataclasses.replace(search, num_trials=5)
    with pytest.raises(ConfigError, match="waiting trial that its search did not put there"):
        tune.tune(more)
