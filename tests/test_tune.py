"""The search: equal trials, validation only, resumable, the winner written as a recipe."""

import subprocess
import sys

import pytest
import yaml

from gnnzoo import tune
from gnnzoo.config import ConfigError, compose
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
    return {t.number: (t.params, t.user_attrs.get("result")) for t in tune._open(search).trials}


def test_the_winner_has_the_best_validation_score_and_is_a_working_recipe(search, workspace):
    path = tune.tune(search)
    results = trials(search)
    assert len(results) == 4
    params = max(results.values(), key=lambda entry: entry[1])[0]
    text = path.read_text()
    found = yaml.safe_load(text)
    assert found["trainer"] == {"epochs": 4, "lr": params["trainer.lr"]}
    assert found["model"]["dropout"] == pytest.approx(params["model.dropout"])
    assert "4 of 4 random trials" in text
    folder = workspace / "mine" / "tuned"
    folder.mkdir(parents=True)
    (folder / "won.yaml").write_text(text)
    composed = compose(["model=mlp", "tuned=won"], config_dirs=[workspace / "mine"])
    assert composed.settings.trainer.lr == params["trainer.lr"]


def test_every_trial_is_the_mean_over_the_same_seeds(search, workspace):
    tune.tune(search)
    records = RunStore(workspace / "runs").records()
    assert sorted(record["seed"] for record in records) == [5] * 4 + [6] * 4
    by_cell = {}
    for record in records:
        by_cell.setdefault(record["cell_hash"], []).append(record["val"])
    means = sorted(sum(values) / 2 for values in by_cell.values())
    assert means == pytest.approx(sorted(result for _, result in trials(search).values()))


def test_a_stopped_search_draws_on_as_if_it_had_not_been(search, workspace, monkeypatch):
    tune.tune(search)
    whole = trials(search)
    (search.folder / "trials.db").unlink()
    real, calls = tune._tell, []

    def stop_at_the_third(study, trial, result):
        calls.append(trial.number)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(study, trial, result)

    monkeypatch.setattr(tune, "_tell", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        tune.tune(search)
    monkeypatch.setattr(tune, "_tell", real)
    tune.tune(search)
    counted = [entry for entry in trials(search).values() if entry[1] is not None]
    assert len(counted) == 4
    assert counted[:3] == [whole[number] for number in range(3)]


def test_the_settings_at_hand_are_the_first_trial_if_the_space_holds_them(search):
    start = tune.Search((*search.overrides, "trainer.lr=0.1", "model.dropout=0.25"), SPACE, 1, (5,))
    tune.tune(start)
    assert trials(start)[0][0] == {"trainer.lr": 0.1, "model.dropout": 0.25, "model.norm": None}


def test_failing_trials_count_and_do_not_end_the_search(search):
    broken = tune.Search(search.overrides, {"model.dropout": [0.2, 0.4, 7.0]}, 8, (5,))
    tune.tune(broken)
    results = [result for _, result in trials(broken).values()]
    assert len(results) == 8
    assert any(isinstance(result, str) and "dropout" in result for result in results)


def test_a_search_that_only_fails_says_why(search):
    hopeless = tune.Search(search.overrides, {"model.dropout": [7.0]}, 2, (5,))
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
