import inspect
from dataclasses import replace

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn
from torch_geometric.data import Data
from torch_geometric.transforms import AddRandomWalkPE

from gnnzoo import create_model, list_models
from gnnzoo.config import build
from gnnzoo.data import (
    CSRGraph,
    GraphDataset,
    LinkParts,
    LinkSplit,
    NamedLinks,
    PyGRandomLinks,
    RandomLinks,
)
from gnnzoo.data.weighted_links import weights_of
from gnnzoo.heads import LinkHead
from gnnzoo.heads.message_graph import MessageGraph
from gnnzoo.models import inputs
from gnnzoo.nn import AdamicAdar, DotPredictor, Katz
from gnnzoo.nn.pair_predictors import PairPredictor
from gnnzoo.ops import Graph
from gnnzoo.paths import conf_root
from gnnzoo.train import Backprop
from tests.reference.graphs import random_edges

NUM_NODES = 30
NOT_FOR_NODES = {"none", "deepsets", "fingerprint"}  # the last two embed whole graphs
ENCODERS = [name for name in list_models() if name not in NOT_FOR_NODES]


def make_dataset(num_edges=90, weights=False) -> GraphDataset:
    torch.manual_seed(0)
    data = Data(x=torch.randn(NUM_NODES, 6), num_nodes=NUM_NODES)
    data.edge_index = random_edges(NUM_NODES, num_edges, undirected=True)
    if weights:
        data.edge_weight = weight_of(data.edge_index)
    return GraphDataset(name="toy", data=data, num_classes=0, sha256="0" * 64)


def weight_of(links):
    """A weight for each pair, the same in both directions."""
    return (1 + links.sum(0) + links.prod(0)).float()


@pytest.fixture
def task():
    return RandomLinks(metric="hits@3")(make_dataset(), seed=0)


class Recorder(PairPredictor):
    """A predictor that remembers what it was asked, and scores by the dot product."""

    in_channels = 4

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, x, graph, pairs):
        self.calls.append((graph, pairs))
        return (x[pairs[0]] * x[pairs[1]]).sum(-1)


def has_link(graph, pairs):
    there = {tuple(edge) for edge in graph.edge_index.t().tolist()}
    return [tuple(pair) in there for pair in pairs.t().tolist()]


def test_a_batch_sees_none_of_its_links_in_either_direction(task):
    head = LinkHead(task, Recorder(), batch_size=10)
    for batch in head.batches("train"):
        positives = batch.pairs[:, : batch.num_positives]
        assert not any(has_link(batch.graph, positives))
        assert not any(has_link(batch.graph, positives.flip(0)))
        assert batch.graph.num_edges == task.data.num_edges - 2 * batch.num_positives


def test_without_removal_a_batch_sees_the_whole_training_graph(task):
    head = LinkHead(task, Recorder(), batch_size=10, target_link_removal=False)
    for batch in head.batches("train"):
        assert all(has_link(batch.graph, batch.pairs[:, : batch.num_positives]))


