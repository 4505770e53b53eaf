"""The search: equal trials, validation only, resumable, the winner written as a recipe."""

import csv
import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gnnzoo.config import ConfigError, compose
from gnnzoo.executor import RunRefused
from gnnzoo.identity import cell_hash
from gnnzoo.paths import conf_root
from gnnzoo.results import RunStore

optuna = pytest.importorskip("optuna", reason="the search needs the extra tune")

from sqlalchemy import event  # noqa: E402
from sqlalchemy.engine import Engine  # noqa: E402

from gnnzoo import tune  # noqa: E402
from gnnzoo.tune import runs, study  # noqa: E402
from gnnzoo.tune.fit import check_fit  # noqa: E402
from gnnzoo.tune.trials import Score, Trial, best_of, shown  # noqa: E402

SPACE = {
    "trainer.lr": [0.001, 0.1],
    "model.dropout": {"low": 0.1, "high": 0.6},
    "model.norm": [None],
}
SLOPE = {"low": 0.001, "high": 0.1}


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk():
    """What has been written outlives a killed process; only a power cut needs it on the disk."""
    hurry = lambda connection, _: connection.execute("PRAGMA synchronous=OFF")  # noqa: E731
    event.listen(Engine, "connect", hurry)
    yield
    event.remove(Engine, "connect", hurry)


@pytest.fixture
def search(workspace, toy_graph):
    fixed = ("model=mlp", "dataset=file", f"dataset.path={toy_graph}", "trainer.epochs=4")
    return tune.Search(fixed, SPACE, num_trials=4, seeds=(5, 6))


@pytest.fixture
def invented(monkeypatch):
    """Runs that train nothing: their score is told by a function of trial and seed."""

    def use(score):
        monkeypatch.setattr(study, "scores", lambda jobs, n: ((j, told(j)) for j in jobs))

        def told(job):
            val = score(job.trial, job.seed)
            return val if isinstance(val, Score) else Score(val, seconds=2.0, epochs=10)

    return use


def optunas_own(search, name="trials"):
    """The study as anybody's Optuna reads it."""
    return optuna.load_study(study_name=name, storage=f"sqlite:///{search.folder}/study.db")


def csv_of(search):
    return (search.folder / "trials.csv").read_text()


def rows(search):
    with (search.folder / "trials.csv").open() as stream:
        return list(csv.DictReader(stream))


def apply(text, plain, workspace):
    folder = workspace / "mine" / "tuned"
    folder.mkdir(parents=True)
    (folder / "won.yaml").write_text(text)
    return cell_hash(compose([*plain, "tuned=won"], config_dirs=[workspace / "mine"]))


def test_the_recipe_is_the_configuration_that_won(search, workspace):
    text = tune.tune(search).read_text()
    best = max(rows(search), key=lambda row: float(row["mean"]))
    number = int(best["trial"])
    assert f"4 trials (the start and random draws), 4 trained. Trial {number} won" in text
    assert f"score {float(best['mean']):.4f} over the seeds 5, 6." in text
    plain = [entry for entry in search.overrides if not entry.startswith("trainer")]
    by_hand = compose(search.overrides_of(search.params(number)))
    assert apply(text, plain, workspace) == cell_hash(by_hand)


def test_a_recipe_stands_without_the_one_that_the_search_started_from(workspace):
    start = ("model=gcn", "dataset=digits", "tuned=luo2024/cora/gcn", "trainer.weight_decay=1e-3")
    search = tune.Search(start, {"trainer.lr": [0.01]})
    won = Trial(2, {"trainer.lr": 0.01}, {5: 0.5})
    text = tune.recipe(search, won, [won], {}, 7.0)
    assert "# 500 epochs per run, no early stopping; 7 s of training in all." in text
    by_hand = compose([*start, "trainer.lr=0.01"])
    assert apply(text, ["model=gcn"], workspace) == cell_hash(by_hand)


