"""Cora and CiteSeer agree with the published numbers; strange pickles are never opened."""

import pickle
import re
from pathlib import Path

import pytest
import torch

from gnnzoo.data import ChecksumError, MissingDataError, NamedSplit, load_card, planetoid
from gnnzoo.paths import cards_root

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


def test_a_pickle_without_checksum_is_not_opened(root, tmp_path, monkeypatch):
    set_trap(root, tmp_path / "opened")
    text = (cards_root() / "cora/card.yaml").read_text(encoding="utf-8")
    (tmp_path / "cards/cora").mkdir(parents=True)
    (tmp_path / "cards/cora/card.yaml").write_text(re.sub(": [0-9a-f]{64}", ": null", text))
    monkeypatch.setattr("gnnzoo.data.card.cards_root", lambda: tmp_path / "cards")
    with pytest.raises(ChecksumError, match="has no checksum"):
        planetoid("Cora")
    assert not (tmp_path / "opened").exists()
