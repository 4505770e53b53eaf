"""OGB's link sets load offline from its own layout, with the split and the graph it means."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch_geometric.utils import is_undirected, to_undirected

from gnnzoo import run
from gnnzoo.data import MissingDataError, NamedLinks, check_links, ogb_link

NODES = 9
TRAIN = [[0, 1], [1, 2], [2, 3], [3, 4]]
NAMES = ("collab", "ppa", "citation2", "ddi")
# Recipes of NCNC that start from a run of NCN: where its weights go, and what else differs
# for a graph this small.
FROM_NCN_AT = {"ddi": "model.path", "citation2": "model.transform.0.path"}
FROM_NCN = {"ddi": {}, "citation2": {"model.transform.0.encoder.in_channels": 2}}
FOLDERS = {"collab": "time", "ppa": "throughput", "citation2": "time", "ddi": "target"}


def parts(name: str) -> dict[str, dict[str, np.ndarray]]:
    """What OGB pickles: NumPy arrays."""
    if name == "citation2":
        citations = {"source_node": [5, 6], "target_node": [0, 1]}
        others = {"target_node_neg": [[2, 3, 4], [2, 3, 4]]}
        train = np.array(TRAIN)
        split = {
            "train": {"source_node": train[:, 0], "target_node": train[:, 1]},
            "valid": citations | others,
            "test": citations | others | {"target_node": [1, 0]},
        }
    else:
        split = {
            "train": {"edge": TRAIN},
            "valid": {"edge": [[0, 2], [5, 6]], "edge_neg": [[0, 8], [1, 8], [2, 8]]},
            "test": {"edge": [[7, 1]], "edge_neg": [[3, 8], [4, 8]]},
        }
    if name == "collab":
        split["train"] = {"edge": [*TRAIN, [1, 0]], "weight": [1, 1, 2, 1, 3], "year": [1990] * 5}
        split["valid"]["weight"] = [4, 5]
    return {
        part: {key: np.array(value, dtype=np.int64) for key, value in content.items()}
        for part, content in split.items()
    }


def write_stand_in(name: str, folder: Path) -> None:
    """A graph of nine nodes in OGB's layout."""

    def table(file: str, rows: list) -> None:
        path = folder / f"raw/{file}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(path, header=False, index=False)

    split = parts(name)
    edges = [*TRAIN, [1, 0]] if name == "collab" else TRAIN
    table("edge", edges)
    table("num-node-list", [[NODES]])
    table("num-edge-list", [[len(edges)]])
    if name in ("collab", "citation2"):
        table("node-feat", [[0.5 * node, 1.5] for node in range(NODES)])
    if name == "ppa":
        table("node-feat", np.eye(58, dtype=int)[np.arange(NODES) % 3].tolist())
    if name == "collab":
        table("edge_weight", [[weight] for weight in split["train"]["weight"]])
        table("edge_year", [[1990]] * len(edges))
    if name == "citation2":
        table("node_year", [[2000 + node] for node in range(NODES)])
    for part, content in split.items():
        path = folder / "split" / FOLDERS[name] / f"{part}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, path)
    (folder / "RELEASE_v1.txt").write_text("stand-in\n")


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cards_without_checksums) -> Path:
    """A mirror with stand-ins of all sets."""
    for name in NAMES:
        write_stand_in(name, tmp_path / f"mirror/ogb/ogbl_{name}")
    monkeypatch.setenv("GNNZOO_MIRROR", str(tmp_path / "mirror"))
    return tmp_path / "mirror/ogb"


