"""The run.json contract."""

import json
import subprocess

import numpy as np
import pytest

from gnnzoo.results import (
    compact,
    json_safe,
    new_record,
    provenance,
    validate,
    versions,
    write_record,
)


def test_a_new_record_is_running_and_valid():
    record = new_record(config={"seed": 3}, cell_hash="c", code_hash="k", seed=3)
    validate(record)
    assert record["status"] == "running"
    assert record["pid"] > 0
    assert record["heartbeat"] == record["started"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "done"}, "status must be one of running"),
        ({"seed": True}, "seed must be int, got True"),
        ({"seed": "1"}, "seed must be int, got '1'"),
        ({"test": "0.8"}, "test must be int or float"),
        ({"cell_hash": None}, "cell_hash must be str, got None"),
        ({"device": None}, "device is null in a finished run"),
        ({"split": {"number": 0}}, "split must have number and sha256"),
        ({"metrics": {"accuracy": 0.8}}, "metrics.accuracy must have val"),
        (
            {"metrics": {"a": {"val": 1, "test": 1, "epoch": 1, "mode": "up"}}},
            "mode must be max or min, got 'up'",
        ),
        ({"hostname": "x"}, "unknown key 'hostname'"),
    ],
)
def test_validate_says_what_is_wrong(make_record, changes, message):
    with pytest.raises(ValueError, match=message):
        validate(make_record() | changes)


def test_validate_lists_every_problem(make_record):
    record = make_record()
    del record["commit"], record["val"]
    with pytest.raises(ValueError, match=r"val is missing.*commit is missing"):
        validate(record)


def test_written_json_holds_null_for_nan(tmp_path, make_record):
    write_record(tmp_path, make_record(test=float("inf")) | {"val": np.float32(0.5)})
    written = json.loads((tmp_path / "run.json").read_text())
    assert written["test"] is None
    assert written["val"] == 0.5


def test_json_safe_reaches_inner_values(tmp_path):
    value = {"a": [1, float("nan"), (np.int64(2), None)], 3: tmp_path}
    assert json_safe(value) == {"a": [1, None, [2, None]], "3": str(tmp_path)}


def test_a_compact_line_is_small_and_tells_nothing_of_the_machine(make_record):
    record = make_record(
        config={"run_dir": "/srv/someone/runs", "rest": "x" * 9000},
        error="Traceback ... /srv/someone/model.py\nValueError: /srv/someone/data is empty",
        tuned="/srv/someone/gnnzoo/conf/tuned/cora/node/dagnn_backprop.yaml",
    )
    small = compact(record | {"run_dir": "a"})
    line = json.dumps(small)
    assert len(line) < 2000
    assert "someone" not in line
    assert small["error"] == "ValueError"
    assert small["tuned"] == "cora/node/dagnn_backprop.yaml"
    assert not {"pid", "run_dir", "heartbeat"} & set(small)


def test_versions_name_what_numbers_depend_on():
    assert {"python", "torch", "torch-geometric", "gnnzoo", "numpy"} <= set(versions())


@pytest.fixture
def source_tree(tmp_path, monkeypatch):
    """A repository that looks like the source tree to ``provenance``."""

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    for name in ("gnnzoo/__init__.py", "experiments/small/runs.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("1")
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "all")
    monkeypatch.setattr("gnnzoo.__file__", str(tmp_path / "gnnzoo" / "__init__.py"))
    provenance.cache_clear()
    yield tmp_path
    provenance.cache_clear()


def test_provenance_is_the_commit_and_a_filled_table_leaves_it_clean(source_tree):
    (source_tree / "experiments/small/runs.jsonl").write_text("2")
    assert len(provenance()) == 40


def test_changed_sources_make_the_commit_dirty(source_tree):
    (source_tree / "gnnzoo/__init__.py").write_text("2")
    assert provenance().endswith("-dirty")


def test_a_package_inside_another_repository_has_no_commit(source_tree, monkeypatch):
    inner = source_tree / "site-packages" / "gnnzoo" / "__init__.py"
    inner.parent.mkdir(parents=True)
    monkeypatch.setattr("gnnzoo.__file__", str(inner))
    assert provenance() is None
