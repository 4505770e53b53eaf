"""The search: equal trials, validation only, resumable, the winner written as a recipe."""

import dataclasses
import subprocess
import sys

import pytest

from gnnzoo import tune
from gnnzoo.config import ConfigError, compose
from gnnzoo.identity import cell_hash
from gnnzoo.results import RunStore

pytest.importorskip("optuna", reason="the search needs the extra tune")
SPACE = {
    "trainer.lr": [0.001, 0.1],
    "model.dropout": {"low": 0.1, "high": 0.6},
    "model.norm": [None],
}


@pytest.fixture
def search(workspace, toy_graph):
    fixed = ("model=mlp", "dataset=file", f"dataset.path={toy_graph}", "trainer.epochs=4")
    return tune.Search(fixed, SPACE, num_trials=4, seeds=(5, 6))


def trials(search):
    study = tune._open(tune._optuna(), search)
    return [(t.params, t.user_attrs["result"]) for t in tune._counted(study)]


def winner(search):
    start = tune._open(tune._optuna(), search).user_attrs["start"]
    return max([({}, start), *trials(search)], key=lambda entry: entry[1])


def test_the_recipe_is_the_configuration_that_won(search, workspace):
    text = tune.tune(search).read_text()
    params, score = winner(search)
    assert f"4 of 4 trials trained, best mean validation score {score:.4f}" in text
    folder = workspace / "mine" / "tuned"
    folder.mkdir(parents=True)
    (folder / "won.yaml").write_text(text)
    plain = [entry for entry in search.overrides if not entry.startswith("trainer")]
    by_recipe = compose([*plain, "tuned=won"], config_dirs=[workspace / "mine"])
    by_hand = compose(tune._overrides(search, params))
    assert cell_hash(by_recipe) == cell_hash(by_hand)


def test_a_recipe_stands_without_the_one_that_the_search_started_from(workspace):
    start = ("model=gcn", "dataset=digits", "tuned=luo2024/cora/gcn", "trainer.weight_decay=1e-3")
    search = tune.Search(start, {"trainer.lr": [0.01]})
    text = tune.recipe(search, {"trainer.lr": 0.01}, 0.5, "2 of 2")
    folder = workspace / "mine" / "tuned"
    folder.mkdir(parents=True)
    (folder / "won.yaml").write_text(text)
    by_recipe = compose(["model=gcn", "tuned=won"], config_dirs=[workspace / "mine"])
    assert cell_hash(by_recipe) == cell_hash(compose([*start, "trainer.lr=0.01"]))


def test_every_trial_is_the_mean_over_the_same_seeds(search, workspace):
    tune.tune(search)
    records = RunStore(workspace / "runs").records()
    assert sorted(record["seed"] for record in records) == [5] * 4 + [6] * 4
    by_cell = {}
    for record in records:
        by_cell.setdefault(record["cell_hash"], []).append(record["val"])
    means = {round(sum(values) / 2, 6) for values in by_cell.values()}
    assert {round(result, 6) for _, result in trials(search)} <= means


def test_a_stopped_search_draws_on_as_if_it_had_not_been(search, monkeypatch):
    tune.tune(search)
    whole = trials(search)
    (search.folder / "trials.db").unlink()
    real, calls = tune._tell, []

    def stop_at_the_second(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(tune, "_tell", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        tune.tune(search)
    monkeypatch.setattr(tune, "_tell", real)
    tune.tune(search)
    assert trials(search) == whole


def test_a_trial_killed_under_way_is_run_again_in_its_place(search, monkeypatch):
    tune.tune(search)
    whole = trials(search)
    (search.folder / "trials.db").unlink()
    real, calls = tune._scores, []

    def die_in_the_third(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(tune, "_scores", die_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        tune.tune(search)
    monkeypatch.setattr(tune, "_scores", real)
    tune.tune(search)
    assert trials(search) == whole


def test_another_space_or_other_seeds_are_another_search(search):
    folders = {search.folder}
    folders.add(dataclasses.replace(search, seeds=(7, 8)).folder)
    folders.add(dataclasses.replace(search, space=SPACE | {"trainer.lr": [0.2, 0.3]}).folder)
    folders.add(
        dataclasses.replace(search, overrides=(*search.overrides, "model.dropout=0.3")).folder
    )
    assert len(folders) == 4


def test_the_start_is_the_first_trial_although_the_space_does_not_hold_it(search, capfd):
    start = dataclasses.replace(search, space={"trainer.lr": [1e-9]}, num_trials=2)
    text = tune.tune(start).read_text()
    assert "2 of 2 trials" in text
    assert "1.0e-09" not in text.partition("Start")[2]


def test_settings_that_cannot_be_trained_count_and_do_not_end_the_search(search):
    broken = tune.Search(search.overrides, {"model.dropout": [0.2, 0.4, 7.0]}, 8, (5,))
    assert "of 8 trials trained" in tune.tune(broken).read_text()
    results = [result for _, result in trials(broken)]
    assert len(results) == 7
    assert any(isinstance(result, str) and "dropout" in result for result in results)


def test_what_is_not_the_settings_fault_ends_the_search_and_costs_no_trial(search, monkeypatch):
    def no_data(*arguments):
        raise FileNotFoundError("the raw files are away")

    monkeypatch.setattr(tune, "_scores", no_data)
    with pytest.raises(FileNotFoundError):
        tune.tune(search)
    assert trials(search) == []


def test_a_search_that_only_fails_says_why(search):
    hopeless = tune.Search((*search.overrides, "model.dropout=7"), {"trainer.lr": [0.1]}, 2, (5,))
    with pytest.raises(ConfigError, match=r"all 2 trials failed; the last one: .*dropout"):
        tune.tune(hopeless)


@pytest.mark.parametrize("name", ["classic", "mlp"])
def test_every_space_fits_its_models(name):
    model = "mlp" if name == "mlp" else "gcn"
    settings = compose([f"model={model}"]).settings
    for key in tune.load_space(name):
        part, _, setting = key.partition(".")
        assert setting in settings[part], key


def test_bad_spaces_and_budgets_are_named(tmp_path, search):
    with pytest.raises(ConfigError, match="no search space 'clasic'; there are: classic, mlp"):
        tune.load_space("clasic")
    path = tmp_path / "space.yaml"
    path.write_text("trainer.lr: {low: 1}\n")
    with pytest.raises(ConfigError, match=r"trainer\.lr must be a list of choices"):
        tune.load_space(str(path))
    with pytest.raises(ConfigError, match="at least one trial"):
        tune.Search(search.overrides, SPACE, 0)


def test_the_command_prints_the_recipe(workspace, toy_graph):
    code = "from gnnzoo.cli import main; main()"
    (workspace / "space.yaml").write_text("trainer.lr: [0.01, 0.1]\n")
    command = [
        sys.executable, "-c", code, "tune", "model=mlp", "dataset=file",
        f"dataset.path={toy_graph}", "trainer.epochs=2", "--space", "space.yaml",
        "--trials", "2", "--seeds", "3", "--jobs", "1",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "# @package _global_" in done.stdout
    assert done.stdout.strip().endswith("recipe.yaml")
