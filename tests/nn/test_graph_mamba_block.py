import pytest
import torch

from gnnzoo.nn import BidirectionalMamba, GraphMambaBlock, SelectiveSSM
from gnnzoo.ops import Sequences

F64 = torch.float64
CLOSE = {"rtol": 1e-9, "atol": 1e-10}
BATCH = torch.tensor([0] * 4 + [1] + [3] * 6)


def block(**settings):
    torch.manual_seed(0)
    return GraphMambaBlock(8, head_dim=4, **settings).double()


def nodes():
    torch.manual_seed(1)
    return torch.randn(11, 8, dtype=F64)


def some_order():
    """Nodes of each graph in random order."""
    return torch.cat(
        [part[torch.randperm(len(part))] for part in torch.arange(11).split([4, 1, 6])]
    )


@pytest.mark.parametrize("bidirectional", [True, False])
def test_equals_the_equations(bidirectional):
    layer, x, order = block(bidirectional=bidirectional, norm="layer_norm"), nodes(), some_order()
    assert isinstance(layer.mixer, BidirectionalMamba if bidirectional else SelectiveSSM)
    local, mixed = torch.randn_like(x), torch.empty_like(x)
    mixed[order] = layer.mixer(x[order], BATCH)
    h = layer.norm_mixed(x + mixed) + layer.norm_local(local)
    first, last = layer.mlp[0], layer.mlp[3]
    want = layer.norm_out(h + last(first(h).relu()))
    torch.testing.assert_close(layer(x, order, BATCH, local), want, **CLOSE)


@pytest.mark.parametrize("norm", ["batch_norm", "none"])
def test_relabelling_nodes_permutes_the_output(norm):
    layer, x, order, p = block(norm=norm), nodes(), some_order(), torch.randperm(11)
    moved = p.argsort()[order]  # new names of the nodes, read in the same order
    torch.testing.assert_close(layer(x[p], moved, BATCH), layer(x, order, BATCH)[p], **CLOSE)


@pytest.mark.parametrize("seg", [BATCH, Sequences.from_ids(BATCH)])
def test_several_orders_are_averaged(seg):
    layer, x = block(), nodes()
    orders = torch.stack([some_order() for _ in range(3)])
    want = torch.stack([layer.mix(x, order, seg) for order in orders]).mean(0)
    torch.testing.assert_close(layer.mix(x, orders, seg), want, **CLOSE)


def test_graphs_never_see_each_other():
    layer, x = block(norm="layer_norm"), nodes().requires_grad_()
    (grad,) = torch.autograd.grad(layer(x, some_order(), BATCH)[5:].sum(), x)
    assert not grad[:5].any()
    assert grad[5:].any(1).all()


def test_no_nodes_full_dropout_and_resetting():
    layer, x = block(norm="none", dropout=1.0), nodes()
    assert torch.equal(layer(x, some_order(), BATCH), x)
    assert layer.eval()(x[:0], torch.arange(0)).shape == (0, 8)
    before = layer(x, torch.arange(11))
    layer.reset_parameters()
    assert not torch.allclose(layer(x, torch.arange(11)), before)
    assert repr(layer) == "GraphMambaBlock(8, bidirectional=True)"


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="norm must be one of 'batch_norm', 'layer_norm', 'none'"):
        block(norm="batch")
    with pytest.raises(ValueError, match=r"order must have shape \[11\] or \[num_orders, 11\]"):
        block()(nodes(), torch.arange(10))
