"""Splits of links have the published sizes, leak nothing, and follow their seed alone."""

import random

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gnnzoo.data import (
    GraphDataset,
    LinkParts,
    LinkSplit,
    NamedLinks,
    PyGRandomLinks,
    RandomLinks,
    check_links,
    digits,
    planetoid,
)
from gnnzoo.data.links import link_keys

NODES = 40
PROTOCOLS = [
    RandomLinks(),
    RandomLinks(val=0.05, test=0.1),
    RandomLinks(val_edges_at_test=True),
    PyGRandomLinks(),
    PyGRandomLinks(val_edges_at_test=False, num_negatives=2.0),
]


def toy(directed: bool = False, **changes) -> GraphDataset:
    """Edges with self-loops and repetitions."""
    generator = torch.Generator().manual_seed(0)
    edge_index = torch.randint(NODES, (2, 150), generator=generator)
    edge_index = torch.cat([edge_index, edge_index[:, :5], torch.ones(2, 1).long()], dim=1)
    if not directed:
        edge_index = to_undirected(edge_index, num_nodes=NODES)
    data = Data(edge_index=edge_index, num_nodes=NODES)
    return GraphDataset(name="toy", data=data, sha256="", **changes)


def keys(pairs: Tensor, num_nodes: int = NODES) -> set[int]:
    return set(link_keys(pairs, num_nodes).flatten().tolist())


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=repr)
@pytest.mark.parametrize("seed", [0, 1, 7])
def test_parts_cover_all_links_without_overlap_and_messages_show_none_held_out(
    protocol, seed, directed
):
    dataset = toy(directed)
    task = protocol(dataset, seed)
    check_links(task)
    parts = [task.train_links, task.val.positives, task.test.positives]
    train, val, test = (keys(part) for part in parts)
    assert sum(part.size(1) for part in parts) == len(train) + len(val) + len(test)
    edge_index = dataset.data.edge_index
    links = keys(edge_index[:, edge_index[0] != edge_index[1]])
    assert train | val | test == links
    assert len(links) == len(train) + len(val) + len(test)
    assert keys(task.data.edge_index) == train
    assert task.val.edge_index is None
    if protocol.val_edges_at_test:
        assert keys(task.test.edge_index) == train | val
    else:
        assert task.test.edge_index is None
    for part in (task.val, task.test):
        assert not keys(part.negatives) & links
        assert not (part.negatives[0] == part.negatives[1]).any()
    assert task.metric == "hits@100"
    assert "x" not in task.data


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=repr)
def test_a_split_is_drawn_by_its_seed_alone(protocol):
    dataset = toy()
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    drawn = [protocol(dataset, seed) for seed in range(4)]
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    torch.manual_seed(99)
    again = protocol(dataset, 3)
    assert len({task.split_sha256 for task in drawn}) == 4
    assert [task.split_number for task in drawn] == [0, 1, 2, 3]
    assert again.split_sha256 == drawn[3].split_sha256
    assert torch.equal(again.test.negatives, drawn[3].test.negatives)
    fixed = type(protocol)(**{**vars(protocol), "split": "fixed"})
    numbered = type(protocol)(**{**vars(protocol), "split": 2})
    assert fixed(dataset, 9).split_sha256 == drawn[0].split_sha256
    assert numbered(dataset, 9).split_sha256 == drawn[2].split_sha256


def test_negatives_of_validation_and_test_are_different_pairs():
    task = RandomLinks()(toy(), seed=0)
    negatives = torch.cat([task.val.negatives, task.test.negatives], dim=1)
    assert len(keys(negatives)) == negatives.size(1)
    assert (negatives[0] < negatives[1]).all()


