"""Paths hold what they promise: one mark, and questions that are far from it."""

import pytest
import torch
from torch_geometric.utils import degree

from gnnzoo.data import NamedSplit, copy_path, load_card


def test_the_default_matches_its_card():
    data, sizes = copy_path().data, load_card("copy_path").sizes
    assert (data.num_nodes, data.num_edges) == (sizes["num_nodes"], sizes["num_edges"])
    assert (data.num_features, int(data.y.max()) + 1) == (sizes["num_features"], 4)
    assert data.is_undirected()


@pytest.mark.parametrize("length", [2, 7, 16])
def test_the_nodes_asked_are_the_farther_half_of_their_path_and_know_its_mark(length):
    data = copy_path(length, num_paths=24, num_classes=3).data
    assert sorted(degree(data.edge_index[0]).long().unique().tolist()) in ([1], [1, 2])
    marked = data.x.any(1)
    assert int(marked.sum()) == 24
    assert degree(data.edge_index[0])[marked].eq(1).all()
    distance = torch.where(marked, 0, length)
    label = torch.where(marked, data.x.argmax(1), -1)
    for _ in range(length):
        source, target = data.edge_index
        distance.scatter_reduce_(0, target, distance[source] + 1, "amin")
        label.scatter_reduce_(0, target, label[source], "amax")
    assert torch.equal(data.y, torch.where(distance >= length // 2, label, -1))


def test_parts_hold_whole_paths_and_all_classes():
    dataset = copy_path(8, num_paths=32)
    data = NamedSplit("fixed")(dataset, seed=0).data
    path = torch.arange(8 * 32) // 8
    parts = [path[data[f"{split}_mask"]].unique() for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [16, 8, 8]
    assert torch.cat(parts).tolist() == list(range(32))
    for split in ("train", "val", "test"):
        assert len(set(torch.bincount(dataset.data.y[data[f"{split}_mask"]]).tolist())) == 1


def test_the_seed_alone_decides():
    state = torch.get_rng_state()
    assert copy_path().sha256 == copy_path().sha256 != copy_path(seed=1).sha256
    assert torch.equal(torch.get_rng_state(), state)


def test_numbers_that_are_too_small_are_named():
    for name, value, minimum in (
        ("path_length", 1, 2),
        ("num_classes", 1, 2),
        ("num_paths", 8, 16),
    ):
        with pytest.raises(ValueError, match=f"{name} must be a whole number from {minimum}, got"):
            copy_path(**{name: value})
