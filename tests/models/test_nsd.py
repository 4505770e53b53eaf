"""What the options of NSD mean: equations, counts, what is computed once, refusals."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.utils import add_self_loops

from gnnzoo.data import CSRGraph, LocalPCAMaps
from gnnzoo.executor import run
from gnnzoo.models import NSD, inputs
from gnnzoo.nn import SheafConv, SheafLearner
from gnnzoo.ops import Graph, SheafGraph, SparseFeatures, local_pca_maps
from tests.reference import sheaf as reference
from tests.reference.graphs import random_edges

F64 = torch.float64
FAMILIES = ["diag", "bundle", "general", "identity", "flat"]
EDGES = random_edges(9, 14, undirected=True, loops=False)


def randomized(model):
    torch.manual_seed(1)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model.double().eval()


def diffuse(conv, h, delta):
    """One layer by the formula; h is ``[num_nodes, stalks, channels]``."""
    mixed = (conv.left @ h @ conv.right.T).flatten(0, 1)
    return (1 + conv.epsilon.tanh())[:, None] * h - F.elu(delta @ mixed).view_as(h)


@pytest.mark.parametrize("share_maps", [False, True])
@pytest.mark.parametrize("second_linear", [False, True])
@pytest.mark.parametrize("maps", FAMILIES)
def test_equals_the_equations_step_by_step(maps, second_linear, share_maps):
    model = randomized(
        NSD(6, 4, 3, 3, 2, maps, add_lp=True, share_maps=share_maps, second_linear=second_linear)
    )
    x = torch.randn(9, 6, dtype=F64)
    h = F.elu(model.embedding.linear(x))
    h = model.second(h) if second_linear else h
    dense = None
    for layer in model.layers:
        if dense is None or not share_maps:
            delta = layer.conv.laplacian(h, EDGES)
            eye = torch.eye(27, dtype=F64).view(9, 3, 27)
            dense = delta(eye).view(27, 27)  # held against the reference by the layer's own tests
        h = diffuse(layer.conv, h.view(9, 3, 4), dense).flatten(1)
    torch.testing.assert_close(model(x, EDGES), model.classifier(h))


def test_diagonal_maps_make_the_reference_laplacian():
    model = randomized(NSD(6, 4, 3, 1, 2, "diag"))
    x = torch.randn(9, 6, dtype=F64)
    h = F.elu(model.embedding.linear(x))
    conv = model.layers[0].conv
    joined = torch.cat([*conv.learner.weight], dim=1)
    ends = torch.cat([h[EDGES[1]], h[EDGES[0]]], dim=1)
    maps = torch.tanh(ends @ joined.T)
    delta = reference.normalized(*reference.laplacian(EDGES, maps, 9), "sym")
    want = model.classifier(diffuse(conv, h.view(9, 2, 4), delta).flatten(1))
    torch.testing.assert_close(model(x, EDGES), want)


PARAMETERS = {"diag": 3, "bundle": 3, "general": 9, "identity": 0, "flat": 3}


@pytest.mark.parametrize("learner", ["concat", "stalk_sum", "stalk_sum_official"])
@pytest.mark.parametrize("fixed", [0, 1, 2])
@pytest.mark.parametrize("maps", FAMILIES)
def test_number_of_parameters(maps, fixed, learner):
    features, width, classes, layers = 7, 5, 4, 3
    stalks = 3 + fixed
    c = stalks * width
    model = NSD(
        features, width, classes, layers, 3, maps, learner=learner, second_linear=True,
        add_lp=fixed > 0, add_hp=fixed > 1,
    )  # fmt: skip
    read = {"flat": c, "identity": 0}.get(maps, 2 * c if learner == "concat" else 2 * width)
    learned = PARAMETERS[maps] * read
    own = learned + (2 * c if maps == "bundle" else 0) + stalks**2 + width**2 + stalks
    want = (features + 1) * c + (c + 1) * c + layers * own + (c + 1) * classes
    assert sum(p.numel() for p in model.parameters()) == want
    groups = model.param_groups()
    assert sum(p.numel() for p in groups["maps"]) == layers * learned
    listed = [id(p) for group in groups.values() for p in group]
    assert sorted(listed) == sorted(id(p) for p in model.parameters())


def test_texas_configuration_has_the_published_number_of_parameters():
    model = NSD(1703, 20, 5, 4, 3, "bundle", learner="stalk_sum_official")
    embedding, classifier, layer = 1704 * 60, 61 * 5, 3 * 40 + 120 + 9 + 400 + 3
    assert sum(p.numel() for p in model.parameters()) == embedding + classifier + 4 * layer


@pytest.mark.parametrize("maps", FAMILIES)
def test_shared_maps_are_learned_once(maps, monkeypatch):
    model, calls = NSD(6, 4, 3, 4, 2, maps, share_maps=True), []
    for layer in model.layers:
        learner = layer.conv.learner
        if learner is not None:
            calls.append(learner)
    assert len(calls) == (maps != "identity")
    count = 0
    original = SheafLearner.maps_from

    def counted(self, scores):
        nonlocal count
        count += 1
        return original(self, scores)

    monkeypatch.setattr(SheafLearner, "maps_from", counted)
    model(torch.randn(9, 6), EDGES).square().sum().backward()
    assert count == (maps not in ("identity", "flat"))
    assert all(p.grad is not None for p in model.parameters())


def test_the_graph_is_prepared_once_over_epochs(monkeypatch):
    made = []
    original = SheafGraph._make
    monkeypatch.setattr(
        SheafGraph,
        "_make",
        lambda self, kind, *key: (made.append(kind), original(self, kind, *key))[1],
    )
    model, graph = NSD(6, 4, 3, 3, 2, "general", add_lp=True), Graph.from_edge_index(EDGES, 9)
    for _ in range(3):
        model(torch.randn(9, 6), graph).sum().backward()
    assert "pattern" in made
    assert len(made) == len(set(made))


def test_dropout_goes_off_with_training_and_input_dropout_has_its_own():
    x = torch.randn(9, 6)
    for settings in ({"dropout": 0.5}, {"input_dropout": 0.5}):
        model = NSD(6, 4, 3, **settings)
        assert not torch.equal(model(x, EDGES), model(x, EDGES))
        model.eval()
        assert torch.equal(model(x, EDGES), model(x, EDGES))


def test_the_first_layer_learns_maps_without_another_dropout():
    model = NSD(6, 4, 3, 3, dropout=0.4)
    shares = [layer.conv.map_dropout for layer in model.layers]
    assert shares == [0.0, 0.4, 0.4]


def test_directed_graphs_are_refused_or_made_undirected():
    x, once = torch.randn(9, 6), EDGES[:, EDGES[0] < EDGES[1]]
    with pytest.raises(ValueError, match=r"has no reverse .*; undirected='symmetrize' adds them"):
        NSD(6, 4, 3)(x, once)
    model = NSD(6, 4, 3, undirected="symmetrize")
    torch.testing.assert_close(model(x, once), model(x, EDGES))


def test_without_edges_every_node_is_classified_by_itself():
    none, x = torch.empty(2, 0, dtype=torch.long), torch.randn(5, 6)
    for maps in FAMILIES:
        model = NSD(6, 4, 3, maps=maps).eval()
        out = model(x, none)
        torch.testing.assert_close(model(x[:1], none), out[:1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stalk_dim": 1}, 'at least 2 for bundle maps, got 1; use maps="diag"'),
        ({"maps": "linear"}, "maps must be one of 'diag'.*got 'linear'"),
        ({"sheaf_norm": "rw"}, "norm must be one of.*got 'rw'"),
        ({"undirected": "no"}, "undirected must be one of.*got 'no'"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        NSD(6, 4, 3, **settings)(torch.randn(9, 6), EDGES)


@pytest.mark.parametrize("maps", FAMILIES)
def test_runs_from_its_settings_file(maps, workspace, toy_graph):
    settings = {"dataset.path": str(toy_graph), "trainer.epochs": 2, "model.maps": maps}
    decay = {} if maps == "identity" else {"trainer.groups.maps.weight_decay": 0.001}
    record = run(model="nsd", dataset="file", **settings, **decay)
    assert record["status"] == "finished"


def test_inputs_are_found_on_the_data():
    data = Data(x=torch.randn(9, 6), edge_index=EDGES)
    data.graph = Graph.from_edge_index(EDGES, 9)
    model = NSD(6, 4, 3).eval()
    torch.testing.assert_close(model(**inputs(model, data)), model(data.x, EDGES))


def connection(**settings):
    return NSD(6, 4, 3, **{"num_layers": 3, "stalk_dim": 2, "maps": "connection", **settings})


def with_maps(x, edges, dim=2):
    return LocalPCAMaps(dim)(CSRGraph()(Data(x=x, edge_index=edges, num_nodes=x.size(0))))


@pytest.mark.parametrize("fixed", [(), ("lp", "hp")])
def test_connection_diffuses_along_one_given_sheaf(fixed):
    """Node 8 of the edges is isolated."""
    settings = {f"add_{name}": True for name in fixed}
    model, x = randomized(connection(**settings)), torch.randn(9, 6, dtype=F64)
    stalks = 2 + len(fixed)
    maps = local_pca_maps(x, EDGES, 2)
    delta = reference.normalized(*reference.laplacian(EDGES, maps, 9, fixed=fixed), "sym")
    assert not delta[-stalks:].any()
    h = F.elu(model.embedding.linear(x)).view(9, stalks, 4)
    for layer in model.layers:
        h = diffuse(layer.conv, h, delta)
    want = model.classifier(h.flatten(1))
    torch.testing.assert_close(model(x, EDGES), want)
    torch.testing.assert_close(model(x, EDGES, maps=maps), want)


@pytest.mark.parametrize("kind", ["as it is", "shuffled", "repeated", "loops", "sparse", "sheaf"])
def test_given_maps_equal_those_computed_on_the_fly(kind):
    model, x, edges = randomized(connection()), torch.randn(9, 6, dtype=F64), EDGES
    if kind == "shuffled":
        edges = edges[:, torch.randperm(edges.size(1))]
    elif kind == "repeated":
        edges = torch.cat([edges, edges[:, ::3]], dim=1)
    elif kind == "loops":
        edges = add_self_loops(edges, num_nodes=9)[0][:, torch.randperm(edges.size(1) + 9)]
    data = with_maps(x, edges)
    if kind == "sparse":
        data.x = SparseFeatures.from_dense(x)
    if kind == "sheaf":
        data.graph = SheafGraph.from_graph(data.graph)
    assert inputs(model, data).keys() == {"x", "edge_index", "graph", "maps"}
    want = model(data.x, edges)
    torch.testing.assert_close(model(**inputs(model, data)), want)
    torch.testing.assert_close(model(x, edges, maps=data.maps.float()), want, rtol=1e-5, atol=1e-5)
    other = torch.eye(2, dtype=F64).expand_as(data.maps)
    assert not torch.allclose(model(x, edges, maps=other), want)


def test_connection_learns_all_its_parameters_and_builds_one_laplacian(monkeypatch):
    made = []
    original = SheafConv.laplacian
    monkeypatch.setattr(
        SheafConv, "laplacian", lambda self, *args: (made.append(self), original(self, *args))[1]
    )
    model = connection(add_hp=True, dropout=0.2)
    model(**inputs(model, with_maps(torch.randn(9, 6), EDGES))).square().sum().backward()
    assert len(made) == 1
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
    names = {name.rsplit(".", 1)[-1] for name, _ in model.layers.named_parameters()}
    assert names == {"left", "right", "epsilon"}
    assert model.param_groups()["maps"] == []


def test_connection_keeps_nothing_of_a_graph():
    model, x = randomized(connection()), torch.randn(9, 6, dtype=F64)
    want = model(x, EDGES)
    other = random_edges(12, 30, seed=3, undirected=True, loops=False)
    first = model(torch.randn(12, 6, dtype=F64), other)
    assert first.shape == (12, 3)
    assert torch.equal(model(x, EDGES), want)
    assert connection().state_dict().keys() == model.state_dict().keys()


def test_relabelled_nodes_permute_what_connection_gives():
    model, x, order = randomized(connection()), torch.randn(9, 6, dtype=F64), torch.randperm(9)
    moved = with_maps(x[order], order.argsort()[EDGES])
    torch.testing.assert_close(model(**inputs(model, moved)), model(x, EDGES)[order])


def test_connection_adds_missing_directions():
    model, x = randomized(connection(undirected="symmetrize")), torch.randn(9, 6, dtype=F64)
    once = EDGES[:, EDGES[0] < EDGES[1]]
    torch.testing.assert_close(model(x, once), model(x, EDGES))
    mixed = torch.where(torch.arange(once.size(1)) % 2 == 0, once, once.flip(0))
    torch.testing.assert_close(model(x, mixed, maps=local_pca_maps(x, mixed, 2)), model(x, EDGES))
    half = SheafGraph.from_graph(Graph.from_edge_index(once, 9), "symmetrize")
    checks, maps = connection().double(), local_pca_maps(x, once, 2)
    with pytest.raises(ValueError, match=r"both directions of every edge; .*to_undirected"):
        checks(x, half, maps=maps)


def test_connection_compiles_with_given_maps():
    model, data = connection().eval(), with_maps(torch.randn(9, 6), EDGES)
    want = model(**inputs(model, data))
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(**inputs(model, data)), want)


def test_maps_that_do_not_fit_are_named():
    x, maps = torch.randn(9, 6), torch.eye(3).expand(EDGES.size(1), 3, 3)
    with pytest.raises(ValueError, match=r"shape \[\d+, 2, 2\].*3, 3\]; .*LocalPCAMaps\(dim=2\)"):
        connection()(x, EDGES, maps=maps)
    with pytest.raises(ValueError, match=r"got \[4, 2, 2\]"):
        connection()(x, EDGES, maps=torch.eye(2).expand(4, 2, 2))
    with pytest.raises(ValueError, match="this NSD makes its own; use maps='connection', or"):
        NSD(6, 4, 3)(x, EDGES, maps=maps)
    with pytest.raises(ValueError, match="need at least 7 features per node, got 6; lower dim"):
        connection(stalk_dim=7)(x, EDGES)


@pytest.mark.parametrize("sparse", ["never", "always"])
def test_connection_runs_from_its_settings_file(sparse, workspace, toy_graph, monkeypatch):
    calls, original = [], LocalPCAMaps.forward
    monkeypatch.setattr(
        LocalPCAMaps, "forward", lambda self, data: (calls.append(data.x), original(self, data))[1]
    )
    settings = {"dataset.path": str(toy_graph), "trainer.epochs": 2, "features.sparse": sparse}
    record = run(model="nsd_connection", dataset="file", **settings, **{"model.stalk_dim": 2})
    assert record["status"] == "finished"
    assert [type(x) for x in calls] == [torch.Tensor]
