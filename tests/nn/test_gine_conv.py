"""GINE convolution: PyG's numbers by sparse products, and embedded categories."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import GINEConv as PyGGINEConv

from gnnzoo.nn import CategoryEmbedding, GINEConv
from gnnzoo.ops import Graph
from tests.reference.graphs import kinds

GRAPHS = {name: graph for name, graph in kinds().items()}


def make(**settings) -> GINEConv:
    torch.manual_seed(0)
    mlp = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    return GINEConv(mlp, 4, 2, **settings).double()


@pytest.mark.parametrize("name", GRAPHS)
def test_it_equals_pygs(name):
    edges, num_nodes = GRAPHS[name]
    conv = make(train_eps=True)
    conv.eps.data.fill_(0.3)
    theirs = PyGGINEConv(conv.nn, eps=0.3, edge_dim=2).double()
    theirs.lin = conv.lin_edge
    x = torch.randn(num_nodes, 4).double()
    edge_attr = torch.randn(edges.size(1), 2).double()
    torch.testing.assert_close(conv(x, edges, edge_attr), theirs(x, edges, edge_attr))
    graph = Graph.from_edge_index(edges, num_nodes)
    torch.testing.assert_close(conv(x, graph, edge_attr), theirs(x, edges, edge_attr))


def test_gradients_are_exact():
    edges, num_nodes = GRAPHS["directed"]
    conv, weight = make(train_eps=True), torch.rand(edges.size(1)).double()
    x = torch.randn(num_nodes, 4).double().requires_grad_()
    edge_attr = torch.randn(edges.size(1), 2).double().requires_grad_()
    call = lambda x, e: conv(x, edges, e, weight)  # noqa: E731
    assert torch.autograd.gradcheck(call, (x, edge_attr))


def test_an_edge_of_weight_nothing_counts_as_none():
    edges, num_nodes = GRAPHS["directed"]
    x, edge_attr = torch.randn(num_nodes, 4).double(), torch.randn(edges.size(1), 2).double()
    keep = torch.arange(edges.size(1)) % 2 == 0
    conv = make()
    found = conv(x, edges, edge_attr, keep.double())
    torch.testing.assert_close(found, conv(x, edges[:, keep], edge_attr[keep]))


def test_it_says_what_does_not_fit():
    edges, num_nodes = GRAPHS["directed"]
    conv, edge_attr = make(), torch.randn(edges.size(1), 2).double()
    with pytest.raises(ValueError, match="x has 5 channels, layer was built for 4"):
        conv(torch.randn(num_nodes, 5).double(), edges, edge_attr)
    with pytest.raises(ValueError, match="one row per edge"):
        conv(torch.randn(num_nodes, 4).double(), edges, edge_attr[:2])
    assert "edge_channels=2" in repr(conv)
    before = conv.lin_edge.weight.clone()
    conv.reset_parameters()
    assert not torch.equal(conv.lin_edge.weight, before)


def test_categories_are_summed_vectors():
    torch.manual_seed(0)
    embedding = CategoryEmbedding([3, 2], 4)
    x = torch.tensor([[0, 1], [2, 0], [2, 0]])
    tables = embedding.weight.split([3, 2])
    wanted = tables[0][x[:, 0]] + tables[1][x[:, 1]]
    torch.testing.assert_close(embedding(x), wanted)
    embedding(x).sum().backward()
    assert embedding.weight.grad[:, 0].tolist() == [1, 0, 2, 2, 1]
    assert embedding.weight[:3].abs().max() <= (6 / (3 + 4)) ** 0.5  # Xavier's bound of a table
    assert embedding(x[:0]).shape == (0, 4)
    embedding(x[:0]).sum().backward()
    assert repr(embedding) == "CategoryEmbedding([3, 2], 4)"


@pytest.mark.parametrize(
    ("x", "message"),
    [(torch.zeros(3, 1).long(), r"\[num_rows, 2\], int64"), (torch.zeros(3, 2), "got torch.float")],
)
def test_what_is_no_category_is_refused(x, message):
    with pytest.raises(ValueError, match=message):
        CategoryEmbedding([3, 2], 4)(x)
    with pytest.raises(ValueError, match="sizes must be an integer of at least 1, got 0"):
        CategoryEmbedding([3, 0], 4)
    with pytest.raises(ValueError, match="at least one column"):
        CategoryEmbedding([], 4)
