"""What labels add to the input, checked edge by edge."""

import pytest
import torch

from gnnzoo.nn import GCNConv
from gnnzoo.train.forward.graphs import check_labels, label_columns, virtual_edges, wrong_labels
from tests.reference.forward import communities, cut, fields, hidden_test


@pytest.mark.parametrize("bidirectional", [True, False])
def test_virtual_edges_tie_each_training_node_to_its_class(bidirectional):
    nodes, classes = torch.tensor([4, 0, 7]), torch.tensor([1, 0, 1])
    edges = virtual_edges(nodes, classes, 10, bidirectional).t().tolist()
    up = [[4, 11], [0, 10], [7, 11]]
    assert edges == up + ([[b, a] for a, b in up] if bidirectional else [])


def test_the_augmented_graph_keeps_real_edges_and_touches_no_other_node():
    data = communities()
    model = cut(lambda: [GCNConv(6, 4)], hidden_test(data))
    (stream,) = model.train_streams(fields(data))
    graph, n = stream.context.graph, data.num_nodes
    edges, train = graph.edge_index, data.train_mask.nonzero().squeeze(1)
    real = edges[:, (edges < n).all(0)]
    assert graph.num_nodes == n + 3
    assert graph.num_edges == data.num_edges + 2 * len(train)
    assert real.size(1) == data.num_edges
    virtual = edges[:, (edges >= n).any(0)]
    assert ((virtual >= n).sum(0) == 1).all()  # none between two virtual nodes
    ends = virtual[virtual < n].unique()
    assert torch.equal(ends, train)
    for label in range(3):
        assert graph.in_degree()[n + label] == (data.y[train] == label).sum()


def test_negatives_are_every_wrong_class_once():
    labels = torch.randint(4, (600,), generator=torch.Generator().manual_seed(0))
    wrong = wrong_labels(labels, 4, torch.Generator().manual_seed(1))
    assert wrong.shape == (3, 600)
    assert torch.equal(torch.cat([wrong, labels[None]]).sort(0).values[:, 0], torch.arange(4))
    assert (torch.cat([wrong, labels[None]]).sort(0).values == torch.arange(4)[:, None]).all()
    counts = torch.bincount(wrong[0][labels == 0], minlength=4)[1:].double()
    expected = counts.sum() / 3
    assert ((counts - expected).square() / expected).sum() < 13.8  # chi-squared, p = 0.001


def test_two_classes_leave_one_wrong_label():
    labels = torch.tensor([0, 1, 1])
    assert wrong_labels(labels, 2, torch.Generator()).tolist() == [[1, 0, 0]]


def test_label_columns_are_uniform_where_nothing_is_known():
    columns = label_columns(4, 4, torch.tensor([2]), torch.tensor([1]), torch.float32)
    assert columns[2].tolist() == [0, 1, 0, 0]
    assert (columns[[0, 1, 3]] == 0.25).all()


def test_contrasted_streams_differ_in_training_rows_only():
    data = communities()
    layers = lambda: [GCNConv(9, 4)]  # noqa: E731
    model = cut(layers, hidden_test(data), "ff_la")
    true, *false = [stream.h for stream in model.train_streams(fields(data))]
    for other in false:
        differs = (true != other).any(1)
        assert torch.equal(differs, data.train_mask)
        assert torch.equal(true[:, :6], other[:, :6])
    val = data.val_mask.nonzero().squeeze(1)
    for label, stream in enumerate(model.class_streams(fields(data), val)):
        own = stream.h[:, 6:]
        assert (own[data.val_mask].argmax(1) == label).all()
        assert torch.equal(own[data.train_mask].argmax(1), data.y[data.train_mask])
        assert (own[data.test_mask] == 1 / 3).all()


@pytest.mark.parametrize(
    ("labels", "num_classes", "message"),
    [([0, 0], 1, "at least 2 classes"), ([0, 0], 2, "class 1"), ([0, 3], 2, "outside")],
)
def test_labels_that_do_not_do_are_refused(labels, num_classes, message):
    with pytest.raises(ValueError, match=message):
        check_labels(torch.tensor(labels), num_classes)
