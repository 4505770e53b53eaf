"""DirConv equals PyG's DirGNNConv; DirGNN runs it in every form. See test_encoders.py too."""

import pytest
import torch
from torch_geometric.nn import DirGNNConv, GATConv, GCNConv, SAGEConv

from gnnzoo.data import ReverseGraph
from gnnzoo.models import DirGNN
from gnnzoo.nn import DirConv
from gnnzoo.ops import BothWays, Graph, SparseFeatures, reverse_graph
from tests.reference import dense
from tests.reference.graphs import kinds, random_edges

STOCK = {
    "gcn": lambda i, o: GCNConv(i, o),
    "sage": lambda i, o: SAGEConv(i, o),
    "gat": lambda i, o: GATConv(i, o, concat=False),
}


def pair(conv, channels, width, **settings):
    """Ours and PyG's with the same weights."""
    torch.manual_seed(0)
    theirs = DirGNNConv(STOCK[conv](channels, width), **settings).double().eval()
    ours = DirConv(channels, width, conv, **settings).double().eval()
    state = theirs.state_dict()
    ours.load_state_dict({key: value for key, value in state.items() if "lin_r" not in key})
    return ours, theirs


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("conv", STOCK)
@pytest.mark.parametrize("widths", [(5, 3), (3, 5)])
def test_equals_pyg(kind, conv, widths):
    edge_index, num_nodes = kinds()[kind]
    x = torch.randn(num_nodes, widths[0], dtype=torch.float64)
    for settings in ({}, {"alpha": 0.2, "root_weight": False}):
        ours, theirs = pair(conv, *widths, **settings)
        want = theirs(x, edge_index)
        graph = Graph.from_edge_index(edge_index, num_nodes)
        torch.testing.assert_close(ours(x, edge_index), want)
        torch.testing.assert_close(ours(x, BothWays(graph, reverse_graph(graph))), want)
        torch.testing.assert_close(ours(SparseFeatures.from_dense(x), graph), want)


def test_one_edge_shows_the_direction():
    layer = DirConv(1, 1, "sage", alpha=0.25, root_weight=False)
    for conv in (layer.conv_in, layer.conv_out):
        torch.nn.init.ones_(conv.lin_l.weight)
        torch.nn.init.zeros_(conv.lin_l.bias)
    out = layer(torch.tensor([[10.0], [20.0]]), torch.tensor([[0], [1]]))
    assert out.tolist() == [[0.25 * 20.0], [0.75 * 10.0]]


@pytest.mark.parametrize("kind", kinds())
def test_the_reverse_keeps_the_order_of_edges_and_weights(kind):
    edge_index, num_nodes = kinds()[kind]
    edge_index = torch.cat([edge_index, edge_index[:, :3]], dim=1)  # repeated
    weight = torch.rand(edge_index.size(1), dtype=torch.float64)
    graph = Graph.from_edge_index(edge_index, num_nodes)
    reverse = reverse_graph(graph)
    assert reverse_graph(graph) is reverse
    want = dense.adjacency(edge_index, num_nodes, weight).t()
    torch.testing.assert_close(reverse.matrix(weight).to_dense(), want)


@pytest.mark.parametrize("conv", STOCK)
def test_the_network_in_every_form(conv):
    edge_index, x = random_edges(9, 24), torch.randn(9, 6)
    torch.manual_seed(0)
    heads = {"heads": 2} if conv == "gat" else {}
    model = DirGNN(6, 8, 3, conv=conv, **heads)
    model(x, edge_index).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
    model.eval()
    want = model(x, edge_index)
    graph = Graph.from_edge_index(edge_index, 9)
    found = model(x, edge_index, graph=graph, reverse=reverse_graph(graph))
    torch.testing.assert_close(found, want)
    assert not torch.allclose(model(x, edge_index.flip(0)), want)
    order = torch.randperm(9)
    torch.testing.assert_close(model(x[order], order.argsort()[edge_index]), want[order])


def test_gradients_of_every_convolution():
    edge_index = random_edges(5, 9)
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    for conv in STOCK:
        layer = DirConv(3, 2, conv).double()
        inputs = (x, *layer.parameters())
        assert torch.autograd.gradcheck(lambda x, *_, run=layer: run(x, edge_index), inputs)


def test_the_transform_turns_edges_around():
    from torch_geometric.data import Data

    data = ReverseGraph()(Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=4))
    assert data.reverse.num_nodes == 4
    assert sorted(data.reverse.edge_index.t().tolist()) == [[1, 0], [2, 1]]


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="conv must be one of 'gcn', 'sage', 'gat', got 'gin'"):
        DirConv(3, 4, "gin")
    with pytest.raises(ValueError, match=r"alpha must be a number in \[0, 1\], got 2"):
        DirConv(3, 4, alpha=2)
    with pytest.raises(ValueError, match="heads must divide the width 4, got 3"):
        DirConv(3, 4, "gat", heads=3)
    assert repr(DirConv(3, 4)) == "DirConv(conv='sage', alpha=0.5)"
