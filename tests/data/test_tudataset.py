"""TUDataset loads from its own layout, with the folds of the fair comparison."""

import hashlib
import json
from pathlib import Path

import pytest
import torch

from gnnzoo.data import ChecksumError, GraphFolds, NamedGraphs, load_card, load_folds, tudataset
from tests.reference.raw_files import write_tudataset


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch, cards_without_checksums):
    """Load a set from ten small graphs in its layout."""
    monkeypatch.setenv("GNNZOO_MIRROR", str(tmp_path / "mirror"))

    def stand_in(name: str, **settings):
        write_tudataset(name, tmp_path / "mirror")
        return tudataset(name, check_sizes=False, **settings)

    return stand_in


@pytest.mark.parametrize("name", ["PROTEINS", "ENZYMES", "MUTAG", "IMDB-BINARY"])
def test_a_stand_in_is_loaded_as_its_files_say(name, stand_in):
    imdb = name == "IMDB-BINARY"
    dataset = stand_in(name, **({"node_features": "constant"} if imdb else {}))
    data = dataset.data
    assert dataset.num_graphs == 10
    assert dataset.num_classes == 2
    assert data.y.tolist() == [0, 1] * 5
    # A path of 3 nodes and an isolated one each; the last graph has no edge at all.
    assert torch.equal(data.ptr.diff(), torch.full((10,), 4))
    assert data.edge_ptr.diff().tolist() == [4] * 9 + [0]
    assert data.edge_index[:, :4].tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert (data.edge_index[:, 4:8] - 4).tolist() == data.edge_index[:, :4].tolist()
    width = {"PROTEINS": 4, "ENZYMES": 4, "MUTAG": 3, "IMDB-BINARY": 1}[name]
    assert data.x.shape == (40, width)
    assert ("edge_attr" in data) == (name == "MUTAG")
    assert ("fair" in dataset.graphs) == (name in ("ENZYMES", "IMDB-BINARY"))


def test_attributes_come_first_and_may_be_left_out(stand_in):
    both = stand_in("ENZYMES").data.x
    assert both[:4, 0].tolist() == [0.5, 1.5, 2.5, 3.5]
    labels = stand_in("ENZYMES", node_attributes=False).data.x
    assert torch.equal(labels, both[:, 1:])
    assert labels.sum(dim=1).tolist() == [1.0] * 40


def test_degrees_stand_for_features(stand_in):
    one = stand_in("IMDB-BINARY", node_features="degree").data.x
    assert one[:4].tolist() == [[1], [2], [1], [0]]
    many = stand_in("IMDB-BINARY", node_features="degree_onehot").data.x
    assert many.shape == (40, 137)
    assert many.argmax(dim=1)[:4].tolist() == [1, 2, 1, 0]


def test_settings_that_do_not_fit_are_refused(stand_in):
    with pytest.raises(ValueError, match="IMDB-BINARY has no node features; node_features=degree"):
        stand_in("IMDB-BINARY")
    with pytest.raises(ValueError, match=r"node_features must be one of given, .* got 'ones'"):
        tudataset("MUTAG", node_features="ones")


@pytest.mark.parametrize("change", ["leaves a graph out", "tests one twice", "overlaps"])
def test_malformed_folds_are_refused(change, tmp_path):
    folds = [
        {"test": [i], "model_selection": [{"train": [(i + 1) % 3], "validation": [(i + 2) % 3]}]}
        for i in range(3)
    ]
    path = tmp_path / "folds.json"
    path.write_text(json.dumps(folds))
    assert len(load_folds(path, 3)) == 3
    if change == "leaves a graph out":
        folds.pop()
    elif change == "tests one twice":
        folds[1] = folds[0]
    else:
        folds[0]["model_selection"][0]["train"] = [0]
    path.write_text(json.dumps(folds))
    with pytest.raises(ValueError, match=r"do not hold each|comes twice"):
        load_folds(path, 3)


FAIR = {
    "enzymes": ("ENZYMES", 21, {}, (486, 54, 60)),
    "nci1": ("NCI1", 37, {}, (3329, 370, 411)),
    "imdb_binary": ("IMDB-BINARY", 1, {"node_features": "degree"}, (810, 90, 100)),
    "imdb_multi": ("IMDB-MULTI", 1, {"node_features": "degree"}, (1215, 135, 150)),
}
LARGEST_DEGREE = {"imdb_binary": 135, "imdb_multi": 88}


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["enzymes", "imdb_binary", "imdb_multi"])
def test_the_published_sets_have_the_published_folds(name, use_real):
    use_real(name)
    title, width, settings, sizes = FAIR[name]
    dataset = tudataset(title, **settings)
    assert dataset.data.x.size(1) == width
    folds = dataset.graphs["fair"]()
    assert len(folds) == 10
    assert {tuple(map(len, fold)) for fold in folds} == {sizes}
    shares = torch.stack([torch.bincount(dataset.data.y[test]) / len(test) for *_, test in folds])
    assert (shares - shares[0]).abs().max() < 0.02
    task = NamedGraphs("fair", split="by_seed")(dataset, seed=12)
    assert task.split_number == 2
    if name in LARGEST_DEGREE:
        assert int(dataset.data.x.max()) == LARGEST_DEGREE[name]
        assert int(torch.bincount(dataset.data.y).max()) * dataset.num_classes == dataset.num_graphs
    else:
        isolated = torch.bincount(dataset.data.edge_index[1], minlength=dataset.data.num_nodes) == 0
        assert int(isolated.sum()) == 106


@pytest.mark.real_data
def test_a_changed_fold_file_is_noticed(use_real, monkeypatch, root):
    use_real("imdb_binary")
    dataset = tudataset("IMDB-BINARY", node_features="degree")
    dataset.graphs["fair"]()
    path = root / "fixed_splits/IMDB-BINARY_splits.json"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_card("imdb_binary").files["folds"].sha256[path.name] == digest
    path.write_text(path.read_text() + " ")
    with pytest.raises(ChecksumError):
        dataset.graphs["fair"]()


@pytest.mark.real_data
def test_mutag_has_its_own_folds(use_real):
    use_real("mutag")
    dataset = tudataset("MUTAG")
    assert dataset.data.edge_attr.shape == (7442, 4)
    with pytest.raises(ValueError, match="no split of graphs named 'fair'"):
        NamedGraphs("fair")(dataset, seed=0)
    task = GraphFolds()(dataset, seed=0)
    assert (len(task.train), len(task.val), len(task.test_graphs)) == (152, 17, 19)
