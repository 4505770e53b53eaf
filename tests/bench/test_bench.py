import csv

import pytest
import torch

from gnnzoo.bench import BENCHMARKS, run_benchmarks
from gnnzoo.bench.report import COLUMNS

GOALS = {
    "forward": [0.2],
    # 4 graphs, 9 models, 7 with and without input dropout; the second but last: edge features
    "classics": 4 * 16 * [1 / 3],
    "dagnn": [0.10, 0.3, 0.06, 0.3, 1 / 12],
    "gcn": [],
    "loop": [1.15],
    "ncn": [0.42 / 0.073 / 4, 0.74 / 0.073 / 4, 0.6 / 0.073 / 10],
    "overlap": [1 / 8] * 3,
    "patterns": [1 / 5, 0.15 / 0.125, 0.1 / 0.125],
    "scan": [1 / 8, 1.2, 1.2, 1.05],
    "sheaf": [0.74, 1.30, 1.20, 0.77, 2.26, 1.63, 0.58, 1.60, 1.14],
    "spmm": [],
    "sweep": [1 / 1.7],
}


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """An empty data root, no mirror, no network."""

    def refuse(address, timeout):
        raise OSError("no network in tests")

    monkeypatch.setenv("GNNZOO_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("GNNZOO_MIRROR", raising=False)
    monkeypatch.setattr("urllib.request.urlopen", refuse)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_runs_on_small_graphs(name, no_data, tmp_path, capsys):
    run_benchmarks([name], csv=str(tmp_path), quick=True)
    out = capsys.readouterr().out
    assert f"{name}, on CPU, 1 thread" in out
    with (tmp_path / f"{name}.csv").open() as stream:
        records = list(csv.DictReader(stream))
    assert list(records[0]) == COLUMNS
    measured = [record for record in records if record["contestant"]]
    assert len(measured) >= 2
    for record in measured:
        assert float(record["median_ms"]) > 0
        assert float(record["ratio_low"]) <= float(record["ratio"]) <= float(record["ratio_high"])
        assert record["benchmark"] == name
        assert (record["device"], record["threads"]) == ("cpu", "1")
        assert record["torch"] == torch.__version__
    aims = [record for record in measured if record["time_goal"]]
    assert [float(aim["time_goal"]) for aim in aims] == pytest.approx(GOALS[name], rel=1e-4)
    for aim in aims:
        state = "met" if float(aim["ratio"]) <= float(aim["time_goal"]) else "missed"
        assert aim["time_goal_state"] == state
        assert f"time at most {float(aim['time_goal']):.3g}: {state}" in out


def test_a_missing_data_set_is_shown_and_the_rest_goes_on(no_data, tmp_path, capsys):
    run_benchmarks(["gcn", "loop"], csv=str(tmp_path))
    out = " ".join(capsys.readouterr().out.split())
    assert "gcn, on CPU" in out
    assert "loop, on CPU" in out
    assert "not run: cora needs" in out
    with (tmp_path / "gcn.csv").open() as stream:
        records = list(csv.DictReader(stream))
    assert [record["case"] for record in records] == ["Cora", "CiteSeer"]
    for record in records:
        assert record["note"].startswith(f"not run: {record['case'].lower()} needs")
        assert record["median_ms"] == ""


def test_a_data_set_without_a_loader_is_shown_and_the_rest_goes_on(no_data, capsys, monkeypatch):
    monkeypatch.setattr("gnnzoo.bench.classics.GRAPHS", {"Atlantis": "atlantis", "Cora": "cora"})
    run_benchmarks(["classics"])
    out = " ".join(capsys.readouterr().out.split())
    assert "not run: no dataset named 'atlantis'" in out
    assert "not run: cora needs" in out


def test_an_unknown_benchmark_is_refused_with_the_known_ones_named():
    with pytest.raises(
        ValueError,
        match="no benchmark 'gnc'; there are: classics, dagnn, forward, gcn, loop, ncn, overlap",
    ):
        run_benchmarks(["dagnn", "gnc"])


def test_an_unknown_device_is_refused():
    with pytest.raises(ValueError, match="device must be cpu or cuda, got 'tpu'"):
        run_benchmarks(["gcn"], device="tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused():
    with pytest.raises(ValueError, match="torch sees no CUDA device"):
        run_benchmarks(["gcn"], device="cuda")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_runs_on_cuda(name, no_data, capsys):
    run_benchmarks([name], device="cuda", quick=True)
    assert torch.cuda.get_device_name() in capsys.readouterr().out
