"""Layers that PyG has: the same numbers from another propagation."""

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn
from torch_geometric import EdgeIndex

from gnnzoo import nn as ours
from gnnzoo.ops import Graph, SparseFeatures
from tests.reference import classics, dense
from tests.reference.graphs import kinds, random_edges

F64 = torch.float64


def mlp(in_channels, out_channels):
    return nn.Sequential(nn.Linear(in_channels, 4), nn.ReLU(), nn.Linear(4, out_channels))


# ours and PyG's, by name; in and out channels are given
PAIRS = {
    "sage": (ours.SAGEConv, pyg.SAGEConv),
    "gat": (ours.GATConv, pyg.GATConv),
    "gat_heads": (
        lambda i, o: ours.GATConv(i, o, heads=3),
        lambda i, o: pyg.GATConv(i, o, heads=3),
    ),
    "gat_average": (
        lambda i, o: ours.GATConv(i, o, heads=2, concat=False, negative_slope=0.1),
        lambda i, o: pyg.GATConv(i, o, heads=2, concat=False, negative_slope=0.1),
    ),
    "gat_plain": (
        lambda i, o: ours.GATConv(i, o, add_self_loops=False, bias=False),
        lambda i, o: pyg.GATConv(i, o, add_self_loops=False, bias=False),
    ),
    "gin": (
        lambda i, o: ours.GINConv(mlp(i, o), train_eps=True),
        lambda i, o: pyg.GINConv(mlp(i, o), train_eps=True),
    ),
    "gin_any": (
        lambda i, o: ours.GINConv(nn.Sequential(nn.Tanh(), nn.Linear(i, o)), eps=0.5),
        lambda i, o: pyg.GINConv(nn.Sequential(nn.Tanh(), nn.Linear(i, o)), eps=0.5),
    ),
    "sgc": (lambda i, o: ours.SGConv(i, o, K=3), lambda i, o: pyg.SGConv(i, o, K=3)),
}


def pair(name, in_channels=5, out_channels=3):
    torch.manual_seed(0)
    mine, theirs = (make(in_channels, out_channels) for make in PAIRS[name])
    for parameter in mine.parameters():  # biases start at zero
        nn.init.normal_(parameter)
    theirs.load_state_dict(mine.state_dict())
    return mine, theirs


