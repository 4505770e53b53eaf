import pytest
import torch
from torch_geometric.nn import GCNConv as PyGGCNConv

from gnnzoo.nn import GCNConv
from gnnzoo.ops import Graph, SparseFeatures
from tests.reference.graphs import kinds, random_edges

F64 = torch.float64


@pytest.mark.parametrize(
    "settings", [{}, {"add_self_loops": False}, {"normalize": False}, {"bias": False}]
)
@pytest.mark.parametrize("kind", kinds())
def test_equals_pyg_with_its_own_weights(kind, settings):
    edge_index, n = kinds()[kind]
    ours, theirs = GCNConv(5, 3, **settings).double(), PyGGCNConv(5, 3, **settings).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(n, 5, dtype=F64, requires_grad=True)
    weight = torch.rand(edge_index.size(1), dtype=F64, requires_grad=True)
    for w in (None, weight):
        inputs = (x, *ours.parameters()) if w is None else (x, w, *ours.parameters())
        others = (x, *theirs.parameters()) if w is None else (x, w, *theirs.parameters())
        a, b = ours(x, edge_index, w), theirs(x, edge_index, w)
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(
            torch.autograd.grad(a.square().sum(), inputs),
            torch.autograd.grad(b.square().sum(), others),
            rtol=1e-5,
            atol=1e-5,
        )


def test_starts_from_the_same_numbers_as_pyg():
    torch.manual_seed(0)
    ours = GCNConv(5, 3)
    torch.manual_seed(0)
    torch.testing.assert_close(ours.state_dict(), PyGGCNConv(5, 3).state_dict())
    assert repr(ours) == "GCNConv(5, 3)"


def test_reads_a_graph_and_sparse_features():
    edge_index = random_edges(9, 24)
    x = torch.randn(9, 5) * (torch.rand(9, 5) < 0.5)
    conv = GCNConv(5, 3)
    graph = Graph.from_edge_index(edge_index, 9)
    want = conv(x, edge_index)
    assert torch.equal(conv(x, graph), want)
    torch.testing.assert_close(conv(SparseFeatures.from_dense(x), graph), want)


def test_relabelling_nodes_permutes_the_output():
    conv, x, edge_index = GCNConv(5, 3), torch.randn(9, 5), random_edges(9, 24)
    order = torch.randperm(9)
    moved = conv(x[order], order.argsort()[edge_index])
    torch.testing.assert_close(moved, conv(x, edge_index)[order])


def test_width_may_come_from_the_first_input():
    conv = GCNConv(-1, 3)
    assert conv(torch.randn(9, 5), random_edges(9, 24)).shape == (9, 3)
    assert conv.lin.weight.shape == (3, 5)
