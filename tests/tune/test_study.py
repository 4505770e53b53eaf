"""Trials and finalists: an equal budget, each setting once, the best by validation wins."""

import dataclasses
import threading
import time

import pytest

from gnnzoo.config import ConfigError
from gnnzoo.results import RunStore
from tests.tune.conftest import SPACE
from tests.tune.reading import csv_of, rows

pytest.importorskip("optuna", reason="the search needs the extra tune")

from gnnzoo import tune
from gnnzoo.tune import runs, study
from gnnzoo.tune.trials import Score, Trial, best_of, shown


def test_the_file_of_trials_tells_every_run(search, workspace):
    tune.tune(search)
    records = RunStore(workspace / "runs").records()
    found = rows(search)
    assert [row["trial"] for row in found] == ["1", "2", "3", "4"]
    for row in found:
        settings = {key: row[key] for key in SPACE}
        own = [record for record in records if settings == settings_of(record["config"])]
        vals = {record["seed"]: record["val"] for record in own}
        assert vals == {5: float(row["val_5"]), 6: float(row["val_6"])}
        assert float(row["mean"]) == pytest.approx(sum(vals.values()) / 2)
        assert int(row["epochs"]) == sum(record["epochs"] for record in own)
        seconds = sum(record["seconds_total"] for record in own)
        assert float(row["seconds"]) == pytest.approx(seconds, abs=1e-3)


def settings_of(config):
    keys = [key.split(".") for key in SPACE]
    return {f"{part}.{name}": str(shown(config[part][name])) for part, name in keys}


def test_runs_that_end_out_of_order_make_the_same_file(search, invented, monkeypatch):
    invented(lambda trial, seed: 1 / trial + seed)
    tune.tune(search)
    whole = csv_of(search)
    (search.folder / "study.db").unlink()
    in_order = study.scores
    monkeypatch.setattr(study, "scores", lambda jobs, n: reversed(list(in_order(jobs, n))))
    tune.tune(search)
    assert csv_of(search) == whole


def test_the_start_is_the_first_trial_although_the_space_does_not_hold_it(search):
    start = dataclasses.replace(search, space={"trainer.lr": [1e-9]}, num_trials=2)
    text = tune.tune(start).read_text()
    assert "Trial 1 won" in text
    assert [row["trainer.lr"] for row in rows(start)] == ["0.01", "1e-09"]


def test_a_draw_that_repeats_an_earlier_trial_is_not_run_again(search, invented):
    small = dataclasses.replace(search, space={"trainer.lr": [0.01, 0.1]}, num_trials=9)
    calls = []
    invented(lambda trial, seed: calls.append(trial) or float(trial))
    tune.tune(small)
    assert len(calls) == 4  # start and the other rate, on two seeds
    assert len(rows(small)) == 9
    assert sum(float(row["seconds"]) for row in rows(small)) == 4 * 2.0
    by_rate = {(row["trainer.lr"], row["mean"]) for row in rows(small)}
    assert len(by_rate) == 2


def test_finalists_meet_on_all_final_seeds_and_the_best_there_wins(search, invented):
    search = dataclasses.replace(search, num_finalists=3, final_seeds=(5, 6, 7))
    vals = {1: (0.9, 0.0), 2: (0.8, 0.6), 3: (0.2, 0.9), 4: (0.7, 0.9)}  # on 5 and 6, then on 7
    calls = []
    invented(lambda trial, seed: calls.append((trial, seed)) or vals[trial][seed == 7])
    text = tune.tune(search).read_text()
    assert calls[8:] == [(1, 7), (2, 7), (4, 7)]  # the other seeds are known
    assert "Trial 4 won: mean validation score 0.7000 over the seeds 5, 6." in text
    assert "the best 3 of them on the seeds 5, 6, 7; its mean 0.7667." in text
    assert "; 22 s of training in all." in text  # eight runs, then three that were new
    finals = [row["final_mean"] and round(float(row["final_mean"]), 4) for row in rows(search)]
    assert finals == [0.6, 0.7333, "", 0.7667]


