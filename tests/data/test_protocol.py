"""Splits never overlap, test labels stay hidden, and the seed means what the setting says."""

import pytest
import torch
from torch_geometric.data import Data

from gnnzoo.data import (
    GraphDataset,
    NamedSplit,
    RandomPerClass,
    RandomShares,
    choose_direction,
    digits,
)
from gnnzoo.data.splits import check_masks, random_per_class, split_sha256

SMALL = {"num_train_per_class": 2, "num_val": 3, "num_test": 3}


def toy(num_splits: int = 3, unlabelled: int = 0) -> GraphDataset:
    y = torch.arange(12) % 3
    y[len(y) - unlabelled :] = -1
    x = torch.rand(12, 4)
    edge_index = torch.randint(12, (2, 30))
    part = torch.stack([torch.roll(torch.arange(12) // 4, split) for split in range(num_splits)], 1)
    return GraphDataset(
        name="toy",
        data=Data(x=x, edge_index=edge_index, y=y),
        num_classes=3,
        sha256="",
        masks={"public": lambda: (part == 0, part == 1, part == 2)},
    )


PROTOCOLS = [
    NamedSplit("public"),
    NamedSplit("public", split="by_seed"),
    NamedSplit("public", split=2),
    RandomPerClass(**SMALL),
    RandomPerClass(**{**SMALL, "num_test": None}),
    RandomPerClass(2, num_val=None, num_test=None, num_val_per_class=1),
    RandomShares(),
]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=repr)
@pytest.mark.parametrize("seed", [0, 1, 7])
def test_splits_do_not_overlap_and_hide_the_test_labels(protocol, seed):
    dataset = toy()
    truth = dataset.data.y.clone()
    task = protocol(dataset, seed)
    data = task.data
    parts = torch.stack([data.train_mask, data.val_mask, data.test_mask])
    assert (parts.sum(dim=0) <= 1).all()
    assert parts.any(dim=1).all()
    seen = data.train_mask | data.val_mask
    assert torch.equal(data.y[seen], truth[seen])
    assert (data.y[~seen] == -1).all()
    assert torch.equal(task.test_labels, truth[data.test_mask])
    assert torch.equal(dataset.data.y, truth)
    assert task.split_sha256 == protocol(dataset, seed).split_sha256


def test_weights_and_features_of_edges_go_along():
    dataset = toy()
    num_edges = dataset.data.edge_index.size(1)
    dataset.data.edge_weight, dataset.data.edge_attr = (
        torch.rand(num_edges),
        torch.rand(num_edges, 2),
    )
    task = NamedSplit("public")(dataset, seed=0)
    assert torch.equal(task.data.edge_weight, dataset.data.edge_weight)
    assert torch.equal(task.data.edge_attr, dataset.data.edge_attr)


@pytest.mark.parametrize("make", [lambda **kw: NamedSplit("public", **kw), RandomShares])
def test_direction_is_decided_by_the_training_labels_of_the_split(make):
    dataset = toy()
    edges = dataset.data.edge_index
    assert make()(dataset, 0).direction is None
    kept = make(direction="directed")(dataset, 0)
    assert torch.equal(kept.data.edge_index, edges)
    made = make(direction="undirected")(dataset, 0)
    assert made.data.is_undirected()
    assert not made.direction.kept
    task = make(direction="auto")(dataset, 1)
    assert task.direction.amud.num_labelled == int(task.data.train_mask.sum())
    hidden = task.data.clone()
    hidden.edge_index = edges
    hidden.y[~task.data.train_mask] = 0
    again = choose_direction(hidden, "auto", hidden.train_mask)[1]
    assert again.amud.score == task.direction.amud.score


def test_arcs_that_were_made_undirected_cannot_be_kept():
    dataset = toy()
    dataset.data.edge_index = torch.cat([dataset.data.edge_index] * 2, dim=1)
    dataset.data.edge_index[:, 30:] = dataset.data.edge_index[:, :30].flip(0)
    with pytest.raises(ValueError, match="dataset=toy_directed keeps the arcs"):
        NamedSplit("public", direction="directed")(dataset, 0)
    assert NamedSplit("public", direction="auto")(dataset, 0).direction.kept


def test_by_seed_counts_modulo_the_number_of_fixed_splits():
    dataset = toy(num_splits=3)
    by_seed = NamedSplit("public", split="by_seed")
    assert [by_seed(dataset, seed).split_number for seed in (0, 1, 2, 3, 10)] == [0, 1, 2, 0, 1]
    assert len({by_seed(dataset, seed).split_sha256 for seed in range(6)}) == 3


def test_fixed_and_a_number_do_not_look_at_the_seed():
    dataset = toy()
    for make in (lambda split: NamedSplit("public", split), lambda s: RandomPerClass(2, 3, 3, s)):
        assert {make("fixed")(dataset, seed).split_number for seed in range(4)} == {0}
        assert {make(2)(dataset, seed).split_number for seed in range(4)} == {2}
        assert make(0)(dataset, 9).split_sha256 == make("fixed")(dataset, 5).split_sha256


def test_a_random_split_is_drawn_by_its_seed_alone():
    dataset = digits()
    state = torch.get_rng_state()
    hashes = {RandomPerClass()(dataset, seed).split_sha256 for seed in range(5)}
    assert torch.equal(torch.get_rng_state(), state)
    assert len(hashes) == 5
    data = RandomPerClass()(dataset, 3).data
    sizes = [int(mask.sum()) for mask in (data.train_mask, data.val_mask, data.test_mask)]
    assert sizes == [200, 500, 1000]
    assert torch.bincount(dataset.data.y[data.train_mask]).tolist() == [20] * 10


def test_validation_nodes_may_be_counted_per_class():
    dataset = digits()
    protocol = RandomPerClass(20, num_val=None, num_test=None, num_val_per_class=30)
    data = protocol(dataset, seed=3).data
    assert torch.bincount(dataset.data.y[data.train_mask]).tolist() == [20] * 10
    assert torch.bincount(dataset.data.y[data.val_mask]).tolist() == [30] * 10
    assert int(data.test_mask.sum()) == 1797 - 500
    usual = RandomPerClass(20, 500, None)(dataset, seed=3).data
    assert torch.equal(usual.train_mask, data.train_mask)


def test_shares_are_those_of_each_class_and_drawn_by_the_seed_alone():
    dataset = digits()
    state = torch.get_rng_state()
    hashes = {RandomShares()(dataset, seed).split_sha256 for seed in range(5)}
    assert torch.equal(torch.get_rng_state(), state)
    assert len(hashes) == 5
    data = RandomShares(train=0.6, val=0.2)(dataset, 0).data
    sizes = torch.bincount(dataset.data.y).double()
    for mask, share in ((data.train_mask, 0.6), (data.val_mask, 0.2), (data.test_mask, 0.2)):
        assert ((torch.bincount(dataset.data.y[mask]) - share * sizes).abs() <= 1).all()
    assert (data.train_mask | data.val_mask | data.test_mask).all()


def test_nodes_without_a_label_are_never_drawn():
    dataset = toy(unlabelled=2)
    data = RandomPerClass(**{**SMALL, "num_test": None})(dataset, 0).data
    assert not (data.train_mask | data.val_mask | data.test_mask)[-2:].any()
    assert int((data.train_mask | data.val_mask | data.test_mask).sum()) == 10
    data = RandomShares()(dataset, 0).data
    assert not (data.train_mask | data.val_mask | data.test_mask)[-2:].any()


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (NamedSplit("geom-gcn"), "no split named 'geom-gcn' .its splits: public.; protocol"),
        (NamedSplit("public", split=3), "split 3 does not exist: toy has 3 'public' splits"),
        (NamedSplit("public", split=-1), "split must be fixed, by_seed or a number from 0, got -1"),
        (NamedSplit("public", split="seed"), "got 'seed'"),
        (RandomPerClass(split=True), "got True"),
        (RandomPerClass(5, 1, 1), "class 0 has 4 nodes, fewer than num_train_per_class=5"),
        (RandomPerClass(2, 3, 4000), "6 labelled nodes are left .* need 4003"),
        (RandomPerClass(2, 6, None), "num_test=rest need 7"),
        (RandomPerClass(2, 0, 1), "num_val must be at least 1, got 0"),
        (RandomPerClass(2, 3, 1, num_val_per_class=1), "either num_val or .* got 3 and 1"),
        (RandomPerClass(2, None, 1), "either num_val or .* got None and None"),
        (RandomPerClass(2, None, 1, num_val_per_class=3), "num_val_per_class=3; set protocol"),
        (RandomShares(0.9, 0.1), "positive shares below 1, got 0.9 and 0.1"),
        (RandomShares(0.0, 0.1), "positive shares below 1"),
        (RandomShares(0.98, 0.01), "val_mask is empty"),
    ],
    ids=repr,
)
def test_impossible_protocols_say_what_is_wrong(protocol, message):
    with pytest.raises(ValueError, match=message):
        protocol(toy(), seed=0)


