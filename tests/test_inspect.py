"""``gnnzoo inspect`` as a user runs it: on data that ship, on files of all kinds, on mistakes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gnnzoo.cli import main
from gnnzoo.registry import list_names


@pytest.fixture
def run(workspace, monkeypatch, capfd):
    """Run the command; returns its exit status, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["gnnzoo", "inspect", *arguments])
        monkeypatch.setattr("sys.path", list(sys.path))
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0), *capfd.readouterr()

    return run


@pytest.fixture
def inspect_file(run, workspace):
    """The report on a graph file of the given arrays."""

    def inspect_file(*overrides: str, **arrays: np.ndarray) -> dict:
        np.savez(workspace / "own.npz", **arrays)
        status, out, err = run("dataset=file", "dataset.path=own.npz", "--json", *overrides)
        assert status == 0, err
        return json.loads(out)

    return inspect_file


def labelled(num_nodes: int = 40, seed: int = 0) -> dict[str, np.ndarray]:
    """Random arcs, two classes, three features."""
    random = np.random.default_rng(seed)
    edges = random.integers(num_nodes, size=(2, 4 * num_nodes))
    return {
        "edge_index": np.unique(edges[:, edges[0] != edges[1]], axis=1),
        "x": random.normal(size=(num_nodes, 3)),
        "y": np.arange(num_nodes) % 2,
    }


