"""A table names its searches: they are made where a recipe is missing, and only there."""

import pytest
import yaml

from gnnzoo import searches, tables
from gnnzoo.results import load_table

SPACE = {"trainer.lr": [0.001, 0.1], "model.dropout": [0.0, 0.5]}


@pytest.fixture
def blocks(workspace, toy_graph, monkeypatch):
    """A table of one searched row and one that is not; its recipes go to a folder of its own."""
    monkeypatch.setattr(searches, "conf_root", lambda: workspace / "conf")
    space = workspace / "small.yaml"
    space.write_text(yaml.safe_dump(SPACE))
    short = ["dataset=file", f"dataset.path={toy_graph}", "trainer.epochs=3", "device=cpu"]
    raw = {
        "title": "Toy", "protocol": "its own masks", "metric": "accuracy", "seeds": [0, 1],
        "search": {"trials": 2, "seeds": [5], "final": 1, "final_seeds": "range(5,7)"},
        "columns": {"toy": {"overrides": short}},
        "rows": [
            {"name": "MLP", "overrides": ["model=mlp"]},
            {
                "name": "MLP, tuned",
                "space": str(space),
                "overrides": ["model=mlp", "tuned=searched/${dataset}/${model}_test"],
            },
        ],
    }  # fmt: skip
    path = workspace / "own" / "table.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(raw))
    return load_table(path)


def test_a_missing_recipe_is_searched_once_and_its_trials_lie_beside_the_table(blocks, workspace):
    (wanted,) = searches.missing_searches(blocks)
    assert wanted.recipe == workspace / "conf/tuned/searched/file/mlp_test.yaml"
    assert wanted.search.num_trials == 2
    assert wanted.search.final_seeds == (5, 6)
    assert searches.make_searches(blocks, 1) == []
    assert "# Searched: 2 trials" in wanted.recipe.read_text()
    trials = (workspace / "own/search/file_mlp_test.csv").read_text().splitlines()
    assert len(trials) == 3
    assert searches.missing_searches(blocks) == []


def test_a_search_that_fails_is_told_and_leaves_nothing(blocks, workspace):
    (workspace / "small.yaml").write_text("model.no_such: [1]")
    (line,) = searches.make_searches(blocks, 1)
    assert "model.no_such" in line
    assert not (workspace / "conf").exists()


def test_a_cell_without_its_recipe_waits_and_the_others_are_filled(blocks, capsys):
    assert tables.fill(blocks, tables.identifier(), 1) == []
    assert "no recipe yet, --tune searches: MLP, tuned on toy" in capsys.readouterr().err
    assert tables.fill(blocks, tables.identifier(), 1) == []
    assert "every other cell is filled" in capsys.readouterr().err


def test_cells_are_named_by_wildcards(blocks):
    (tuned,) = tables.only(blocks, "*tuned/t*")
    assert [(cell.row, cell.column) for cell in tuned.cells()] == [("MLP, tuned", "toy")]
    (both,) = tables.only(blocks, "toy")
    assert len(both.cells()) == 2
    with pytest.raises(ValueError, match=r"'texas' names no cell; .* MLP, MLP, tuned, toy"):
        tables.only(blocks, "texas")