@pytest.mark.parametrize(("key", "what"), [("x", "features"), ("y", "labels")])
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=repr)
def test_a_graph_without_labels_or_features_is_refused_in_one_sentence(protocol, key, what):
    dataset = toy()
    del dataset.data[key]
    with pytest.raises(ValueError, match=rf"toy has no node {what} \({key}\), which classifying"):
        protocol(dataset, seed=0)


def test_masks_that_overlap_or_hold_nothing_are_refused():
    y = torch.tensor([0, 1, 0, -1])
    train, val, test = (torch.arange(4) == node for node in range(3))
    check_masks((train, val, test), y)
    with pytest.raises(ValueError, match="node 1 is in both val_mask and test_mask"):
        check_masks((train, val, test | val), y)
    with pytest.raises(ValueError, match="val_mask is empty"):
        check_masks((train, val & False, test), y)
    with pytest.raises(ValueError, match=r"test_mask holds node 3, which has no label"):
        check_masks((train, val, torch.arange(4) >= 2), y)
    with pytest.raises(ValueError, match="must be bool"):
        check_masks((train.long(), val, test), y)


def test_the_checksum_tells_splits_apart():
    y = torch.arange(12) % 3
    masks = random_per_class(y, 3, 2, 3, 3, seed=0)
    train, val, test = masks
    assert split_sha256(masks) == split_sha256(tuple(mask.clone() for mask in masks))
    assert split_sha256(masks) != split_sha256((val, train, test))


def test_a_random_split_is_drawn_class_by_class_and_then_from_what_is_left_in_that_order():
    y = torch.tensor([1, 0, 2, 1, 0, 2, 0, 1, 2, 2, 0, 1, -1])
    torch.manual_seed(123)
    drawn = [nodes[torch.randperm(4)] for nodes in ((y == k).nonzero().view(-1) for k in range(3))]
    left = torch.cat([nodes[2:] for nodes in drawn])
    left = left[torch.randperm(6)]
    masks = random_per_class(y, 3, 2, 3, 3, seed=123)
    wanted = (torch.cat([nodes[:2] for nodes in drawn]), left[:3], left[3:])
    for mask, nodes in zip(masks, wanted, strict=True):
        assert mask.nonzero().view(-1).tolist() == sorted(nodes.tolist())
