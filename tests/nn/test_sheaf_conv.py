import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch_geometric import EdgeIndex
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from gnnzoo.nn import EdgeWeightLearner, SheafConv, SheafLearner
from gnnzoo.ops import FlatLaplacian, Graph, SheafLaplacian, as_sheaf_graph, sheaf_laplacian
from tests.reference import sheaf as reference
from tests.reference.graphs import random_edges

F64 = torch.float64
EDGES = random_edges(9, 14, undirected=True, loops=False)
NONE = torch.empty(2, 0, dtype=torch.long)
LAYERS = {
    "diag": {"maps": "diag"},
    "bundle": {"maps": "bundle", "edge_weights": True},
    "bundle_exp": {"maps": "bundle", "orth": "exp"},
    "general": {"maps": "general"},
    "general_chol": {"maps": "general", "norm": "chol"},
    "identity": {"maps": "identity"},
    "flat": {"maps": "flat", "orth": "cayley"},
}


def make(name, channels=4, stalk_dim=3, **settings):
    torch.manual_seed(0)
    conv = SheafConv(channels, channels, stalk_dim, **{**LAYERS[name], **settings}).double()
    if conv.epsilon is not None:
        nn.init.normal_(conv.epsilon)
    if conv.left is not None:
        nn.init.normal_(conv.left)
    return conv


@pytest.fixture(params=LAYERS)
def conv(request):
    return make(request.param, add_lp=True, add_hp=True)


def features(conv, n=9):
    return torch.randn(n, conv.num_stalks * conv.in_channels, dtype=F64)


def joined(learner):
    """The matrix that acts on the features of both ends side by side."""
    return torch.cat([*learner.weight], dim=1)


def learned_maps(conv, x, edges):
    """Maps and factors of all terms, edge by edge from the two ends' features."""
    maps, weights = [], []
    for source, target in edges.t().tolist():
        ends = torch.cat([x[target], x[source]])
        score = (joined(conv.learner) @ ends).unsqueeze(0)
        maps.append(conv.learner.maps_from(score)[0])
        if conv.weight_learner is not None:
            back = torch.cat([x[source], x[target]])
            u = joined(conv.weight_learner)[0]
            weights.append((torch.sigmoid(u @ ends) * torch.sigmoid(u @ back)) ** 2)
    return torch.stack(maps), torch.stack(weights) if weights else None


def test_equals_the_equations(conv):
    x = features(conv)
    if conv.maps == "identity":
        maps, weight = torch.eye(3, dtype=F64).expand(EDGES.size(1), 3, 3), None
    elif conv.maps == "flat":
        maps, weight = conv.learner(x)[EDGES[1]], None
    else:
        maps, weight = learned_maps(conv, x, EDGES)
    want = reference.laplacian(EDGES, maps, 9, weight, ("lp", "hp"))
    delta = reference.normalized(*want, conv.norm)
    mixed = conv.left @ x.view(9, 5, 4) @ conv.right.T
    y = F.elu(delta @ mixed.reshape(45, 4)).view(9, 5, 4)
    y = (1 + conv.epsilon.tanh())[:, None] * x.view(9, 5, 4) - y
    torch.testing.assert_close(conv(x, EDGES), y.flatten(1))
    torch.testing.assert_close(conv(x.view(9, 5, 4), EDGES), y)


def test_every_form_of_the_edges_gives_the_same(conv):
    x = features(conv)
    want = conv(x, EDGES)
    graph = Graph.from_edge_index(EDGES, 9)
    shuffled = EDGES[:, torch.randperm(EDGES.size(1))]
    for edges in (graph, as_sheaf_graph(graph, 9), EdgeIndex(EDGES, sparse_size=(9, 9)), shuffled):
        torch.testing.assert_close(conv(x, edges), want, atol=1e-10, rtol=0)


def test_relabelling_nodes_permutes_the_output(conv):
    x, order = features(conv), torch.randperm(9)
    moved = conv(x[order], order.argsort()[EDGES])
    torch.testing.assert_close(moved, conv(x, EDGES)[order], atol=1e-10, rtol=0)


def test_gradients_are_exact(conv):
    x = features(conv).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: conv(x, EDGES), x, fast_mode=True)
    names, parameters = zip(*conv.named_parameters(), strict=True)

    def run(*values):
        call = dict(zip(names, values, strict=True))
        return torch.func.functional_call(conv, call, (x.detach(), EDGES))

    assert torch.autograd.gradcheck(run, parameters, fast_mode=True)


