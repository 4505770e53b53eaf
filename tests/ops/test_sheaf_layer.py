import pytest
import torch
from torch import nn

from gnnzoo.nn import SheafConv
from gnnzoo.nn.sheaf_conv import is_plain
from gnnzoo.ops import as_sheaf_graph
from tests.reference.graphs import random_edges

F64 = torch.float64
EDGES = random_edges(9, 14, undirected=True, loops=False)
SETTINGS = {
    "diag": {"maps": "diag"},
    "diag, no activation": {"maps": "diag", "act": None},
    "diag, not augmented": {"maps": "diag", "augmented": False},
    "bundle": {"maps": "bundle", "edge_weights": True},
    "bundle, no weights": {"maps": "bundle", "orth": "exp"},
    "bundle, summed stalks": {"maps": "bundle", "edge_weights": True, "learner": "stalk_sum"},
    "general": {"maps": "general"},
    "general, 2": {"maps": "general", "stalk_dim": 2},
    "general, 4": {"maps": "general", "stalk_dim": 4},
}


def make(name, **more):
    torch.manual_seed(0)
    conv = SheafConv(4, 4, **{"stalk_dim": 3, **SETTINGS[name], **more})
    nn.init.normal_(conv.epsilon)
    nn.init.normal_(conv.left)
    return conv


def run(conv, chained, edges=EDGES, num_nodes=9, dtype=torch.float32):
    """Result and all gradients."""
    assert conv._chains, "this layer is never chained"
    conv = conv.to(dtype)
    conv.zero_grad()
    conv._chains = chained
    torch.manual_seed(1)
    x = torch.randn(num_nodes, conv.num_stalks * 4, dtype=dtype).requires_grad_()
    out = conv(x, edges)
    (out * torch.randn_like(out)).sum().backward()
    conv._chains = True
    return [out.detach(), x.grad, *(p.grad for p in conv.parameters())]


@pytest.mark.parametrize("name", SETTINGS)
def test_chained_layer_is_the_recorded_one_to_the_last_bit(name):
    conv = make(name, dropout=0.3, map_dropout=0.3)
    for one, other in zip(run(conv, True), run(conv, False), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_are_those_of_differences(name):
    conv = make(name).double()
    x = torch.randn(9, conv.num_stalks * 4, dtype=F64, requires_grad=True)
    graph = as_sheaf_graph(torch.cat([EDGES[:, (EDGES != 8).all(0)]], dim=1), 9)  # 8 is isolated
    names, weights = zip(*conv.named_parameters(), strict=True)

    def layer(x, *weights):
        return torch.func.functional_call(conv, dict(zip(names, weights, strict=True)), (x, graph))

    assert torch.autograd.gradcheck(layer, (x, *weights), atol=1e-6)


@pytest.mark.parametrize("name", ["diag", "bundle", "general"])
@pytest.mark.parametrize("num_nodes", [1, 4])
def test_without_edges_only_the_share_of_the_input_is_left(name, num_nodes):
    conv = make(name).double()
    none = torch.empty(2, 0, dtype=torch.long)
    out, grad, *_ = run(conv, True, none, num_nodes, F64)
    torch.manual_seed(1)
    x = torch.randn(num_nodes, 12, dtype=F64)
    share = (1 + conv.epsilon.tanh()).repeat_interleave(4)
    torch.testing.assert_close(out, share * x)
    assert grad.isfinite().all()


def test_second_derivative_is_refused():
    conv = make("diag")
    x = torch.randn(9, 12, requires_grad=True)
    with pytest.raises(RuntimeError, match="second derivative"):
        torch.autograd.grad(conv(x, EDGES).sum(), x, create_graph=True)


def test_mixed_precision_goes_the_recorded_way():
    x = torch.randn(9, 12)
    assert is_plain(x)
    assert not is_plain(x.half())
    with torch.autocast("cpu"):
        assert not is_plain(x)