def test_half_of_the_validation_pool_goes_back_to_training():
    dataset = digits()
    task = RandomLinks()(dataset, seed=0)
    num_links = dataset.data.edge_index.size(1) // 2
    num_pool = int(0.2 * num_links)
    assert task.test.positives.size(1) == task.test.negatives.size(1) == num_pool
    assert task.val.negatives.size(1) == num_pool
    assert task.val.positives.size(1) == num_pool // 2
    assert task.train_links.size(1) == num_links - num_pool - num_pool // 2
    assert torch.equal(task.data.x, dataset.data.x)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "sizes"),
    [("Cora", [3696, 527, 1055, 1055, 1055]), ("CiteSeer", [3187, 455, 910, 910, 910])],
)
def test_planetoid_sizes_are_the_published_ones(name, sizes, real_mirror):
    task = RandomLinks()(planetoid(name), seed=5)
    parts = [task.train_links, task.val.positives, task.test.positives]
    parts += [task.val.negatives, task.test.negatives]
    assert [part.size(1) for part in parts] == sizes
    assert task.data.edge_index.size(1) == 2 * sizes[0]


def published(val: Tensor) -> GraphDataset:
    train = torch.tensor([[0, 1, 2], [1, 2, 3]])
    parts = LinkParts(
        train,
        LinkSplit(val, torch.tensor([[5], [6]])),
        LinkSplit(
            torch.tensor([[0, 4], [2, 5]]), torch.tensor([[[7, 8], [9, 7]], [[1, 1], [2, 2]]])
        ),
    )
    return toy(links={"official": lambda: parts})


def test_a_published_split_is_taken_as_it_is():
    task = NamedLinks("official", metric="mrr")(published(torch.tensor([[3], [0]])), seed=4)
    assert task.train_links.tolist() == [[0, 1, 2], [1, 2, 3]]
    assert keys(task.data.edge_index) == keys(task.train_links)
    assert task.data.edge_index.size(1) == 6
    assert task.test.negatives.shape == (2, 2, 2)
    assert (task.split_number, task.metric, task.test.edge_index) == (0, "mrr", None)
    with_val = NamedLinks(val_edges_at_test=True)(published(torch.tensor([[3], [0]])), seed=4)
    assert keys(with_val.test.edge_index) == keys(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]]))
    assert with_val.test.edge_index.size(1) == 8
    assert keys(with_val.data.edge_index) == keys(task.train_links)
    assert with_val.split_sha256 == task.split_sha256


def test_links_that_a_publisher_lists_again_are_told():
    with pytest.warns(UserWarning, match=r"link \(0, 1\) is in both train_links and val"):
        NamedLinks()(published(torch.tensor([[1], [0]])), seed=0)


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (NamedLinks("heart"), "toy has no split of links named 'heart' .it has none.; protocol="),
        (RandomLinks(split="seed"), "split must be fixed, by_seed or a number from 0, got 'seed'"),
        (PyGRandomLinks(split=True), "got True"),
        (RandomLinks(split=-1), "got -1"),
        (RandomLinks(0.5, 0.5), "val and test must be positive shares below 1, got 0.5 and 0.5"),
        (PyGRandomLinks(0.0, 0.5), "positive shares below 1, got 0.0 and 0.5"),
        (RandomLinks(0.3, 0.2), "val must be at most test, which is 0.2, got 0.3"),
        (RandomLinks(0.1, 0.7), "leave .* test at most half of the links"),
        (RandomLinks(0.001, 0.2), "of 134 links leave 0 to validate on, 26 to test on and 108 to"),
        (PyGRandomLinks(0.001, 0.2), "val.positives is empty"),
    ],
    ids=repr,
)
def test_impossible_protocols_say_what_is_wrong(protocol, message):
    with pytest.raises(ValueError, match=message):
        protocol(toy(), seed=0)


def test_a_nearly_complete_graph_has_too_few_negatives():
    edge_index = (~torch.eye(20, dtype=torch.bool)).nonzero().t()
    dataset = GraphDataset(
        name="complete", data=Data(edge_index=edge_index, num_nodes=20), sha256=""
    )
    with pytest.raises(ValueError, match=r"76 pairs .* leave 0; hold out smaller shares"):
        RandomLinks()(dataset, seed=0)
