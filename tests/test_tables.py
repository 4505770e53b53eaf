"""A table whose sources have changed: one rerun per cell tells whether its numbers still hold."""

import json
import shutil

import numpy as np
import pytest
import yaml

from gnnzoo import table_plots, tables
from gnnzoo.paths import runs_root
from gnnzoo.results import collect, load_table


@pytest.fixture
def blocks(workspace, toy_graph):
    """A filled table of two cells with two seeds each."""
    short = ["dataset=file", f"dataset.path={toy_graph}", "trainer.epochs=3", "device=cpu"]
    raw = {
        "title": "Toy", "protocol": "its own masks", "metric": "accuracy", "seeds": [0, 1],
        "columns": {"toy": {"overrides": short}},
        "rows": [{"name": name.upper(), "overrides": [f"model={name}"]} for name in ("mlp", "gcn")],
    }  # fmt: skip
    path = workspace / "own" / "table.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(raw))
    blocks = load_table(path)
    assert tables.fill(blocks, tables.identifier(), 1) == []
    return blocks


def as_if_older(change) -> None:
    """Let the records of the store come from other sources."""
    store = runs_root() / "runs.jsonl"
    records = [json.loads(line) for line in store.read_text().splitlines()]
    for record in records:
        record["code_hash"] = "older"
        change(record)
    store.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    for path in runs_root().glob("*_node"):
        shutil.rmtree(path)


def fresh_and_stale(blocks) -> dict[str, tuple[int, int]]:
    summaries = collect(blocks[0], tables.identifier(), tables.known_records(blocks))
    return {summary.cell.row: (len(summary.fresh), len(summary.stale)) for summary in summaries}


def test_runs_count_again_where_one_seed_gives_the_same_scores(blocks):
    def change(record):
        if record["config"]["model"]["_target_"].endswith("GCN") and record["seed"] == 0:
            record["metrics"]["accuracy"]["val"] += 1e-9

    as_if_older(change)
    assert fresh_and_stale(blocks) == {"MLP": (0, 2), "GCN": (0, 2)}
    (line,) = tables.recheck(blocks, tables.identifier(), 1)
    assert line.startswith("GCN on toy, seed 0: ")
    assert fresh_and_stale(blocks) == {"MLP": (2, 0), "GCN": (1, 1)}
    assert "1 runs are of earlier sources" in tables.markdown(
        blocks, tables.identifier(), tables.known_records(blocks)
    )
    assert tables.fill(blocks, tables.identifier(), 1) == []
    assert fresh_and_stale(blocks) == {"MLP": (2, 0), "GCN": (2, 0)}


def test_there_may_be_nothing_to_recheck(blocks):
    assert tables.recheck(blocks, tables.identifier(), 1) == []
    assert fresh_and_stale(blocks) == {"MLP": (2, 0), "GCN": (2, 0)}


def test_a_recheck_that_was_cut_off_does_not_hide_the_runs_before_it(blocks):
    """One seed has a run of sources in between, and nothing says that they gave the same."""
    as_if_older(lambda record: None)
    store = runs_root() / "runs.jsonl"
    records = [json.loads(line) for line in store.read_text().splitlines()]
    between = [record | {"code_hash": "between"} for record in records if record["seed"] == 0]
    with store.open("a") as stream:
        stream.writelines(f"{json.dumps(record)}\n" for record in between)
    assert tables.recheck(blocks, tables.identifier(), 1) == []
    assert fresh_and_stale(blocks) == {"MLP": (2, 0), "GCN": (2, 0)}


def test_a_cell_whose_recipe_is_still_to_be_searched_is_missing(workspace):
    raw = {
        "title": "Toy", "protocol": "none", "metric": "accuracy", "seeds": [0, 1],
        "columns": {"digits": {"overrides": ["dataset=digits"]}},
        "rows": [{"name": "GCN", "overrides": ["model=gcn", "tuned=searched/digits/gcn"]}],
    }  # fmt: skip
    path = workspace / "own" / "table.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(raw))
    blocks, identify = load_table(path), tables.identifier()
    (summary,) = collect(blocks[0], identify, [])
    assert summary.missing == [0, 1]
    assert "| GCN | not run |" in tables.markdown(blocks, identify, [])


def test_scores_are_drawn_against_the_homophily_of_the_data(blocks, toy_graph, monkeypatch):
    path = blocks[0].path
    raw = yaml.safe_load(path.read_text()) | {"plots": {"homophily": ["GCN"]}}
    path.write_text(yaml.safe_dump(raw))
    seen = {}
    monkeypatch.setattr(
        "gnnzoo.table_plots.plot_by_homophily",
        lambda scores, homophily, *rest: seen.update(scores=scores, homophily=homophily),
    )
    wider = load_table(path)
    summaries = [collect(wider[0], tables.identifier(), tables.known_records(wider))]
    (drawn,) = table_plots.draw_homophily(wider, summaries, path.parent)
    assert drawn == path.parent / "homophily.png"
    with np.load(toy_graph) as graph:
        source, target = np.unique(graph["edge_index"], axis=1)
        proper = source != target
        share = (graph["y"][source] == graph["y"][target])[proper].mean()
    assert seen["homophily"] == {"toy": pytest.approx(share)}
    gcn = next(summary for summary in summaries[0] if summary.cell.row == "GCN")
    assert seen["scores"] == {"GCN": {"toy": (gcn.mean, gcn.std)}}
    assert table_plots.draw_homophily(blocks, summaries, path.parent) == []
