"""Which runs count for a cell."""

import json

import pytest
import yaml

from gnnzoo.results import (
    Cell,
    Recheck,
    add_rechecks,
    collect,
    compare,
    extract,
    load_table,
    missing,
    published_records,
    summarise,
)
from gnnzoo.results.rechecks import read_rechecks

CELL = Cell("GCN", "cora", ["dataset=cora", "model=gcn"], (0, 1, 2, 3))
NOW = ("cell", "code")


def test_only_fresh_runs_make_the_value(make_record):
    records = [
        make_record(seed=0, test=0.80),
        make_record(seed=1, test=0.84),
        make_record(seed=1, test=0.10, code_hash="old"),
        make_record(seed=2, test=0.10, code_hash="old"),
        make_record(seed=3, test=None, status="failed", error="ValueError: no"),
        make_record(seed=9, test=0.1),
        make_record("other cell", seed=0, test=0.1),
    ]
    summary = summarise(CELL, NOW, records)
    assert summary.mean == pytest.approx(0.82)
    assert summary.std == pytest.approx(0.0282843, abs=1e-6)
    assert summary.n == 2
    assert (list(summary.stale), summary.failed, summary.missing) == ([2], [3], [])
    assert not summary.is_stale


def test_only_stale_runs_show_as_stale_and_from_one_version(make_record):
    late = "2026-02-01T00:00:00+00:00"
    records = [
        make_record(seed=0, test=0.5, code_hash="newer", started=late),
        make_record(seed=0, test=0.1, code_hash="older"),
        make_record(seed=1, test=0.1, code_hash="older"),
    ]
    summary = summarise(CELL, NOW, records)
    assert summary.is_stale
    assert (summary.mean, summary.n) == (0.5, 1)
    assert summary.missing == [1, 2, 3]


def test_a_finished_run_outlives_a_later_failure(make_record):
    records = [make_record(test=0.8), make_record(test=None, status="failed")]
    summary = summarise(CELL, NOW, records)
    assert summary.mean == 0.8
    assert summary.failed == []


def test_a_run_without_a_number_has_failed(make_record):
    assert summarise(CELL, NOW, [make_record(test=None)]).failed == [0]


def test_an_interrupted_run_is_missing(make_record):
    records = [make_record(test=None, status="interrupted")]
    assert summarise(CELL, NOW, records).missing == [0, 1, 2, 3]


@pytest.fixture
def table(tmp_path):
    raw = {
        "title": "Small",
        "protocol": "public split",
        "metric": "accuracy",
        "seeds": "range(0,3)",
        "columns": {"cora": {"overrides": ["dataset=cora"]}},
        "rows": [
            {"name": "MLP", "overrides": ["model=mlp"]},
            {"name": "GCN", "overrides": ["model=gcn"]},
        ],
        "baselines": ["MLP"],
    }
    path = tmp_path / "small" / "table.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(raw))
    (table,) = load_table(path)
    return table


def identify(overrides):
    return " ".join(overrides), "code"


def test_missing_lists_what_is_left_to_run(table, make_record):
    mlp = "dataset=cora model=mlp"
    records = [
        make_record(mlp, 0),
        make_record(mlp, 1, code_hash="old"),
        make_record(mlp, 2, None, status="failed"),
    ]
    left = [(cell.row, seed) for cell, seed in missing(table, identify, records)]
    assert left == [("MLP", 1), ("MLP", 2), ("GCN", 0), ("GCN", 1), ("GCN", 2)]


def test_another_metric_is_refused(table, make_record):
    scores = {"mrr": {"val": 0.7, "test": 0.8, "epoch": 3, "mode": "max"}}
    record = make_record("dataset=cora model=mlp", metric="mrr", metrics=scores)
    with pytest.raises(ValueError, match=r"shows accuracy, but its runs of MLP on cora .* by mrr"):
        collect(table, identify, [record])


def test_a_column_may_show_another_metric_of_the_same_runs(table, make_record):
    scores = {
        "mrr": {"val": 0.7, "test": 0.3, "epoch": 3, "mode": "max"},
        "accuracy": {"val": 0.7, "test": 0.6, "epoch": 5, "mode": "max"},
    }
    record = make_record("dataset=cora model=mlp", test=0.3, metric="mrr", metrics=scores)
    summary = collect(table, identify, [record])[0]
    assert (summary.metric, summary.mean) == ("accuracy", 0.6)