def test_data_that_ship_are_inspected_in_words(run, workspace):
    status, out, err = run("dataset=digits")
    assert status == 0, err
    for words in (
        "1,797",
        "adjusted homophily",
        "amud (reconstructed)",
        "there is no direction to keep",
        "of the nodes (one split)",
        "training step of a two-layer GCN",
    ):
        assert words in out
    suits = out.partition("\nsuits\n")[2].partition("\nsuits less\n")[0]
    assert "dagnn" in suits
    assert "dagnn" not in out.partition("\nsuits less\n")[2]
    plot = Path(out.splitlines()[-1].removeprefix("plot: "))
    assert plot == workspace / "runs" / "inspect" / "digits.png"
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_json_is_alone_on_standard_output(workspace, toy_graph):
    code = "import sys; sys.argv[0] = 'gnnzoo'; from gnnzoo.cli import main; main()"
    command = [sys.executable, "-c", code, "inspect", "dataset=file", f"dataset.path={toy_graph}"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["dataset"] == "toy.npz"
    assert report["splits"] == {"number": 1, "train_share": pytest.approx(1 / 3)}
    assert report["labels"]["homophily"]["edge"] > 0.7
    assert report["amud (reconstructed)"]["reason"] == "symmetric"
    assert Path(report["plot"]).is_file()
    known = {*list_names("models"), *list_names("heads")}
    assert {advice["method"] for advice in report["methods"]} <= known


def test_a_direction_that_is_node_order_is_warned_of(inspect_file):
    arrays = labelled()
    ordered = arrays | {"edge_index": np.sort(arrays["edge_index"], axis=0)}
    report = inspect_file("dataset.directed=true", **ordered)
    assert report["edges"]["node_order"]
    assert "nothing but the order of the nodes" in report["warnings"][0]
    honest = inspect_file("dataset.directed=true", **arrays)
    assert not honest["edges"]["node_order"]
    assert not any("order of the nodes" in warning for warning in honest["warnings"])
    # Each edge stored once is how undirected graphs are often kept: made undirected, all is well.
    made = inspect_file(**ordered)
    assert made["stored"]["node_order"]
    assert not any("arcs" in warning for warning in made["warnings"])


def test_a_file_made_undirected_tells_what_is_stored(inspect_file):
    arrays = labelled()
    arrays["edge_index"] = np.concatenate([arrays["edge_index"], [[0, 0, 5], [9, 9, 5]]], axis=1)
    report = inspect_file(**arrays)
    assert not report["edges"]["directed"]
    assert report["edges"]["duplicates"] == 0
    assert report["stored"]["directed"]
    assert report["stored"]["duplicates"] >= 1
    assert report["stored"]["self_loops"] == 1
    assert any("dataset.directed=true keeps them" in warning for warning in report["warnings"])


def test_arcs_are_asked_about_with_all_labels_and_with_those_of_splits(inspect_file):
    arrays = labelled()
    report = inspect_file("dataset.directed=true", "protocol=random_shares", **arrays)
    amud = report["amud (reconstructed)"]
    assert amud["num_labelled"] == 40
    assert amud["method"] == "exact"
    assert amud["splits"]["number"] == len(amud["splits"]["scores"]) == 10
    assert 0.5 <= amud["splits"]["agreement"] <= 1
    assert "splits" not in inspect_file("dataset.directed=true", **arrays), "no masks, no splits"


@pytest.mark.parametrize("left_out", [("y",), ("x",), ("x", "y")])
def test_what_cannot_be_said_is_left_out(inspect_file, run, left_out):
    arrays = labelled()
    for key in left_out:
        del arrays[key]
    report = inspect_file(**arrays)
    assert ("labels" in report) == ("y" not in left_out)
    assert ("amud (reconstructed)" in report) == ("y" not in left_out)
    assert ("features" in report) == ("x" not in left_out)
    assert {advice["method"] for advice in report["methods"]} == {"ncn", "ncnc"}
    status, out, _ = run("dataset=file", "dataset.path=own.npz")
    assert status == 0
    assert ("homophily" in out) == ("y" not in left_out)


@pytest.mark.parametrize(
    "arrays",
    [
        {"edge_index": np.zeros((2, 0), dtype=int), "num_nodes": np.array(5)},
        {"edge_index": np.zeros((2, 1), dtype=int)},
        {"edge_index": np.array([[0], [1]]), "x": np.ones((2, 1)), "y": np.array([0, 0])},
        {"edge_index": np.array([[0], [1]]), "x": np.ones((3, 1)), "y": np.array([-1, 0, 1])},
        {"edge_index": np.array([[0], [1]]), "x": np.ones((3, 1)), "y": np.array([0, 1, 2])},
    ],
    ids=["no edges", "one loop", "one class", "no edge between labels", "every label differs"],
)
def test_degenerate_files_are_inspected(inspect_file, run, arrays):
    report = inspect_file("dataset.directed=true", **arrays)
    assert "amud (reconstructed)" not in report
    assert Path(report["plot"]).is_file()
    status, out, err = run("dataset=file", "dataset.path=own.npz")
    assert status == 0, err
    assert out.splitlines()[-1].startswith("plot: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no data set is named; give one as dataset=cora"),
        (("--json",), "no data set is named"),
        (("cora",), "'cora' names no setting; give one as dataset=cora"),
        (("dataset=coro",), "no dataset named 'coro'; did you mean cora"),
        (("dataset=file",), "dataset.path is needed; give it as dataset.path=..."),
        (("dataset=file", "dataset.path=nowhere.npz"), "no graph file at"),
        (("dataset=digits", "dataset.neighbours=3"), "no setting 'dataset.neighbours'"),
        (("dataset=digits", "dataset.num_neighbors=0"), "num_neighbors must be between 1 and"),
    ],
)
def test_mistakes_get_one_sentence_and_nothing_on_standard_output(run, arguments, words):
    status, out, err = run(*arguments)
    assert status == 1
    assert out == ""
    assert err.startswith("error: ")
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_runs_folder_that_cannot_be_is_named_with_its_setting(run, workspace, monkeypatch):
    (workspace / "taken").touch()
    monkeypatch.setenv("GNNZOO_RUNS", "taken")
    status, _, err = run("dataset=digits")
    assert status == 1
    assert "GNNZOO_RUNS names" in err


def test_a_set_of_graphs_is_not_one_graph(run):
    status, _, err = run("dataset=digits_grid")
    assert status != 0
    assert "digits_grid holds 1,797 graphs, but gnnzoo inspect looks at one" in err
