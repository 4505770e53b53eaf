"""The store under concurrent writers, killed writers and rebuilding."""

import json
import multiprocessing
import warnings

import pytest

from gnnzoo.results import RunStore, write_record


def _append_many(root, record, worker, num_lines):
    store = RunStore(root)
    for number in range(num_lines):
        seed = worker * num_lines + number
        store.append(record | {"seed": seed}, run_dir=root / f"run{seed}")


def test_four_processes_append_without_losing_a_line(tmp_path, make_record):
    record = make_record(config={"filling": "x" * 5000})
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=_append_many, args=(tmp_path, record, worker, 25))
        for worker in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    records = RunStore(tmp_path).records()
    assert sorted(record["seed"] for record in records) == list(range(100))


def test_an_empty_store_has_no_records(tmp_path):
    store = RunStore(tmp_path / "nowhere")
    assert store.records() == []
    assert store.find("cell", 0) == []
    assert not (tmp_path / "nowhere").exists()


def test_a_torn_last_line_is_reported_and_harms_no_other(tmp_path, make_record):
    store = RunStore(tmp_path)
    store.append(make_record(seed=0), run_dir=tmp_path / "a")
    with store.path.open("ab") as stream:
        stream.write(b'{"status": "fini')
    with pytest.warns(UserWarning, match=r"1 unreadable line.*rebuild"):
        assert [record["seed"] for record in store.records()] == [0]
    store.append(make_record(seed=1), run_dir=tmp_path / "b")
    with pytest.warns(UserWarning, match="1 unreadable line"):
        assert [record["seed"] for record in store.records()] == [0, 1]


def test_rebuild_restores_what_a_torn_line_lost(tmp_path, make_record):
    store = RunStore(tmp_path / "runs")
    write_record(store.root / "deep" / "a", make_record(seed=0))
    write_record(tmp_path / "elsewhere", make_record(seed=1))
    store.append(make_record(seed=1), run_dir=tmp_path / "elsewhere")
    store.append(make_record(seed=2), run_dir=store.root / "gone")
    (store.root / "bad").mkdir()
    (store.root / "bad" / "run.json").write_text("{")
    with store.path.open("ab") as stream:
        stream.write(b'{"status": "fini')

    report = store.rebuild()

    assert report.num_records == 2
    assert report.dropped == ["gone"]
    assert len(report.unreadable) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = {record["seed"]: record["run_dir"] for record in store.records()}
    assert found == {0: "deep/a", 1: (tmp_path / "elsewhere").as_posix()}


def test_the_last_line_of_a_run_counts(tmp_path, make_record):
    store = RunStore(tmp_path)
    store.append(make_record(status="failed", test=None), run_dir=tmp_path / "a")
    assert store.find("cell", 0)[0]["status"] == "failed"
    store.append(make_record(test=0.7), run_dir=tmp_path / "a")
    store.append(make_record(test=0.6, code_hash="other"), run_dir=tmp_path / "b")
    assert [record["test"] for record in store.find("cell", 0)] == [0.7, 0.6]
    assert [record["test"] for record in store.find("cell", 0, "other")] == [0.6]
    assert store.find("cell", 1) == []


def test_nan_becomes_null(tmp_path, make_record):
    store = RunStore(tmp_path)
    store.append(make_record(val=float("nan")), run_dir=tmp_path / "a")
    assert json.loads(store.path.read_text())["val"] is None


def test_a_line_needs_a_valid_record_and_a_folder(tmp_path, make_record):
    store = RunStore(tmp_path)
    with pytest.raises(ValueError, match="run folder"):
        store.append(make_record())
    with pytest.raises(ValueError, match="status must be one of"):
        store.append(make_record() | {"status": "done"}, run_dir=tmp_path)
    assert not store.path.exists()
