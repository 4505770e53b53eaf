"""One run: its record, what it may not see, and what survives a kill or Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

import gnnzoo
from gnnzoo.config import ConfigError, compose
from gnnzoo.executor import RunRefused, execute, override_strings
from gnnzoo.results import RunStore, read_curve_csv, validate
from gnnzoo.train.checkpoint import load_weights

FAST = ("trainer.epochs=6", "progress=none", "device=cpu")


def toy_run(path: Path, *overrides: str):
    return execute(compose(["dataset=file", f"dataset.path={path}", *FAST, *overrides]))


def final(run_dir: Path) -> dict:
    """Everything of a run that must not depend on when it was interrupted."""
    record = json.loads((run_dir / "run.json").read_text())
    same = ("status", "val", "test", "metrics", "best_epoch", "epochs", "cell_hash", "code_hash")
    weights = load_weights(run_dir / "weights.safetensors")
    curve = (run_dir / "curve.csv").read_text()
    return {key: record[key] for key in same} | {"curve": curve, "weights": weights}


def assert_same(first: dict, second: dict) -> None:
    weights = first.pop("weights"), second.pop("weights")
    assert first == second
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


@pytest.mark.parametrize("model", ["dagnn", "gcn", "mlp"])
def test_a_run_leaves_a_full_record_weights_and_curve(workspace, toy_graph, model):
    outcome = toy_run(toy_graph, f"model={model}")
    record = json.loads((outcome.run_dir / "run.json").read_text())
    validate(record)
    assert record["status"] == "finished"
    assert record["tuned"] is None
    assert 0.0 <= record["test"] <= 1.0
    assert record["metrics"]["accuracy"]["test"] == record["test"]
    assert record["split"]["number"] == 0
    assert len(read_curve_csv(outcome.run_dir / "curve.csv")) == record["epochs"] == 6
    assert (outcome.run_dir / "curve.png").read_bytes().startswith(b"\x89PNG")
    weights = load_weights(outcome.run_dir / "weights.safetensors")
    assert sum(w.numel() for w in weights.values()) == record["num_parameters"]
    assert not (outcome.run_dir / "checkpoint.pt").exists()
    assert [r["test"] for r in RunStore(workspace / "runs").records()] == [record["test"]]


def test_a_finished_run_is_looked_up_and_not_run_again(workspace, toy_graph):
    first = toy_run(toy_graph)
    again = toy_run(toy_graph, "threads=1")
    assert again.skipped
    assert again.record["started"] == first.record["started"]
    assert not toy_run(toy_graph, "seed=1").skipped
    assert not toy_run(toy_graph, "rerun=true").skipped


def test_python_and_shell_name_the_same_run(workspace, toy_graph):
    outcome = toy_run(toy_graph, "model.num_hops=3")
    record = gnnzoo.run(
        dataset="file",
        model={"num_hops": 3},
        trainer={"epochs": 6},
        progress="none",
        device="cpu",
        **{"dataset.path": str(toy_graph)},
    )
    assert record["started"] == outcome.record["started"]


def test_overrides_are_quoted_for_hydra():
    lines = override_strings({"a": None, "b": "x y'z", "c": {"d": 1.5, "e": {}}, "f": (1, "g")})
    assert lines == ["a=null", "b='x y\\'z'", "++c.d=1.5", "++c.e={}", "f=[1,g]"]


def test_python_reaches_settings_that_no_file_lists(workspace, toy_graph):
    record = gnnzoo.run(
        dataset="file",
        progress="none",
        trainer={"epochs": 2, "groups": {"gate": {"lr": 0.5}}},
        **{"dataset.path": str(toy_graph)},
    )
    assert record["config"]["trainer"]["groups"] == {"gate": {"lr": 0.5}}
    with pytest.raises(ConfigError, match="no argument 'lrr'; did you mean lr"):
        gnnzoo.run(dataset="file", trainer={"lrr": 1}, **{"dataset.path": str(toy_graph)})


def test_a_finished_run_that_the_store_missed_is_found_and_added(workspace, toy_graph):
    first = toy_run(toy_graph)
    (workspace / "runs" / "runs.jsonl").unlink()
    assert toy_run(toy_graph).skipped
    (record,) = RunStore(workspace / "runs").records()
    assert record["started"] == first.record["started"]


def test_deterministic_runs_repeat_exactly(workspace, toy_graph):
    runs = [toy_run(toy_graph, "deterministic=true", f"run_dir=run{i}") for i in range(2)]
    assert_same(*(final(outcome.run_dir) for outcome in runs))
    assert not torch.are_deterministic_algorithms_enabled(), "the caller's setting comes back"


@pytest.mark.slow
def test_a_compiled_encoder_trains_like_an_eager_one(workspace, toy_graph):
    settings = ("model.dropout=0", "model.num_hops=2", "trainer.epochs=3")
    eager, compiled = (
        read_curve_csv(
            toy_run(toy_graph, *settings, f"trainer.compile={flag}").run_dir / "curve.csv"
        )
        for flag in ("false", "true")
    )
    for first, second in zip(eager, compiled, strict=True):
        assert first == pytest.approx(second, abs=1e-4)


def test_half_precision_trains_close_to_full_precision(workspace, toy_graph):
    settings = ("model.dropout=0", "trainer.epochs=20")
    full, half = (
        toy_run(toy_graph, *settings, f"trainer.precision={precision}")
        for precision in ("fp32", "bf16")
    )
    assert half.record["cell_hash"] != full.record["cell_hash"]
    curves = [read_curve_csv(outcome.run_dir / "curve.csv")[-1] for outcome in (full, half)]
    assert curves[0]["loss"] == pytest.approx(curves[1]["loss"], abs=0.05)


def poisoned(path: Path, tmp_path: Path) -> Path:
    """The same graph with every test label changed."""
    arrays = dict(np.load(path))
    arrays["y"] = np.where(arrays["test_mask"], 1 - arrays["y"], arrays["y"])
    np.savez(tmp_path / "poisoned.npz", **arrays)
    return tmp_path / "poisoned.npz"


@pytest.mark.parametrize("model", ["dagnn", "gcn", "mlp"])
def test_test_labels_change_nothing_but_the_test_score(workspace, toy_graph, tmp_path, model):
    clean = toy_run(toy_graph, f"model={model}")
    poison = toy_run(poisoned(toy_graph, tmp_path), f"model={model}")
    first, second = final(clean.run_dir), final(poison.run_dir)
    assert first.pop("test") == pytest.approx(1 - second.pop("test"))
    for entry in (first, second):
        entry.pop("cell_hash")
        entry["metrics"]["accuracy"].pop("test")
    assert_same(first, second)


def test_the_data_given_to_training_hold_no_test_label(workspace, toy_graph):
    from gnnzoo.assemble import build_parts

    composed = compose(["dataset=file", f"dataset.path={toy_graph}"])
    task = build_parts(composed, torch.device("cpu")).task
    assert (task.data.y[task.data.test_mask] == -1).all()


def test_a_failed_run_is_recorded_with_its_error(workspace, toy_graph):
    with pytest.raises(ValueError, match="dropout"):
        toy_run(toy_graph, "model.dropout=2")
    (record,) = RunStore(workspace / "runs").records()
    assert record["status"] == "failed"
    assert "dropout" in record["error"]


def test_a_loss_that_is_not_finite_fails_with_the_epoch_named(workspace, toy_graph):
    with pytest.raises(RuntimeError, match=r"in epoch [0-9]+; a lower trainer\.lr"):
        toy_run(toy_graph, "trainer.lr=1e38", "model=gcn")
    (record,) = RunStore(workspace / "runs").records()
    assert "epoch" in record["error"]


def test_a_folder_with_another_run_is_refused(workspace, toy_graph):
    toy_run(toy_graph, "run_dir=here")
    with pytest.raises(RunRefused, match="holds a run with other settings"):
        toy_run(toy_graph, "run_dir=here", "model=gcn")
    with pytest.raises(RunRefused, match="other seed"):
        toy_run(toy_graph, "run_dir=here", "seed=3")


def test_a_folder_with_foreign_files_is_refused(workspace, toy_graph):
    (workspace / "mine").mkdir()
    (workspace / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(RunRefused, match=r"no run\.json; choose an empty folder"):
        toy_run(toy_graph, "run_dir=mine")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("threads=0", "threads must be at least 1 or null, got 0"),
        ("trainer.lr=abc", "lr must be a number from 0, got 'abc'"),
        ("dataset.path=???", "dataset.path is needed; give it as dataset.path="),
        ("device=gpu", "device must be auto, cpu or cuda, got 'gpu'"),
        ("features.sparse=maybe", "features.sparse must be"),
        ("features.normalize=column", "features.normalize must be none or row"),
        ("progress=loud", "progress must be auto, bar, lines or none"),
        ("protocol.metric=acuracy", "no node metric 'acuracy'; there are: accuracy"),
    ],
)
def test_settings_that_cannot_work_are_named(workspace, toy_graph, override, words):
    with pytest.raises(ValueError, match=words):
        toy_run(toy_graph, override)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("finished", [False, True])
def test_a_missing_device_is_named_whether_the_run_is_finished_or_not(
    workspace, toy_graph, finished
):
    if finished:
        toy_run(toy_graph)
    with pytest.raises(ConfigError, match="torch sees no CUDA device; device=cpu works"):
        toy_run(toy_graph, "device=cuda")
    with pytest.raises(ConfigError, match="device must be auto, cpu or cuda, got 'gpu'"):
        toy_run(toy_graph, "device=gpu")


def command(path: Path, run_dir: Path, epochs: int = 600) -> list[str]:
    code = "from gnnzoo.cli import main; main()"
    return [
        sys.executable, "-c", code, "train", "dataset=file", f"dataset.path={path}",
        f"run_dir={run_dir}", "threads=1", "device=cpu", "checkpoint_seconds=0.2",
        f"trainer.epochs={epochs}", "trainer.stopping=null", "progress=none",
    ]  # fmt: skip


def start(
    path: Path, run_dir: Path, epochs: int = 600, extra: Iterable[str] = ()
) -> subprocess.Popen:
    """Start a run and wait for its first checkpoint."""
    process = subprocess.Popen(
        [*command(path, run_dir, epochs), *extra],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (run_dir / "checkpoint.pt").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    return process


def test_a_run_killed_twice_ends_bit_identical(workspace, toy_graph):
    whole, broken = workspace / "whole", workspace / "broken"
    subprocess.run(command(toy_graph, whole), check=True, capture_output=True)
    for _ in range(2):
        process = start(toy_graph, broken)
        process.kill()
        process.wait()
        assert json.loads((broken / "run.json").read_text())["status"] == "running"
    subprocess.run(command(toy_graph, broken), check=True, capture_output=True)
    assert_same(final(whole), final(broken))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_so_and_resumes(workspace, toy_graph, number, status):
    whole, broken = workspace / "whole", workspace / "broken"
    process = start(toy_graph, broken)
    os.kill(process.pid, number)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == status
    assert "the same command goes on from here" in complaints
    assert "Traceback" not in complaints
    record = json.loads((broken / "run.json").read_text())
    assert record["status"] == "interrupted"
    subprocess.run(command(toy_graph, broken), check=True, capture_output=True)
    subprocess.run(command(toy_graph, whole), check=True, capture_output=True)
    assert_same(final(whole), final(broken))


def test_two_processes_never_fill_one_folder(workspace, toy_graph):
    process = start(toy_graph, workspace / "here", epochs=100_000)
    try:
        done = subprocess.run(
            command(toy_graph, workspace / "here", epochs=100_000), capture_output=True, text=True
        )
        assert done.returncode == 1
        assert "is being filled by another process" in done.stderr
    finally:
        process.kill()
        process.wait()


def test_edge_weights_of_a_file_reach_the_model(workspace, toy_graph, tmp_path):
    plain = toy_run(toy_graph, "model=gcn")
    arrays = dict(np.load(toy_graph))
    weights = np.random.default_rng(0).random(arrays["edge_index"].shape[1])
    np.savez(tmp_path / "weighted.npz", **arrays, edge_weight=weights)
    weighted = toy_run(tmp_path / "weighted.npz", "model=gcn")
    curves = [read_curve_csv(run.run_dir / "curve.csv") for run in (plain, weighted)]
    assert curves[0][0]["loss"] != curves[1][0]["loss"]