@pytest.mark.parametrize("n", [1, 4])
def test_without_edges_only_the_own_features_are_left(conv, n):
    x = features(conv, n).requires_grad_()
    out = conv(x, NONE)
    want = (1 + conv.epsilon.tanh())[:, None] * x.view(n, 5, 4)
    torch.testing.assert_close(out, want.flatten(1))
    out.square().sum().backward()
    assert x.grad.isfinite().all()
    loop = torch.zeros(2, 1, dtype=torch.long)
    torch.testing.assert_close(conv(x, loop), out)


def test_isolated_nodes_have_finite_gradients(conv):
    conv(features(conv), EDGES).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in conv.parameters())
    assert all(p.grad.abs().sum() > 0 for p in conv.parameters())


def test_save_load_reset_and_repr(conv):
    x = features(conv)
    want = conv(x, EDGES)
    other = type(conv)(4, 4, 3, add_lp=True, add_hp=True, **LAYERS[name_of(conv)]).double()
    other.load_state_dict(conv.state_dict())
    assert torch.equal(other(x, EDGES), want)
    other.reset_parameters()
    assert torch.equal(other.left, torch.eye(5, dtype=F64))
    torch.testing.assert_close(other.right @ other.right.T, torch.eye(4, dtype=F64))
    assert other.epsilon.abs().sum() == 0
    assert repr(conv).startswith(f"SheafConv(\n  4, 4, stalk_dim=3, maps='{conv.maps}', add_lp=Tr")


def name_of(conv):
    return next(
        name
        for name, settings in LAYERS.items()
        if settings["maps"] == conv.maps
        and settings.get("norm", "sym") == conv.norm
        and settings.get("edge_weights", False) == (conv.weight_learner is not None)
        and settings.get("orth", "householder") == getattr(conv.learner, "orth", "householder")
    )


@pytest.mark.parametrize("name", LAYERS)
def test_weights_of_edges_multiply_their_terms(name):
    conv = make(name, add_lp=True)
    x, table = features(conv), torch.rand(9, 9, dtype=F64)
    kept = table[EDGES.amin(0), EDGES.amax(0)] > 0.5
    torch.testing.assert_close(conv(x, EDGES, kept.to(F64)), conv(x, EDGES[:, kept]))
    half = conv.laplacian(x, EDGES, 0.5 * torch.ones(EDGES.size(1), dtype=F64))
    assert not torch.allclose(half(x), conv.laplacian(x, EDGES)(x))


def test_one_step_is_an_explicit_euler_step():
    conv = make("general", act=None, dropout=0.0)
    conv.reset_parameters()
    nn.init.eye_(conv.right)
    x = features(conv)
    maps, _ = learned_maps(conv, x, EDGES)
    delta = reference.normalized(*reference.laplacian(EDGES, maps, 9), "sym")
    want = reference.euler_step(x.view(27, 4), delta, 1.0).view(9, 12)
    torch.testing.assert_close(conv(x, EDGES), want)


def test_the_own_share_stays_between_0_and_2():
    conv = make("identity", act=None)
    x = features(conv)
    for value, share in ((-50.0, 0.0), (0.0, 1.0), (50.0, 2.0)):
        nn.init.constant_(conv.epsilon, value)
        torch.testing.assert_close(conv(x, NONE), share * x)


def test_identity_maps_diffuse_as_a_gcn():
    conv = make("identity", act=None)
    conv.reset_parameters()
    nn.init.eye_(conv.right)
    x = features(conv)
    index, weight = gcn_norm(EDGES, num_nodes=9, dtype=F64)
    adjacency = torch.zeros(9, 9, dtype=F64).index_put((index[1], index[0]), weight)
    torch.testing.assert_close(conv(x, EDGES), adjacency @ x)


def test_maps_may_be_given_in_the_order_of_the_edges():
    conv = make("general", learner=None, act=None)
    x, maps = features(conv), torch.randn(EDGES.size(1), 3, 3, dtype=F64)
    mixed = conv.mix(x.view(9, 3, 4))
    want = (1 + conv.epsilon.tanh())[:, None] * x.view(9, 3, 4) - sheaf_laplacian(
        mixed, maps, EDGES
    )
    torch.testing.assert_close(conv(x, EDGES, maps=maps), want.flatten(1))
    graph = as_sheaf_graph(EDGES, 9)
    torch.testing.assert_close(conv(x, graph, maps=graph.arrange(maps)), want.flatten(1))
    with pytest.raises(ValueError, match="learner=None, so that maps must be given"):
        conv(x, EDGES)


def test_a_laplacian_may_be_shared(conv):
    x = features(conv)
    delta = conv.laplacian(x, EDGES)
    assert isinstance(delta, SheafLaplacian | FlatLaplacian)
    torch.testing.assert_close(conv(x, NONE, laplacian=delta), conv(x, EDGES))