def test_an_epoch_trains_on_every_link_once(task):
    size = task.train_links.size(1)
    head = LinkHead(task, Recorder(), batch_size=size // 4)
    seen = torch.cat([b.pairs[:, : b.num_positives] for b in head.batches("train")], dim=1)
    every = {tuple(link) for link in task.train_links.t().tolist()}
    assert {tuple(link) for link in seen.t().tolist()} <= every
    assert seen.size(1) == seen.unique(dim=1).size(1) >= size - size // 8


def test_validation_and_test_links_are_in_no_message_graph(task):
    head = LinkHead(task, Recorder(), batch_size=10)
    held_out = torch.cat([task.val.positives, task.test.positives], dim=1)
    for batch in head.batches("train"):
        assert not any(has_link(batch.graph, held_out))
    head.evaluate(Identity())
    head.test(Identity(), task.test)
    for graph, _ in head.predictor.calls:
        assert not any(has_link(graph, held_out))


class Identity(nn.Module):
    def forward(self, x):
        return x[:, :4]


@pytest.mark.parametrize("name", ENCODERS)
def test_removed_links_leave_no_trace_in_any_encoder(name, task):
    """Hidden links equal links that were never there, in everything that a transform made too."""
    model = OmegaConf.to_container(OmegaConf.load(conf_root() / f"model/{name}.yaml"), resolve=True)
    transforms = [build(node) for node in model.get("transform", [])]
    torch.manual_seed(0)
    ones = {"edge_features": "ones"}
    extra = {"gatedgcn": ones, "gine": ones, "linkx": {"num_nodes": NUM_NODES}}.get(name, {})
    encoder = create_model(name, 6, 4, **extra).double().eval()
    links = task.train_links[:, :8]

    def prepared(edge_index):
        data = Data(x=task.data.x.double(), edge_index=edge_index, num_nodes=NUM_NODES)
        for transform in transforms:
            data = transform(data)
        return data

    seen = MessageGraph(prepared(task.data.edge_index), transforms).without(links)
    gone = {frozenset(link) for link in links.t().tolist()}
    kept = [frozenset(edge) not in gone for edge in task.data.edge_index.t().tolist()]
    want = prepared(task.data.edge_index[:, torch.tensor(kept)])
    found = encoder(**inputs(encoder, seen.data))
    torch.testing.assert_close(found, encoder(**inputs(encoder, want)))
    whole = encoder(**inputs(encoder, prepared(task.data.edge_index)))
    if "edge_index" in inspect.signature(type(encoder).forward).parameters and name != "mlp":
        assert not torch.allclose(found, whole)


def test_weights_of_edges_go_with_their_edges():
    edges = torch.tensor([[0, 1, 1, 2, 0, 1], [1, 0, 2, 1, 1, 0]])
    weight = torch.tensor([1.0, 1.0, 2.0, 2.0, 5.0, 5.0])
    data = Data(x=torch.zeros(3, 1), edge_index=edges, edge_weight=weight)
    whole = MessageGraph(data, [CSRGraph()])
    assert whole.data.edge_weight.tolist() == [6.0, 6.0, 2.0, 2.0]
    left = whole.without(torch.tensor([[0], [1]]))
    assert left.data.edge_index.tolist() == [[2, 1], [1, 2]]
    assert left.data.edge_weight.tolist() == [2.0, 2.0]
    assert left.data.graph is left.graph


@pytest.mark.parametrize("protocol", [RandomLinks, PyGRandomLinks])
def test_weights_stay_with_the_links_of_every_message_graph(protocol):
    task = protocol(metric="hits@3", val_edges_at_test=True)(make_dataset(weights=True), seed=0)
    assert torch.equal(task.data.edge_weight, weight_of(task.data.edge_index))
    assert torch.equal(task.test.edge_weight, weight_of(task.test.edge_index))
    assert task.test.edge_index.size(1) > task.data.edge_index.size(1)
    head = LinkHead(task, Recorder(), batch_size=10)
    for batch in head.batches("train"):
        assert torch.equal(batch.data.edge_weight, weight_of(batch.data.edge_index))
        assert batch.data.edge_index.size(1) < task.data.edge_index.size(1)
    read = WeightReader()
    head.test(read, task.test)
    assert torch.equal(read.weight.sort().values, task.test.edge_weight.sort().values)


class WeightReader(nn.Module):
    def forward(self, x, edge_weight):
        self.weight = edge_weight
        return x[:, :4]


def test_encoders_that_read_weights_train_with_them():
    curves = []
    for weights in (False, True):
        task = RandomLinks(metric="hits@3")(make_dataset(weights=weights), seed=0)
        torch.manual_seed(0)
        head, encoder = LinkHead(task, DotPredictor(4), batch_size=10), create_model("gcn", 6, 4)
        curves.append(Backprop(epochs=2, stopping=None).fit(encoder, head).curve)
    assert curves[0] != curves[1]


def test_two_directions_and_repeats_of_a_link_become_one_weight():
    edges = torch.tensor([[0, 1, 1, 2, 0], [1, 0, 2, 1, 1]])
    data = Data(edge_index=edges, edge_weight=torch.tensor([1.0, 6.0, 3.0, 3.0, 1.0]), num_nodes=3)
    asked = torch.tensor([[1, 0, 2], [0, 1, 1]])
    assert weights_of(data, asked).tolist() == [4.0, 4.0, 3.0]
    with pytest.raises(ValueError, match=r"link \(2, 0\), which is no edge of the data set"):
        weights_of(data, torch.tensor([[0, 2], [1, 0]]))


def test_weighted_heuristics_read_the_weights_of_the_graph_they_see():
    task = RandomLinks(metric="hits@3", val_edges_at_test=True)(make_dataset(weights=True), seed=0)
    found = []
    head = LinkHead(task, AdamicAdar(), batch_size=10)
    head.metrics["seen"] = lambda positives, _: found.append(positives) or 0.0
    head.test(Identity(), task.test)
    graph = Graph.from_edge_index(task.test.edge_index, NUM_NODES)
    want = AdamicAdar()(None, graph, task.test.positives, task.test.edge_weight)
    assert torch.equal(found[0], want)
    assert not torch.equal(want, AdamicAdar()(None, graph, task.test.positives))
    with pytest.warns(UserWarning, match="Katz counts every edge once; edge_weight is not used"):
        LinkHead(task, Katz(), batch_size=1)


def test_links_listed_again_go_wholly_or_as_published_with_their_last_copy(task):
    twice = torch.cat([task.train_links, task.train_links[:, :5].flip(0)], dim=1)
    again = replace(task, train_links=twice)
    whole = {tuple(sorted(pair)) for pair in task.train_links.t().tolist()}
    for mode in (True, "copies"):
        head, partial = LinkHead(again, Recorder(), 20, target_link_removal=mode), 0
        for batch in head.batches("train"):
            here = [tuple(sorted(p)) for p in batch.pairs[:, : batch.num_positives].t().tolist()]
            copies = {tuple(sorted(pair)): 2 for pair in task.train_links[:, :5].t().tolist()}
            stay = {p for p in here if mode == "copies" and here.count(p) < copies.get(p, 1)}
            seen = {tuple(sorted(pair)) for pair in batch.graph.edge_index.t().tolist()}
            assert seen == whole - (set(here) - stay)
            partial += len(stay)
        assert (partial > 0) == (mode == "copies")
    with pytest.raises(ValueError, match="target_link_removal must be true, false or copies"):
        LinkHead(task, Recorder(), 10, target_link_removal="some")


def test_too_few_negatives_of_the_test_are_refused_before_training(task):
    fewer = LinkSplit(task.test.positives, task.test.negatives[:, :4])
    small = replace(task, test=fewer, num_test_negatives=4).without_test()
    assert small.test.positives.numel() == 0
    with pytest.raises(ValueError, match="hits@5 needs at least 5 negatives, the test has 4"):
        LinkHead(small, Recorder(), 10, metrics=["hits@5"])
    LinkHead(small, Recorder(), 10, metrics=["hits@4"])
    assert task.num_test_negatives == task.test.negatives.size(1)


@pytest.mark.parametrize("val_edges_at_test", [False, True])
def test_a_poisoned_edge_of_the_test_leaves_training_as_it_is(task, val_edges_at_test):
    """Two graphs that differ in their test links only, each through its protocol."""
    weights = []
    for links in (task.test.positives, task.test.negatives[:, :5]):
        parts = LinkParts(task.train_links, task.val, LinkSplit(links, task.test.negatives))
        dataset = make_dataset()
        dataset.data.edge_index = torch.cat([dataset.data.edge_index, links, links.flip(0)], dim=1)
        dataset = replace(dataset, links={"given": lambda parts=parts: parts})
        protocol = NamedLinks("given", val_edges_at_test, metric="hits@3")
        torch.manual_seed(0)
        head = LinkHead(protocol(dataset, 0).without_test(), DotPredictor(4), batch_size=10)
        encoder = create_model("gcn", 6, 4)
        curve = Backprop(epochs=3, stopping=None).fit(encoder, head).curve
        weights.append((curve, *(p.tolist() for p in encoder.parameters())))
    assert weights[0] == weights[1]


def test_a_transform_that_adds_columns_is_refused(task):
    transform = AddRandomWalkPE(2, attr_name=None)
    data = transform(task.data.clone())
    with pytest.raises(ValueError, match="AddRandomWalkPE adds columns to x"):
        MessageGraph(data, [transform])


def test_the_test_may_see_other_edges_than_training(task):
    both = torch.cat([task.val.positives, task.val.positives.flip(0)], dim=1)
    edges = torch.cat([task.data.edge_index, both], dim=1)
    head = LinkHead(task, Recorder(), batch_size=10)
    head.test(Identity(), type(task.test)(task.test.positives, task.test.negatives, edges))
    graph, _ = head.predictor.calls[-1]
    assert graph.num_edges == edges.size(1)


def test_scores_come_in_chunks_and_are_those_of_one_piece(task):
    one, many = (LinkHead(task, Recorder(), 10, eval_batch_size=size) for size in (10**6, 3))
    assert one.evaluate(Identity())["val"] == pytest.approx(many.evaluate(Identity())["val"])
    assert max(pairs.size(1) for _, pairs in many.predictor.calls) == 3


def test_negatives_of_each_positive_are_ranked_for_it(task):
    own = task.val.negatives[:, :1].unsqueeze(1).repeat(1, task.val.positives.size(1), 4)
    ranked = type(task)(**{**vars(task), "val": type(task.val)(task.val.positives, own)})
    scores = LinkHead(ranked, Recorder(), 10, metrics=["mrr"]).evaluate(Identity())["val"]
    assert set(scores) == {"loss", "hits@3", "mrr"}


def test_evaluation_restores_the_modes(task):
    head, encoder = LinkHead(task, Recorder(), 10), Identity().train()
    head.train()
    head.evaluate(encoder)
    assert encoder.training
    assert head.predictor.training


def test_bad_settings_raise(task):
    with pytest.raises(ValueError, match="batch_size=1000 is more than the"):
        LinkHead(task, Recorder(), batch_size=1000)
    with pytest.raises(ValueError, match="hits@100 needs at least 100 negatives, validation has"):
        LinkHead(task, Recorder(), 10, metrics=["hits@100"])
    with pytest.raises(ValueError, match="no link metric 'accuracy'"):
        LinkHead(task, Recorder(), 10, metrics=["accuracy"])
    with pytest.raises(KeyError):
        next(LinkHead(task, Recorder(), 10).batches("test"))