def test_a_finalist_that_fails_on_a_further_seed_cannot_win(search, invented):
    search = dataclasses.replace(search, num_finalists=2, final_seeds=(5, 6, 7))
    broken = Score(None, 1.0, 0, "TrainingFailed: the loss is nan")
    invented(lambda trial, seed: broken if (trial, seed) == (1, 7) else 1 / trial)
    assert "Trial 2 won" in tune.tune(search).read_text()
    assert "nan" in rows(search)[0]["error"]
    assert rows(search)[0]["final_mean"] == ""
    invented(lambda trial, seed: pytest.fail("both have been told"))
    assert "Trial 2 won" in tune.tune(search).read_text()


def test_finalists_need_no_run_where_the_first_stage_had_their_seeds(search, invented):
    search = dataclasses.replace(search, num_finalists=2, final_seeds=(6,))
    calls = []
    invented(lambda trial, seed: calls.append(trial) or trial / seed)
    assert "the best 2 of them on the seeds 6; its mean 0.6667." in tune.tune(search).read_text()
    assert len(calls) == 8


def test_of_equal_trials_the_earlier_wins():
    trials = [Trial(3, {}, {5: 0.5}), Trial(2, {}, {5: 0.5}), Trial(1, {}, {5: 0.4})]
    assert [trial.number for trial in best_of(trials, 2)] == [2, 3]
    assert [trial.number for trial in best_of(trials, 2, "validation rmse")] == [1, 2]


def test_a_search_out_of_time_says_how_many_trials_it_made(search, invented):
    def slow(trial, seed):
        time.sleep(0.2)
        return 0.5

    invented(slow)
    text = tune.tune(search, minutes=0.3 / 60).read_text()
    assert "1 trials of 4 planned" in text
    assert len(rows(search)) == 1
    assert "Searched: 4 trials (" in tune.tune(search).read_text()


def test_settings_that_cannot_be_trained_count_and_do_not_end_the_search(search):
    broken = tune.Search(search.overrides, {"model.dropout": [0.2, 0.4, 7.0]}, 8, (5,))
    assert "Searched: 8 trials" in tune.tune(broken).read_text()
    failed = [row for row in rows(broken) if row["error"]]
    assert 0 < len(failed) < 7
    assert all("dropout" in row["error"] and row["mean"] == "" for row in failed)


def test_what_is_not_the_settings_fault_ends_the_search_and_costs_no_trial(search, monkeypatch):
    def no_data(*arguments, **options):
        raise FileNotFoundError("the raw files are away")

    monkeypatch.setattr(runs, "execute", no_data)
    with pytest.raises(FileNotFoundError):
        tune.tune(search)
    assert not (search.folder / "trials.csv").exists()


@pytest.mark.parametrize("start", [(), ("model.dropout=7",)])
def test_a_search_whose_drawn_trials_all_fail_says_why(search, start):
    space = {"model.dropout": [8.0, 9.0]}
    hopeless = tune.Search((*search.overrides, *start), space, 3, (5,))
    message = rf"no drawn trial .*; trial 2: ValueError: .*dropout.*remove {hopeless.folder}"
    with pytest.raises(ConfigError, match=message):
        tune.tune(hopeless)
    assert [bool(row["error"]) for row in rows(hopeless)] == [bool(start), True, True]


def test_a_start_that_fails_alone_says_why(search):
    hopeless = tune.Search((*search.overrides, "model.dropout=7"), SPACE, 1, (5,))
    with pytest.raises(ConfigError, match=r"the start cannot be trained; trial 1: .*dropout"):
        tune.tune(hopeless)


def test_a_second_worker_does_not_wait_for_the_slowest_run(monkeypatch):
    """While one run lasts, the other worker goes on to later trials."""
    import joblib

    released, ended = threading.Event(), []

    def score(job):
        if job.trial == 1:
            assert released.wait(20), "the other worker stood still"
        ended.append(job.trial)
        if len(ended) == 3:
            released.set()
        return job, Score(0.5, 0.0, 0)

    monkeypatch.setattr(runs, "_score", score)
    real = joblib.Parallel
    in_threads = lambda jobs, backend, **options: real(jobs, "threading", **options)  # noqa: E731
    monkeypatch.setattr(joblib, "Parallel", in_threads)
    list(runs.scores((runs.Job(number, 0, []) for number in (1, 2, 3, 4)), 2))
    assert ended == [2, 3, 4, 1]
