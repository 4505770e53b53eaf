"""Cora and CiteSeer agree with the published numbers; strange pickles are never opened."""

import pickle
from pathlib import Path

import pytest
import torch

from gnnzoo.data import (
    ChecksumError,
    MissingDataError,
    NamedSplit,
    UnsafePickleError,
    load_card,
    planetoid,
)
from gnnzoo.data.pickles import require_harmless

SIZES = {"Cora": (2708, 10556, 1433, 7, 140), "CiteSeer": (3327, 9104, 3703, 6, 120)}


@pytest.mark.real_data
@pytest.mark.parametrize("name", SIZES)
def test_published_sizes_and_splits(name, real_mirror, monkeypatch):
    num_nodes, num_edges, num_features, num_classes, num_train = SIZES[name]
    dataset = planetoid(name)
    assert dataset.data.x.shape == (num_nodes, num_features)
    assert dataset.data.edge_index.shape == (2, num_edges)
    assert dataset.data.is_undirected()
    assert dataset.num_classes == num_classes
    sizes = [int(mask.sum()) for mask in dataset.masks["public"]()]
    assert sizes == [num_train, 500, 1000]
    assert all(mask.shape == (num_nodes, 10) for mask in dataset.masks["geom-gcn"]())
    tasks = [NamedSplit("geom-gcn", "by_seed")(dataset, seed) for seed in range(11)]
    assert len({task.split_sha256 for task in tasks}) == 10
    assert tasks[10].split_sha256 == tasks[0].split_sha256
    monkeypatch.delenv("GNNZOO_MIRROR")
    again = planetoid(name)  # from the copies in the data root
    assert again.sha256 == dataset.sha256
    assert torch.equal(again.data.x, dataset.data.x)


def test_a_missing_data_set_says_what_to_do():
    with pytest.raises(MissingDataError, match=r"Cora/raw/ind\.cora\.allx and 7 more"):
        planetoid("Cora")


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def set_trap(root: Path, mark: Path) -> None:
    for name in load_card("cora").files["graph"].sha256:
        path = root / "Cora/raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(Trap(mark)))


def test_a_pickle_with_another_checksum_is_not_opened(root, tmp_path):
    set_trap(root, tmp_path / "opened")
    with pytest.raises(ChecksumError, match=r"ind\.cora\.\w+ has sha256"):
        planetoid("Cora")
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_without_checksum_is_opened_only_when_it_is_plain_data(protocol, root, tmp_path):
    mark = tmp_path / "opened"
    path = root / "PubMed/raw/ind.pubmed.allx"
    for name in load_card("pubmed").files["graph"].sha256:
        (root / "PubMed/raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "PubMed/raw" / name).write_bytes(pickle.dumps([Trap(mark)], protocol))
    with pytest.raises(UnsafePickleError, match=r"allx .* was not opened") as caught:
        planetoid("PubMed")
    assert str(path) in str(caught.value)
    assert not mark.exists()


def test_what_is_no_pickle_is_not_opened_either(tmp_path):
    for content in (b"", b"<html>", pickle.dumps([1], protocol=2)[:-1]):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(UnsafePickleError, match="is not a pickle"):
            require_harmless(tmp_path / "file")


@pytest.mark.real_data
def test_the_published_pickles_hold_nothing_but_plain_data(real_mirror):
    for name in ("Cora", "CiteSeer"):
        for path in (real_mirror / name / "raw").glob("ind.*"):
            if not path.name.endswith(".index"):
                require_harmless(path)
