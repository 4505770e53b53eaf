"""The search: equal trials, validation only, resumable, the winner written as a recipe."""

import csv
import dataclasses
import subprocess
import sys
import threading
import time

import pytest

from gnnzoo.config import ConfigError, compose
from gnnzoo.identity import cell_hash
from gnnzoo.paths import conf_root
from gnnzoo.results import RunStore

optuna = pytest.importorskip("optuna", reason="the search needs the extra tune")

from gnnzoo import tune  # noqa: E402
from gnnzoo.tune import runs, study  # noqa: E402
from gnnzoo.tune.trials import Score, Trial, best_of, shown  # noqa: E402

SPACE = {
    "trainer.lr": [0.001, 0.1],
    "model.dropout": {"low": 0.1, "high": 0.6},
    "model.norm": [None],
}


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


@pytest.mark.parametrize("end", [1, 2, 3, 5])
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
    assert len(folders) == 4


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


def test_a_search_that_only_fails_says_why(search):
    hopeless = tune.Search((*search.overrides, "model.dropout=7"), {"trainer.lr": [0.1]}, 2, (5,))
    with pytest.raises(ConfigError, match=r"no drawn trial could be trained; trial 2: .*dropout"):
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
    settings = compose([f"model={model}"]).settings
    for key in tune.load_space(name):
        part, _, setting = key.partition(".")
        assert setting in settings[part], key


def test_draws_depend_on_the_place_alone():
    space = tune.load_space("classic")
    first = [tune.draw(space, place) for place in range(4)]
    assert first[2] == tune.draw(space, 2)
    assert len({str(params) for params in first}) == 4


def test_bad_spaces_and_budgets_are_named(tmp_path, search):
    with pytest.raises(ConfigError, match=r"no search space 'clasic'; .*appnp, classic,"):
        tune.load_space("clasic")
    path = tmp_path / "space.yaml"
    path.write_text("trainer.lr: {low: 1}\n")
    with pytest.raises(ConfigError, match=r"trainer\.lr must be a list of choices"):
        tune.load_space(str(path))
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
