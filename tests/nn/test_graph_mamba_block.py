"""A block is a convolution beside a scan along an order, and an MLP; graphs stay apart."""

import pytest
import torch
from torch_geometric.nn import GINConv

from gnnzoo.nn import GatedGCNConv, GCNConv, GraphMambaBlock
from gnnzoo.ops import Graph, NodeOrder
from tests.reference.graphs import random_edges

F64 = torch.float64
CHANNELS = 8
BATCH = torch.tensor([0] * 4 + [1] + [3] * 6)
CLOSE = {"rtol": 1e-9, "atol": 1e-10}


def edges() -> torch.Tensor:
    pairs = random_edges(12, 40, undirected=True)
    return pairs[:, BATCH[pairs[0]] == BATCH[pairs[1]]]


def nodes() -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(11, CHANNELS, dtype=F64)


def block(conv=None, **settings) -> GraphMambaBlock:
    torch.manual_seed(0)
    settings = {"norm": "layer_norm", "ssm": {"head_dim": 4}, **settings}
    return GraphMambaBlock(CHANNELS, conv, **settings).double()


def gated() -> GatedGCNConv:
    return GatedGCNConv(CHANNELS, CHANNELS, CHANNELS)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("draws", [1, 3])
def test_equals_the_equations(bidirectional, draws):
    layer = block(GCNConv(CHANNELS, CHANNELS), bidirectional=bidirectional, eval_draws=draws).eval()
    x, graph = nodes(), Graph.from_edge_index(edges(), 11)
    scans = []
    for order in NodeOrder(eval_draws=draws).draw(graph, BATCH).nodes.view(draws, -1):
        scan = torch.empty_like(x)
        scan[order] = layer.mamba(x[order], BATCH)
        scans.append(scan)
    h = layer.mamba_norm(x + torch.stack(scans).mean(0))
    h = h + layer.local_norm(x + layer.conv(x, graph))
    want = layer.out_norm(h + layer.mlp_out(layer.mlp_in(h).relu()))
    torch.testing.assert_close(layer(x, edges(), BATCH), want, **CLOSE)


def test_a_gated_convolution_updates_edges_too():
    layer, x, pairs = block(gated(), dropout=0.5).eval(), nodes(), edges().flip(1)
    e = torch.randn(pairs.size(1), CHANNELS, dtype=F64)
    z, q = layer.conv(x, pairs, e)
    found, new = layer(x, pairs, BATCH, edge_attr=e)
    torch.testing.assert_close(new, e + layer.edge_norm(q).relu(), **CLOSE)
    layer.conv_norm.register_forward_hook(lambda *_: torch.zeros_like(z))
    assert not torch.allclose(layer(x, pairs, BATCH, edge_attr=e)[0], found)
    last = block(gated(), updates_edges=False)
    assert torch.equal(last(x, pairs, edge_attr=e)[1], e)


def test_has_as_many_parameters_as_published():
    """The step between the published sizes of Graph-Mamba with three and with four blocks."""
    conv = GatedGCNConv(96, 96, 96)
    layer = GraphMambaBlock(96, conv, bidirectional=False, ssm={"ssm": "s6"})
    assert sum(p.numel() for p in layer.parameters()) == 118_752


def test_graphs_never_see_each_other():
    layer, x = block(GCNConv(CHANNELS, CHANNELS)), nodes().requires_grad_()
    (grad,) = torch.autograd.grad(layer(x, edges(), BATCH)[5:].square().sum(), x)
    assert not grad[:5].any()
    assert grad[5:].any(1).all()


def test_relabelling_nodes_permutes_the_output():
    layer, x, order = block(gated(), tie="canonical"), nodes(), torch.randperm(11)
    e = torch.randn(edges().size(1), CHANNELS, dtype=F64)
    want = layer(x, edges(), BATCH, edge_attr=e)[0][order]
    found = layer(x[order], order.argsort()[edges()], BATCH[order], edge_attr=e)[0]
    torch.testing.assert_close(found, want, **CLOSE)
    layer, key = block(tie="index"), torch.rand(11)
    want = layer(x, edges(), BATCH, order_key=key)[order]
    found = layer(x[order], order.argsort()[edges()], BATCH[order], order_key=key[order])
    torch.testing.assert_close(found, want, **CLOSE)


def test_training_draws_and_evaluation_repeats():
    layer, x = block(), nodes()
    assert not torch.equal(layer(x, edges()), layer(x, edges()))
    layer.eval()
    state = torch.get_rng_state()
    assert torch.equal(layer(x, edges()), layer(x, edges()))
    assert torch.equal(torch.get_rng_state(), state)


def test_any_convolution_that_takes_edges_fits_where_edges_have_no_weights():
    class Local(GINConv):
        def forward(self, x, graph, edge_weight=None):
            return super().forward(x, graph.edge_index)

    layer = block(Local(torch.nn.Linear(CHANNELS, CHANNELS)))
    assert layer(nodes(), edges()).shape == (11, CHANNELS)


def test_no_nodes_full_dropout_and_resetting():
    layer, x = block(norm=None, dropout=1.0), nodes()
    assert torch.equal(layer(x, edges(), BATCH), x)
    assert layer.eval()(x[:0], edges()[:, :0]).shape == (0, CHANNELS)
    before = layer(x, edges())
    layer.reset_parameters()
    assert not torch.allclose(layer(x, edges()), before)
    assert repr(layer) == "GraphMambaBlock(8, conv=None, BidirectionalMamba)"


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="norm must be one of None, 'batch_norm', 'layer_norm'"):
        block(norm="batch")
    with pytest.raises(ValueError, match="the block needs edge_attr"):
        block(gated())(nodes(), edges())
    with pytest.raises(ValueError, match="the block does not read edge_attr"):
        block()(nodes(), edges(), edge_attr=torch.ones(edges().size(1), CHANNELS, dtype=F64))