@pytest.mark.parametrize("head", ["ncn", "ncnc", "dot"])
@pytest.mark.parametrize("name", NAMES)
def test_a_stand_in_trains_by_the_published_settings(name, head, stand_ins, tmp_path, monkeypatch):
    monkeypatch.setenv("GNNZOO_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("GNNZOO_DATA", str(tmp_path / "data"))
    settings = {
        "model": "gcn" if head == "dot" else "ncn_mpnn",
        "dataset": f"ogbl_{name}",
        "dataset.check_sizes": False,
        "protocol.metric": "auc",
        "trainer.epochs": 2,
        "head.batch_size": 2,
        "head.metrics": ["mrr"],
    }
    if head == "ncnc" and name in FROM_NCN:
        with pytest.raises(ValueError, match="there are no weights at"):
            run(head=head, **settings)
        run(head="ncn", run_dir=str(tmp_path / "first"), **settings)
        settings |= FROM_NCN[name]
        settings[FROM_NCN_AT[name]] = str(tmp_path / "first/weights.safetensors")
    record = run(head=head, **settings)
    assert record["status"] == "finished"
    assert set(record["metrics"]) == {"auc", "mrr"}
    if head != "dot":
        assert record["tuned"] == f"ogbl_{name}/{head}/ncn_mpnn_backprop"


def arcs(edge_index: Tensor) -> list[list[int]]:
    return sorted(edge_index.t().tolist())


@pytest.mark.parametrize("name", NAMES)
def test_a_stand_in_loads_undirected_with_each_edge_once(name, stand_ins, capsys):
    dataset = ogb_link(f"ogbl-{name}", check_sizes=False)
    assert dataset.name == f"ogbl_{name}"
    assert dataset.num_classes == 0
    assert dataset.data.num_nodes == NODES
    assert dataset.data.y is None
    assert is_undirected(dataset.data.edge_index)
    expected = to_undirected(torch.tensor(TRAIN).t())
    assert arcs(dataset.data.edge_index) == arcs(expected)
    assert set(dataset.data.keys()) <= {"x", "edge_index", "num_nodes"}
    width = {"ddi": None, "ppa": (NODES, 58)}.get(name, (NODES, 2))
    assert width == (None if dataset.data.x is None else tuple(dataset.data.x.shape))
    if width:
        assert dataset.data.x.dtype == torch.float32
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["ppa", "ddi"])
def test_shared_negatives_and_positives_are_those_of_the_files(name, stand_ins):
    task = NamedLinks(metric="hits@20")(ogb_link(f"ogbl-{name}", check_sizes=False), seed=0)
    check_links(task)
    assert task.train_links.t().tolist() == TRAIN
    assert task.val.positives.t().tolist() == [[0, 2], [5, 6]]
    assert task.val.negatives.t().tolist() == [[0, 8], [1, 8], [2, 8]]
    assert task.test.positives.t().tolist() == [[7, 1]]
    assert task.test.negatives.t().tolist() == [[3, 8], [4, 8]]
    assert (task.val.edge_index, task.test.edge_index) == (None, None)
    assert arcs(task.data.edge_index) == arcs(to_undirected(task.train_links))


def test_collab_keeps_repeated_training_links_and_may_show_validation_links_to_the_test(stand_ins):
    dataset = ogb_link("ogbl-collab", check_sizes=False)
    with pytest.warns(UserWarning, match=r"train_links holds link \(0, 1\) more than once \(1 rep"):
        task = NamedLinks(val_edges_at_test=True)(dataset, seed=0)
    assert task.train_links.t().tolist() == [*TRAIN, [1, 0]]
    assert task.data.edge_index.size(1) == 2 * len(TRAIN)
    with_val = torch.tensor([*TRAIN, [0, 2], [5, 6]]).t()
    assert arcs(task.test.edge_index) == arcs(to_undirected(with_val))
    with pytest.warns(UserWarning, match="as published"):
        assert NamedLinks()(dataset, seed=0).test.edge_index is None


def test_weights_of_collab_are_added_up_over_years(stand_ins):
    dataset = ogb_link("ogbl-collab", check_sizes=False, weights=True)
    weight = {}
    for (a, b), own in zip([*TRAIN, [1, 0]], [1, 1, 2, 1, 3], strict=True):
        for arc in ((a, b), (b, a)):
            weight[arc] = weight.get(arc, 0) + own
    with pytest.warns(UserWarning, match="as published"):
        task = NamedLinks(val_edges_at_test=True)(dataset, seed=0)
    assert weights_by_arc(task.data) == weight
    for (a, b), own in zip([[0, 2], [5, 6]], [4, 5], strict=True):
        for arc in ((a, b), (b, a)):
            weight[arc] = weight.get(arc, 0) + own
    assert weights_by_arc(task.test) == weight
    assert ogb_link("ogbl-collab", check_sizes=False).data.get("edge_weight") is None
    with pytest.raises(ValueError, match="ogbl-ppa has no weights of edges"):
        ogb_link("ogbl-ppa", check_sizes=False, weights=True)


def weights_by_arc(graph):
    arcs = map(tuple, graph.edge_index.t().tolist())
    return dict(zip(arcs, graph.edge_weight.tolist(), strict=True))