@pytest.mark.parametrize("width", [8, 200])
@pytest.mark.parametrize(
    ("left", "right"), [(True, True), (True, False), (False, True), (False,) * 2]
)
def test_weights_may_be_left_out(left, right, width):
    conv = make("diag", channels=width, left_weight=left, right_weight=right)
    h = torch.randn(9, 3, width, dtype=F64)
    want = h if conv.left is None else conv.left @ h
    want = want if conv.right is None else want @ conv.right.T
    torch.testing.assert_close(conv.mix(h), want)
    assert conv(h, EDGES).shape == h.shape


def test_without_residual_the_width_may_change():
    conv = SheafConv(4, 6, 2, maps="bundle", residual=False, add_hp=True)
    assert conv(torch.randn(9, 12), EDGES).shape == (9, 18)
    assert conv.epsilon is None


def test_dropout_acts_in_training_only_and_maps_have_their_own():
    x = torch.randn(9, 12)
    for settings in ({"dropout": 0.5}, {"map_dropout": 0.5}):
        layer = SheafConv(4, 4, 3, **settings)
        assert not torch.equal(layer(x, EDGES), layer(x, EDGES))
        layer.eval()
        assert torch.equal(layer(x, EDGES), layer(x, EDGES))


@pytest.mark.parametrize("norm", ["sym", "deg", None])
def test_half_precision_features_do_not_lower_that_of_the_maps(norm):
    for settings in LAYERS.values():
        layer = SheafConv(4, 4, 3, **{"norm": norm, **settings})
        x = torch.randn(9, 12)
        with torch.autocast("cpu", torch.bfloat16):
            delta = layer.laplacian(x, EDGES)
            out = layer(x, EDGES)
        for want, found in ((layer.laplacian(x, EDGES), delta),):
            torch.testing.assert_close(found(x), want(x))
        torch.testing.assert_close(out.float(), layer(x, EDGES), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_of_half_precision_computes_in_float32(name):
    layer = SheafConv(4, 4, 3, dropout=0.1, map_dropout=0.1, **LAYERS[name]).bfloat16()
    x = torch.randn(9, 12, dtype=torch.bfloat16, requires_grad=True)
    out = layer(x, EDGES)
    assert out.dtype == torch.bfloat16
    out.sum().backward()
    assert x.grad.isfinite().all()
    layer.eval()
    want = layer.float()(x.float(), EDGES)
    torch.testing.assert_close(layer.bfloat16()(x, EDGES).float(), want, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("num_stalks", [3, 4])
@pytest.mark.parametrize("form", ["concat", "stalk_sum", "stalk_sum_official"])
def test_maps_by_node_equal_those_of_the_joined_features(form, num_stalks):
    learner = SheafLearner(num_stalks * 5, 2, "general", num_stalks=num_stalks, form=form).double()
    x = torch.randn(9, num_stalks * 5, dtype=F64)
    graph = as_sheaf_graph(EDGES, 9)
    sender, receiver = graph.edge_index
    ends = torch.cat([x[receiver], x[sender]], dim=1)
    if form == "stalk_sum":
        ends = ends.view(-1, 2, num_stalks, 5).sum(2).flatten(1)
    elif form == "stalk_sum_official":
        ends = ends.view(-1, num_stalks, 10).sum(1)
    want = torch.tanh(ends @ joined(learner).T).view(-1, 2, 2)
    torch.testing.assert_close(learner(x, graph), want, atol=1e-12, rtol=0)


def test_the_official_sum_cannot_tell_the_ends_of_an_edge_apart_for_even_stalks():
    x, graph = torch.randn(9, 20, dtype=F64), as_sheaf_graph(EDGES, 9)
    for form, same in (("stalk_sum_official", True), ("stalk_sum", False)):
        learner = SheafLearner(20, 4, "bundle", form=form).double()
        first, second = learner(x, graph).chunk(2)
        assert torch.allclose(first, second) == same


def test_edge_weights_are_symmetric_and_squared():
    learner, x = EdgeWeightLearner(6).double(), torch.randn(9, 6, dtype=F64)
    graph = as_sheaf_graph(EDGES, 9)
    weight = learner(x, graph)
    u = joined(learner)[0]
    for pair, (a, b) in enumerate(graph.ends.t().tolist()):
        there, back = torch.cat([x[a], x[b]]), torch.cat([x[b], x[a]])
        want = (torch.sigmoid(u @ there) * torch.sigmoid(u @ back)) ** 2
        torch.testing.assert_close(weight[pair], want)


@pytest.mark.parametrize("orth", ["householder", "cayley", "exp", "euler"])
def test_bundle_maps_are_orthogonal(orth):
    learner = SheafLearner(12, 3, "bundle", orth=orth)
    maps = learner(torch.randn(9, 12), as_sheaf_graph(EDGES, 9))
    product = maps.mT @ maps
    torch.testing.assert_close(product, torch.eye(3).expand_as(product), atol=1e-6, rtol=0)
    sign = -1.0 if orth == "householder" else 1.0
    torch.testing.assert_close(torch.linalg.det(maps), torch.full((len(maps),), sign))


def test_it_learns_to_separate_the_sides_of_a_bipartite_graph():
    """With maps of their own the two ends of an edge get opposite signs; with equal ones never."""
    generator = torch.Generator().manual_seed(0)
    side = torch.arange(40) % 2
    pairs = torch.randint(20, (2, 120), generator=generator) * 2
    edges = torch.stack([pairs[0], pairs[1] + 1])
    edges = torch.cat([edges, edges.flip(0)], dim=1).unique(dim=1)
    x = torch.randn(40, 2, generator=generator)
    x[:, 0] += side - 0.5
    graph = as_sheaf_graph(edges, 40)
    accuracy = {}
    for tied in (False, True):
        torch.manual_seed(0)
        learner, classify = SheafLearner(2, 1), nn.Linear(2, 2)
        parameters = [*learner.parameters(), *classify.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=0.05)
        for _ in range(100):
            maps = learner(x, graph)
            if tied:
                maps = maps[: graph.num_pairs].repeat(2, 1)
            delta, h = SheafLaplacian.from_maps(maps, graph), x
            for _ in range(12):
                h = h - delta(h)
            loss = F.cross_entropy(classify(h), side)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        accuracy[tied] = float((classify(h).argmax(1) == side).float().mean())
        if not tied:
            assert (delta.off > 0).float().mean() > 0.95
    assert accuracy[False] == 1.0
    assert accuracy[True] < 0.9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"maps": "bundle", "stalk_dim": 1}, 'at least 2 for bundle maps, got 1; use maps="diag"'),
        ({"maps": "general", "stalk_dim": 1}, "at least 2 for general maps, got 1"),
        ({"maps": "linear"}, "maps must be one of 'diag', 'bundle'.*got 'linear'"),
        ({"out_channels": 5}, "residual=True needs in_channels == out_channels, got 4 and 5"),
        ({"edge_weights": True}, "edge_weights=True is for maps='bundle', got maps='diag'"),
        ({"norm": "rw"}, "norm must be one of 'sym', 'chol', 'deg', None, got 'rw'"),
        ({"map_act": "relu"}, "map_act must be one of 'tanh', 'elu', 'id', got 'relu'"),
        ({"learner": "mean"}, "form must be one of 'concat'.*got 'mean'"),
        ({"dropout": 2.0}, r"dropout must be a number in \[0, 1\], got 2.0"),
        ({"stalk_dim": 0}, "stalk_dim must be an integer of at least 1, got 0"),
        ({"maps": "bundle", "orth": "svd"}, "must be one of.*got 'svd'"),
        (
            {"out_channels": 5, "residual": False, "right_weight": False},
            "right_weight=False needs in_channels == out_channels",
        ),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        SheafConv(**{"in_channels": 4, "out_channels": 4, "stalk_dim": 3, **settings})