def test_limits_of_the_start_hold_for_all_trials_and_stay_in_the_recipe(search, workspace):
    limits = ("trainer.epochs=3", "trainer.stopping.patience=2", "trainer.stopping.monitor=metric")
    search = dataclasses.replace(search, overrides=(*search.overrides, *limits))
    text = tune.tune(search).read_text()
    assert "At most 3 epochs per run, stopped by Patience (patience 2, monitor metric" in text
    records = RunStore(workspace / "runs").records()
    trainers = [record["config"]["trainer"] for record in records]
    assert len(trainers) == 8
    assert {trainer["epochs"] for trainer in trainers} == {3}
    assert {trainer["stopping"]["patience"] for trainer in trainers} == {2}
    assert "patience: 2" in text
    assert "epochs: 3" in text


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


def killed_at(moment, search):
    """Search in a child that is killed before the n-th statement or commit of its study."""
    child = os.fork()
    if child == 0:
        left = iter(range(moment - 1))
        kill = lambda *_: next(left, None) is None and os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
        event.listen(Engine, "before_cursor_execute", kill)
        event.listen(Engine, "commit", kill)
        tune.tune(search)
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
    epochs = (*search.overrides[:-1], "trainer.epochs=300", "trainer.stopping=null")
    search = dataclasses.replace(search, overrides=epochs, seeds=(5,), space={"trainer.lr": SLOPE})
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


def test_finalists_need_no_run_where_the_first_stage_had_their_seeds(search, invented):
    search = dataclasses.replace(search, num_finalists=2, final_seeds=(6,))
    calls = []
    invented(lambda trial, seed: calls.append(trial) or trial / seed)
    assert "the best 2 of them on the seeds 6; its mean 0.6667." in tune.tune(search).read_text()
    assert len(calls) == 8


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


def test_runs_that_end_out_of_order_make_the_same_file(search, invented, monkeypatch):
    invented(lambda trial, seed: 1 / trial + seed)
    tune.tune(search)
    whole = csv_of(search)
    (search.folder / "study.db").unlink()
    in_order = study.scores
    monkeypatch.setattr(study, "scores", lambda jobs, n: reversed(list(in_order(jobs, n))))
    tune.tune(search)
    assert csv_of(search) == whole


def test_another_space_or_other_seeds_are_another_search(search):
    folders = {search.folder}
    folders.add(dataclasses.replace(search, seeds=(7, 8)).folder)
    folders.add(dataclasses.replace(search, space=SPACE | {"trainer.lr": [0.2, 0.3]}).folder)
    folders.add(
        dataclasses.replace(search, overrides=(*search.overrides, "model.dropout=0.3")).folder
    )
    turned = dict(reversed(SPACE.items()))  # draws otherwise
    folders.add(dataclasses.replace(search, space=turned).folder)
    assert len(folders) == 5


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


def test_of_equal_trials_the_earlier_wins():
    trials = [Trial(3, {}, {5: 0.5}), Trial(2, {}, {5: 0.5}), Trial(1, {}, {5: 0.4})]
    assert [trial.number for trial in best_of(trials, 2)] == [2, 3]


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


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (conf_root() / "search").glob("*.yaml"))
)
def test_every_space_fits_its_models(name):
    model = "gcn" if name.startswith("classic") else name
    check_fit(tune.load_space(name), compose([f"model={model}"]))


@pytest.mark.parametrize(
    ("key", "owner", "closest"),
    [
        ("model.num_hop", "model sgc does not take", "model.num_hops"),
        ("model.lr", "model sgc does not take", "trainer.lr"),
        ("trainer.stopping.patient", "trainer backprop does not take", "trainer.stopping.patience"),
        ("trainer.lr.x", "trainer backprop does not take", "trainer.lr"),
        ("features.normalise", "no part of a run takes", "features.normalize"),
    ],
)
def test_a_space_that_does_not_fit_is_told_before_anything_is_made(search, key, owner, closest):
    sgc = ("model=sgc", *search.overrides[1:])
    wrong = dataclasses.replace(search, overrides=sgc, space={"trainer.lr": [0.1], key: [1, 2]})
    message = f"the search space sets {key}, which {owner}; the closest setting is {closest}"
    with pytest.raises(ConfigError) as told:
        tune.tune(wrong)
    assert str(told.value) == message
    assert not wrong.folder.exists()


