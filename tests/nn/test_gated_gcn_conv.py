import pytest
import torch

from gnnzoo.nn import GatedGCNConv
from gnnzoo.ops import Graph
from tests.reference import classics
from tests.reference.graphs import kinds, random_edges

F64 = torch.float64


def case(kind):
    edge_index, n = kinds()[kind]
    order = torch.randperm(edge_index.size(1))  # given in an order that is not the graph's
    x = torch.randn(n, 5, dtype=F64, requires_grad=True)
    e = torch.randn(edge_index.size(1), 2, dtype=F64, requires_grad=True)
    return x, edge_index[:, order], e


@pytest.mark.parametrize("kind", kinds())
def test_equals_the_equations_edge_by_edge(kind):
    conv = GatedGCNConv(5, 3, 2).double()
    x, edge_index, e = case(kind)
    z, q = conv(x, edge_index, e)
    want_z, want_q = classics.gated(conv, x, edge_index, e)
    torch.testing.assert_close(z, want_z)
    torch.testing.assert_close(q, want_q)
    graph = Graph.from_edge_index(edge_index, x.size(0))
    torch.testing.assert_close(conv(x, graph, e)[0], want_z)


@pytest.mark.parametrize("kind", kinds())
def test_one_row_of_edge_features_stands_for_all_edges(kind):
    conv = GatedGCNConv(5, 3, 2).double()
    x, edge_index, _ = case(kind)
    graph, row = Graph.from_edge_index(edge_index, x.size(0)), torch.randn(1, 2, dtype=F64)
    found = conv.on_entries(x, graph, row.requires_grad_())
    want = conv.on_entries(x, graph, row.expand(graph.num_edges, 2))
    torch.testing.assert_close(found, want)
    grads = [torch.autograd.grad(z.sum() + q.sum(), row)[0] for z, q in (found, want)]
    torch.testing.assert_close(*grads)


def test_gradients_are_exact():
    conv = GatedGCNConv(5, 3, 2).double()
    x, edge_index, e = case("directed")
    weight = torch.rand(edge_index.size(1), dtype=F64).requires_grad_()
    assert torch.autograd.gradcheck(lambda *a: conv(a[0], edge_index, *a[1:]), (x, e, weight))


def test_without_incoming_edges_only_the_own_map_is_left():
    conv = GatedGCNConv(5, 3, 2)
    x = torch.randn(4, 5)
    z, q = conv(x, torch.empty(2, 0, dtype=torch.long), torch.empty(0, 2))
    torch.testing.assert_close(z, conv.lin_self(x))
    assert q.shape == (0, 3)


def test_a_weight_of_zero_takes_an_edge_away():
    conv = GatedGCNConv(5, 3, 2).double()
    x, edge_index, e = case("directed")
    weight = (torch.arange(edge_index.size(1)) % 2).double()
    kept = weight.bool()
    z, _ = conv(x, edge_index, e, weight)
    torch.testing.assert_close(z, conv(x, edge_index[:, kept], e[kept])[0])


def test_relabelling_nodes_permutes_the_output():
    conv = GatedGCNConv(5, 3, 2).double()
    x, edge_index, e = case("directed")
    order = torch.randperm(x.size(0))
    z, q = conv(x[order], order.argsort()[edge_index], e)
    torch.testing.assert_close(z, conv(x, edge_index, e)[0][order])
    torch.testing.assert_close(q, conv(x, edge_index, e)[1])


def test_edge_features_may_be_one_number_each_and_layers_save_load_and_reset():
    conv, other = GatedGCNConv(5, 3, 1), GatedGCNConv(5, 3, 1)
    x, edge_index = torch.randn(9, 5), random_edges(9, 24)
    e = torch.randn(edge_index.size(1))
    other.load_state_dict(conv.state_dict())
    want = conv(x, edge_index, e)[0]
    assert torch.equal(other(x, edge_index, e.unsqueeze(1))[0], want)
    other.reset_parameters()
    assert not torch.equal(other(x, edge_index, e)[0], want)
    assert repr(conv) == "GatedGCNConv(5, 3, edge_channels=1)"


def test_what_does_not_fit_is_named():
    conv = GatedGCNConv(5, 3, 2)
    x, edge_index = torch.randn(9, 5), random_edges(9, 24)
    e = torch.randn(edge_index.size(1), 2)
    with pytest.raises(ValueError, match="x has 4 channels, layer was built for 5"):
        conv(x[:, :4], edge_index, e)
    with pytest.raises(ValueError, match="edge_attr has 1 channels, layer was built for 2"):
        conv(x, edge_index, e[:, :1])
    with pytest.raises(ValueError, match=r"edge_attr must have shape \[.*, channels\], one row"):
        conv(x, edge_index, e[:3])
    with pytest.raises(ValueError, match=r"edge_attr must be floating point, got torch\.int64"):
        conv(x, edge_index, e.long())
    with pytest.raises(ValueError, match="edges that occur once"):
        conv(x, edge_index.repeat(1, 2), e.repeat(2, 1))