def test_citations_keep_their_direction_and_their_own_negatives(stand_ins):
    dataset = ogb_link("ogbl-citation2", check_sizes=False)
    task = NamedLinks(metric="mrr")(dataset, seed=0)
    assert task.train_links.t().tolist() == TRAIN
    assert task.val.positives.tolist() == [[5, 6], [0, 1]]
    assert task.test.positives.tolist() == [[5, 6], [1, 0]]
    assert task.val.negatives.shape == (2, 2, 3)
    assert task.val.negatives[0].tolist() == [[5, 5, 5], [6, 6, 6]]
    assert task.val.negatives[1].tolist() == [[2, 3, 4], [2, 3, 4]]


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_held_against_the_card(name, stand_ins):
    with pytest.raises(ValueError, match=f"ogbl_{name} was loaded with num_nodes=9, its card says"):
        ogb_link(f"ogbl-{name}")


def test_a_broken_processed_file_is_made_again(stand_ins, root):
    first = ogb_link("ogbl-ppa", check_sizes=False)
    processed = root / "ogb/ogbl_ppa/processed/geometric_data_processed.pt"
    whole = processed.read_bytes()
    written = processed.stat().st_mtime_ns
    ogb_link("ogbl-ppa", check_sizes=False)
    assert processed.stat().st_mtime_ns == written
    processed.write_bytes(whole[: len(whole) // 2])
    again = ogb_link("ogbl-ppa", check_sizes=False)
    assert torch.equal(first.data.edge_index, again.data.edge_index)
    assert processed.stat().st_size == len(whole)


@pytest.mark.parametrize("core", ["core", "_core"])
def test_arrays_pickled_by_an_older_or_newer_numpy_are_read(core, stand_ins):
    path = stand_ins / "ogbl_ppa/split/throughput/valid.pt"
    legacy = path.with_suffix(".legacy")
    content = parts("ppa")["valid"]
    torch.save(content, legacy, _use_new_zipfile_serialization=False)
    raw = legacy.read_bytes()
    for written in (b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"):
        raw = raw.replace(written, f"cnumpy.{core}.multiarray\n".encode())
    assert f"cnumpy.{core}.multiarray\n".encode() in raw
    path.write_bytes(raw)
    task = NamedLinks()(ogb_link("ogbl-ppa", check_sizes=False), seed=0)
    assert task.val.positives.t().tolist() == content["edge"].tolist()


def test_anything_but_arrays_in_a_split_file_is_refused(stand_ins):
    torch.save({"edge": Path("x")}, stand_ins / "ogbl_ppa/split/throughput/test.pt")
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        ogb_link("ogbl-ppa", check_sizes=False)


def test_a_missing_release_file_is_an_error_and_not_a_question(stand_ins):
    (stand_ins / "ogbl_ddi/RELEASE_v1.txt").unlink()
    with pytest.raises(MissingDataError, match=r"ogb/ogbl_ddi/RELEASE_v1.txt; looked in"):
        ogb_link(check_sizes=False)


def test_importing_ogb_does_not_ask_the_network():
    code = (
        "import socket, threading\n"
        "def refuse(*args, **kwargs): raise SystemExit('network')\n"
        "socket.getaddrinfo = refuse\n"
        "from gnnzoo.data.ogb import _import_ogb\n"
        "import sys\n"
        "assert 'ogb' not in sys.modules\n"
        "_import_ogb('ogbl-ddi', 'linkproppred', 'PygLinkPropPredDataset')\n"
        "assert 'ogb' in sys.modules and 'outdated' not in sys.modules\n"
        "assert threading.active_count() == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


@pytest.mark.real_data
def test_drug_interactions_are_the_published_ones(use_real):
    use_real("ogbl_ddi")
    dataset = ogb_link()
    task = NamedLinks(metric="hits@20")(dataset, seed=0)
    check_links(task)  # strictly: this split repeats nothing
    sizes = [task.train_links.size(1), task.val.positives.size(1), task.test.positives.size(1)]
    assert sizes == [1_067_911, 133_489, 133_489]
    assert (task.val.negatives.size(1), task.test.negatives.size(1)) == (101_882, 95_599)
    assert task.data.edge_index.size(1) == 2 * 1_067_911
    assert dataset.sha256.startswith("85f19ec50aa7")
    assert task.split_sha256.startswith("a42766a6f747")
