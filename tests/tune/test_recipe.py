"""The winner as a recipe: what won, from which budget, under which limits."""

import dataclasses
import subprocess
import sys

import pytest

from gnnzoo.config import compose
from gnnzoo.identity import cell_hash
from gnnzoo.results import RunStore
from tests.tune.reading import rows

pytest.importorskip("optuna", reason="the search needs the extra tune")

from gnnzoo import tune
from gnnzoo.tune.recipe import recipe
from gnnzoo.tune.trials import Trial


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
    text = recipe(search, won, [won], {}, 7.0)
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
    assert "trials 2/2  best validation accuracy " in done.stderr
    assert "second stage: the best 1 again; finalists on the seeds 3, 4, 7\n" in done.stderr
    assert "finalists 1/1  best validation accuracy " in done.stderr


def test_without_optuna_one_sentence_says_what_to_install(workspace):
    code = "import sys; sys.modules['optuna'] = None; from gnnzoo.cli import main; main()"
    command = [sys.executable, "-c", code, "tune", "model=sgc", "--space", "sgc"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    assert done.stderr == 'error: gnnzoo tune needs Optuna: pip install "gnnzoo[tune]"\n'
    assert not list(workspace.iterdir())
