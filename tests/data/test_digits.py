"""The embedded graph of digits is the same everywhere and knows nothing of its labels."""

import pytest
import torch

from gnnzoo.data import NamedSplit, digits, load_card


def test_digits_match_their_card_and_are_undirected():
    dataset = digits()
    data = dataset.data
    assert data.edge_index.size(1) == load_card("digits").sizes["num_edges"]
    assert data.is_undirected()
    assert not data.has_self_loops()
    assert data.x.min() == 0
    assert data.x.max() == 1


def test_digits_repeat_exactly_whatever_the_global_seed():
    torch.manual_seed(1)
    first = digits()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = digits()
    tasks = [NamedSplit("fixed")(dataset, seed=5) for dataset in (first, second)]
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first.data.edge_index, second.data.edge_index)
    assert first.sha256 == second.sha256
    assert tasks[0].split_sha256 == tasks[1].split_sha256


def test_the_fixed_split_has_twenty_per_class():
    dataset = digits()
    data = NamedSplit("fixed")(dataset, seed=0).data
    assert torch.bincount(dataset.data.y[data.train_mask]).tolist() == [20] * 10
    assert int(data.val_mask.sum()) == 500
    assert int(data.test_mask.sum()) == 1097


def test_each_image_has_at_least_the_neighbours_asked_for():
    data = digits(num_neighbors=3).data
    assert int(torch.bincount(data.edge_index[0]).min()) == 3


def test_impossible_numbers_of_neighbours_are_refused():
    for num_neighbors in (0, 1797):
        with pytest.raises(ValueError, match=f"between 1 and 1796, got {num_neighbors}"):
            digits(num_neighbors)