def test_settings_that_yaml_leaves_out_fit_where_a_constructor_takes_them():
    short = "trainer.stopping={_target_:gnnzoo.train.Patience,patience:9}"
    composed = compose(["model=gcn", "tuned=luo2024/cora/gcn", short])
    assert "start" not in composed.settings.trainer.stopping
    check_fit(["trainer.stopping.start", "trainer.groups.first_layer.lr", "tuned"], composed)
    with pytest.raises(ConfigError, match="out_channels, which model gcn does not take"):
        check_fit(["model.out_channels"], composed)  # known from data alone


def test_draws_depend_on_the_place_alone():
    space = tune.load_space("classic")
    first = [tune.draw(space, place) for place in range(4)]
    assert first[2] == tune.draw(space, 2)
    assert len({str(params) for params in first}) == 4


LOGS = Path(__file__).parents[1] / "experiments" / "planetoid" / "search"


@pytest.mark.parametrize("log", sorted(path.name for path in LOGS.glob("*.csv")))
def test_the_committed_logs_are_what_a_search_draws(log):
    model = Path(log).stem.split("_")[1]
    space = tune.load_space("classic_small" if model == "gcn" else model)
    with (LOGS / log).open() as stream:
        found = list(csv.DictReader(stream))
    assert list(found[0])[1 : 1 + len(space)] == list(space)
    for row in found[1:]:
        drawn = tune.draw(space, int(row["trial"]) - 2)
        assert {key: row[key] for key in space} == {k: str(shown(v)) for k, v in drawn.items()}
    assert len(found) == 15


def test_bad_spaces_and_budgets_are_named(tmp_path, search):
    with pytest.raises(ConfigError, match=r"no search space 'clasic'; .*appnp, classic,"):
        tune.load_space("clasic")
    path = tmp_path / "space.yaml"
    path.write_text("trainer.lr: {low: 1}\n")
    with pytest.raises(ConfigError, match=r"trainer\.lr must be a list of choices"):
        tune.load_space(str(path))
    path.write_text("trainer.lr: [0.1\n")
    with pytest.raises(ConfigError, match=r"space\.yaml is not YAML"):
        tune.load_space(str(path))
    path.write_text("trainer.lr: {low: 1e-4, high: 1e-1, log: true}\n")
    assert tune.load_space(str(path)) == {"trainer.lr": {"low": 1e-4, "high": 0.1, "log": True}}
    empty = dataclasses.replace(search, space={"trainer.lr": {"low": 2, "high": 1}})
    with pytest.raises(ConfigError, match=r"trainer\.lr cannot range over .*low.*high"):
        tune.tune(empty)
    with pytest.raises(ConfigError, match="at least one trial"):
        tune.Search(search.overrides, SPACE, 0)
    with pytest.raises(ConfigError, match="takes 0 to 4 trials, got 5"):
        dataclasses.replace(search, num_finalists=5)


def test_the_command_prints_the_recipe(workspace, toy_graph):
    code = "from gnnzoo.cli import main; main()"
    (workspace / "space.yaml").write_text("trainer.lr: [0.01, 0.1]\n")
    command = [
        sys.executable, "-c", code, "tune", "model=mlp", "dataset=file",
        f"dataset.path={toy_graph}", "trainer.epochs=2", "--space", "space.yaml",
        "--trials", "2", "--seeds", "3", "--jobs", "1", "--final", "1", "--final-seeds", "3-4,7",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "# @package _global_" in done.stdout
    assert "on the seeds 3, 4, 7;" in done.stdout
    assert done.stdout.strip().endswith("recipe.yaml")
    assert "trials 2/2  best" in done.stderr
    assert "finalists 1/1" in done.stderr