def test_what_does_not_fit_is_named():
    conv = SheafConv(4, 4, 3)
    with pytest.raises(ValueError, match=r"\[num_nodes, 3 \* 4\], got \[9, 13\]"):
        conv(torch.randn(9, 13), EDGES)
    with pytest.raises(ValueError, match=r"has no reverse.*undirected='symmetrize'"):
        conv(torch.randn(9, 12), EDGES[:, :1])
    with pytest.raises(ValueError, match="the learner was built for 12"):
        conv.laplacian(torch.randn(9, 11), EDGES)
    symmetric = SheafConv(4, 4, 3, undirected="symmetrize")
    symmetric.load_state_dict(conv.state_dict())
    once = EDGES[:, EDGES[0] < EDGES[1]]
    x = torch.randn(9, 12)
    torch.testing.assert_close(symmetric(x, once), conv(x, EDGES))


def test_flat_maps_have_one_harmonic_signal_per_stalk_dimension_and_component():
    conv = make("flat", stalk_dim=2)
    values = torch.linalg.eigvalsh(dense(conv.laplacian(features(conv), EDGES), 9 * 2))
    components = 1 + 9 - len(EDGES.unique())  # one of all others, and the isolated nodes
    assert (values < 1e-10).sum() == 2 * components
    assert values.max() < 2


def dense(delta, size):
    return delta(torch.eye(size, dtype=F64).view(9, -1, size)).view(size, size)