@pytest.mark.parametrize("widths", [(5, 3), (3, 5)])
@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("name", PAIRS)
def test_equals_pyg_with_its_own_weights(name, kind, widths):
    edge_index, n = kinds()[kind]
    mine, theirs = (conv.double() for conv in pair(name, *widths))
    x = torch.randn(n, widths[0], dtype=F64, requires_grad=True)
    a, b = mine(x, edge_index), theirs(x, edge_index)
    torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    inputs = [(x, *conv.parameters()) for conv in (mine, theirs)]
    torch.testing.assert_close(
        torch.autograd.grad(a.square().sum(), inputs[0]),
        torch.autograd.grad(b.square().sum(), inputs[1]),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("name", PAIRS)
def test_starts_from_the_same_numbers_as_pyg(name):
    states = []
    for make in PAIRS[name]:
        torch.manual_seed(0)
        states.append(make(5, 3).state_dict())
    torch.testing.assert_close(*states)
    assert repr(PAIRS[name][0](5, 3)) == repr(PAIRS[name][1](5, 3))


@pytest.mark.parametrize("name", PAIRS)
def test_repeated_edges_count_as_often_as_in_pyg(name):
    mine, theirs = pair(name)
    edge_index = torch.cat([random_edges(9, 20, loops=False)] * 2, dim=1)
    x = torch.randn(9, 5)
    torch.testing.assert_close(mine(x, edge_index), theirs(x, edge_index))


@pytest.mark.parametrize("name", PAIRS)
def test_reads_graphs_edge_indices_and_sparse_features(name):
    conv, _ = pair(name)
    edge_index = random_edges(9, 24)
    x = torch.randn(9, 5) * (torch.rand(9, 5) < 0.5)
    graph, want = Graph.from_edge_index(edge_index, 9), conv(x, edge_index)
    torch.testing.assert_close(conv(x, graph), want)
    torch.testing.assert_close(conv(x, EdgeIndex(edge_index, sparse_size=(9, 9))), want)
    torch.testing.assert_close(conv(SparseFeatures.from_dense(x), graph), want)


@pytest.mark.parametrize("name", PAIRS)
def test_relabelling_nodes_permutes_the_output(name):
    conv, _ = pair(name)
    x, edge_index, order = torch.randn(9, 5), random_edges(9, 24), torch.randperm(9)
    moved = conv(x[order], order.argsort()[edge_index])
    torch.testing.assert_close(moved, conv(x, edge_index)[order])


@pytest.mark.parametrize("name", PAIRS)
def test_a_weight_of_zero_takes_an_edge_away_and_two_count_double(name):
    conv, _ = pair(name)
    edge_index = random_edges(9, 24, loops=False)
    weight = torch.randint(3, (edge_index.size(1),)).float()
    repeated = edge_index.repeat_interleave(weight.long(), dim=1)
    x = torch.randn(9, 5)
    torch.testing.assert_close(conv(x, edge_index, weight), conv(x, repeated))


@pytest.mark.parametrize("name", PAIRS)
def test_gradients_are_exact(name):
    conv = pair(name)[0].double()
    edge_index = random_edges(6, 12)
    x = torch.randn(6, 5, dtype=F64, requires_grad=True)
    weight = torch.rand(edge_index.size(1), dtype=F64).add(0.2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w: conv(x, edge_index, w), (x, weight))


@pytest.mark.parametrize("name", ["sage", "gat", "sgc"])
def test_negative_weights_are_refused(name):
    conv, _ = pair(name)
    edge_index = random_edges(9, 24)
    with pytest.raises(ValueError, match="edge_weight must be finite and not negative"):
        conv(torch.randn(9, 5), edge_index, -torch.ones(edge_index.size(1)))


@pytest.mark.parametrize("name", PAIRS)
def test_wrong_widths_are_refused(name):
    conv, _ = pair(name)
    edge_index = random_edges(9, 24)
    with pytest.raises((ValueError, RuntimeError)):
        conv(torch.randn(9, 4), edge_index)
    with pytest.raises(ValueError, match="the graph has 9 nodes, x has 8 rows"):
        conv(torch.randn(8, 5), Graph.from_edge_index(edge_index, 9))


@pytest.mark.parametrize("kind", kinds())
def test_attention_equals_the_dense_equations(kind):
    edge_index, n = kinds()[kind]
    conv = ours.GATConv(5, 3, heads=2).double()
    x = torch.randn(n, 5, dtype=F64)
    torch.testing.assert_close(conv(x, edge_index), classics.gat(conv, x, edge_index))


def test_attention_dropout_acts_in_training_and_keeps_the_mean():
    torch.manual_seed(0)
    conv = ours.GATConv(5, 3, dropout=0.5)
    x, edge_index = torch.randn(9, 5), random_edges(9, 24)
    runs = torch.stack([conv(x, edge_index) for _ in range(3000)])
    assert runs.std(0).max() > 0.1
    want = conv.eval()(x, edge_index)
    torch.testing.assert_close(runs.mean(0), want, rtol=0, atol=0.1)
    assert torch.equal(conv(x, edge_index), want)


def test_large_scores_do_not_overflow_attention():
    conv = ours.GATConv(5, 3)
    x, edge_index = 1e4 * torch.randn(9, 5), random_edges(9, 24)
    assert conv(x, edge_index).isfinite().all()


@pytest.mark.parametrize("loops", ["none", "one", "two", "some"])
@pytest.mark.parametrize("make", [ours.GCNConv, ours.GATConv, ours.SAGEConv])
def test_every_node_has_one_self_loop_however_many_are_given(make, loops):
    conv = make(5, 3, add_self_loops=True)
    edge_index = random_edges(9, 24, loops=False)
    own = torch.arange(9).repeat(2, 1)
    given = {"none": own[:, :0], "one": own, "two": torch.cat([own, own], 1), "some": own[:, :4]}
    x = torch.randn(9, 5)
    out = conv(x, torch.cat([edge_index, given[loops]], dim=1))
    torch.testing.assert_close(out, conv(x, edge_index))


def test_the_mean_holds_the_node_itself_with_self_loops():
    star = torch.tensor([[1, 2, 3], [0, 0, 0]])
    conv = ours.SAGEConv(1, 1, add_self_loops=True)
    for parameter, value in zip(conv.parameters(), (1.0, 0.0, 0.0), strict=True):
        nn.init.constant_(parameter, value)  # the mean alone
    x = torch.tensor([[8.0], [1.0], [2.0], [5.0]])
    assert conv(x, star).flatten().tolist() == [4.0, 1.0, 2.0, 5.0]
    conv.add_self_loops = False
    torch.testing.assert_close(conv(x, star).flatten(), torch.tensor([8 / 3, 0.0, 0.0, 0.0]))


@pytest.mark.parametrize("settings", [{}, {"add_self_loops": False}, {"normalize": False}])
@pytest.mark.parametrize("kind", kinds())
def test_page_rank_equals_pyg(kind, settings):
    edge_index, n = kinds()[kind]
    x = torch.randn(n, 3, dtype=F64)
    for weight in (None, torch.rand(edge_index.size(1), dtype=F64)):
        a = ours.APPNP(4, 0.2, **settings)(x, edge_index, weight)
        b = pyg.APPNP(4, 0.2, **settings)(x, edge_index, weight)
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_page_rank_gradients_are_exact_and_full_edge_dropout_leaves_the_input():
    edge_index = random_edges(6, 12)
    x = torch.randn(6, 3, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: ours.APPNP(3, 0.2)(x, edge_index), (x,))
    out = ours.APPNP(3, 0.2, dropout=1.0)(x, edge_index)
    torch.testing.assert_close(out, 0.2 * x)
    half = ours.APPNP(3, 0.2, dropout=0.5)
    assert not torch.equal(half(x, edge_index), half(x, edge_index))
    torch.testing.assert_close(half.eval()(x, edge_index), ours.APPNP(3, 0.2)(x, edge_index))


@pytest.mark.parametrize("kind", kinds())
def test_initial_residual_convolution_equals_pyg_and_the_equation(kind):
    edge_index, n = kinds()[kind]
    mine = ours.GCN2Conv(4, alpha=0.2, theta=0.5, layer=3).double()
    theirs = pyg.GCN2Conv(4, alpha=0.2, theta=0.5, layer=3).double()
    theirs.load_state_dict(mine.state_dict())
    x = torch.randn(n, 4, dtype=F64, requires_grad=True)
    x_0 = torch.randn(n, 4, dtype=F64, requires_grad=True)
    a, b = mine(x, x_0, edge_index), theirs(x, x_0, edge_index)
    torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    want = classics.gcnii_layer(mine, dense.gcn_norm(edge_index, n), x, x_0)
    torch.testing.assert_close(a, want, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        torch.autograd.grad(a.square().sum(), (x, x_0, mine.weight1)),
        torch.autograd.grad(b.square().sum(), (x, x_0, theirs.weight1)),
        rtol=1e-5,
        atol=1e-5,
    )
    assert repr(mine) == repr(theirs)