def test_runs_on_other_splits_are_not_paired(table, make_record):
    records = [make_record("dataset=cora model=mlp", seed, 0.5) for seed in range(3)]
    records += [make_record("dataset=cora model=gcn", seed, 0.8) for seed in range(2)]
    other = {"number": 2, "sha256": "b" * 64}
    records.append(make_record("dataset=cora model=gcn", 2, 0.1, split=other))
    found = compare(table, collect(table, identify, records))
    assert list(found) == [("GCN", "MLP", "cora")]
    assert found["GCN", "MLP", "cora"].n == 2
    assert found["GCN", "MLP", "cora"].mean == pytest.approx(0.3)


def test_an_extract_merges_old_and_new_and_forgets_removed_cells(table, make_record):
    mlp, gcn = "dataset=cora model=mlp", "dataset=cora model=gcn"
    first = [
        make_record(mlp, 1, 0.5),
        make_record(gcn, 0, 0.6, code_hash="old"),
        make_record(gcn, 1, 0.6, code_hash="old"),
        make_record("dataset=cora model=gone", 0, 0.9),
    ]
    path = extract([table], identify, first)
    extract([table], identify, [make_record(gcn, 0, 0.8), make_record(mlp, 0, 0.4)])
    kept = [(r["cell_hash"], r["seed"], r["test"]) for r in published_records([table])]
    assert kept == [(gcn, 0, 0.8), (gcn, 1, 0.6), (mlp, 0, 0.4), (mlp, 1, 0.5)]
    before = path.read_bytes()
    extract([table], identify, [])
    assert path.read_bytes() == before
    for line in before.splitlines():
        assert len(line) < 2000
        assert "pid" not in json.loads(line)


def test_runs_that_fall_out_of_an_extract_are_told(table, make_record):
    mlp = "dataset=cora model=mlp"
    extract([table], identify, [make_record(mlp, 0, 0.5)])
    with pytest.warns(UserWarning, match="1 committed runs belong to no cell"):
        extract([table], lambda overrides: ("renamed", "code"), [])


def test_runs_of_older_sources_count_where_a_recheck_says_so(table, make_record):
    gcn = "dataset=cora model=gcn"
    runs = [make_record(gcn, seed, 0.6, code_hash="older") for seed in range(3)]
    runs.append(make_record(gcn, 1, 0.7, code_hash="unrelated"))
    cell = next(cell for cell in table.cells() if identify(cell.overrides)[0] == gcn)
    code = identify(cell.overrides)[1]
    assert not summarise(cell, (gcn, code), runs).fresh
    rechecks = [Recheck(gcn, 0, "older", "old"), Recheck(gcn, 0, "old", code)]
    summary = summarise(cell, (gcn, code), runs, rechecks)
    assert summary.num_rechecked == len(summary.fresh) > 0
    assert {record["code_hash"] for record in summary.fresh.values()} == {"older"}
    assert not summarise(cell, (gcn, code), runs, rechecks[1:]).fresh, "a step is missing"
    other = [Recheck("another cell", 0, "older", code)]
    assert not summarise(cell, (gcn, code), runs, other).fresh


def test_rechecks_are_kept_once(tmp_path):
    entry = Recheck("cell", 0, "old", "new")
    add_rechecks(tmp_path, [entry])
    add_rechecks(tmp_path, [entry, Recheck("cell", 1, "new", "newer")])
    assert read_rechecks(tmp_path) == [entry, Recheck("cell", 1, "new", "newer")]


def test_the_installed_package_is_never_written_to(table, monkeypatch, tmp_path):
    monkeypatch.setattr("gnnzoo.__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(ValueError, match="part of the installed package"):
        extract([table], identify, [])


def test_a_cell_in_two_blocks_is_extracted_once(table, make_record):
    record = make_record("dataset=cora model=mlp", 1, 0.5)
    path = extract([table, table], identify, [record])
    assert len(path.read_text().splitlines()) == 1
