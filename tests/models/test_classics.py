"""What the options of the classics mean: equations, counts, limits, refusals."""

import re
from itertools import product

import pytest
import torch
import torch_geometric.nn as pyg
from torch.nn import functional as F
from torch_geometric.data import Data

from gnnzoo.data import SmoothFeatures
from gnnzoo.executor import run
from gnnzoo.models import APPNP, GAT, GCN, GCNII, GIN, LINKX, SAGE, SGC, GatedGCN, inputs
from gnnzoo.ops import Graph
from tests.reference import classics, dense
from tests.reference.graphs import random_edges

F64 = torch.float64
MODELS = {
    "gcn": GCN,
    "sage": SAGE,
    "sage_loops": lambda *a, **s: SAGE(*a, add_self_loops=True, **s),
    "gat": lambda *a, **s: GAT(*a, heads=1, bias=False, **s),
    "gat_heads": lambda *a, **s: GAT(*a, heads=4, out_heads=2, **s),
    "gin": GIN,
}
NORMS = (None, "batch_norm", "layer_norm")


@pytest.fixture
def graph():
    torch.manual_seed(0)
    x = torch.randn(8, 6, dtype=F64)
    return x, random_edges(8, 12, undirected=True)


def randomized(model):
    """Biases and norms away from where they start, and statistics of a first batch."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.double().eval()


@pytest.mark.parametrize(("classifier", "jumping"), [("conv", 0), ("linear", 0), ("linear", 1)])
@pytest.mark.parametrize(("residual", "input_linear"), [*product((False, True), repeat=2)])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", MODELS)
def test_equals_the_equations(name, norm, residual, input_linear, classifier, jumping, graph):
    model = MODELS[name](
        6,
        8,
        3,
        num_layers=3,
        norm=norm,
        residual=residual,
        input_linear=input_linear,
        jumping=bool(jumping),
        classifier=classifier,
    )
    model = randomized(model)
    torch.testing.assert_close(model(*graph), classics.conv_net(model, *graph))


def test_one_layer_without_options_is_one_formula(graph):
    x, edge_index = graph
    model = randomized(GCN(6, 8, 3, num_layers=1, dropout=0.0, classifier="linear"))
    conv, output = model.layers[0].conv, model.classifier.linear
    a = dense.gcn_norm(edge_index, 8)
    hidden = (a @ x @ conv.lin.weight.T + conv.bias).relu()
    want = hidden @ output.weight.T + output.bias
    torch.testing.assert_close(model(x, edge_index), want)


@pytest.mark.parametrize("name", ["gcn", "sage_loops", "gat"])
def test_self_loops_may_be_there_already_or_twice(name, graph):
    x, edge_index = graph
    model = randomized(MODELS[name](6, 8, 3, classifier="linear"))
    edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    loops = torch.arange(8).repeat(2, 1)
    want = model(x, edge_index)
    for times in (1, 2):
        given = torch.cat([edge_index, loops.repeat(1, times)], dim=1)
        torch.testing.assert_close(model(x, given), want)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("classifier", ["conv", "linear"])
def test_all_options_together_build_only_what_learns(name, classifier, graph):
    x, edge_index = graph
    model = MODELS[name](
        6,
        8,
        3,
        num_layers=3,
        dropout=0.1,
        norm="layer_norm",
        act="elu",
        residual=True,
        input_linear=True,
        jumping=classifier == "linear",
        virtual_node=True,
        classifier=classifier,
    ).double()
    F.cross_entropy(model(x, edge_index), torch.arange(8) % 3).backward()
    silent = [k for k, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not silent
    groups = model.param_groups()
    assert groups["first_layer"] == list(model.input_linear.parameters())
    listed = [id(p) for group in groups.values() for p in group]
    assert sorted(listed) == sorted(id(p) for p in model.parameters())
    assert torch.equal(model.eval()(x, edge_index), model(x, edge_index))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.reset_parameters()
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
    assert {k for k in before if k.endswith("linear.weight")} <= {*changed}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("residual", "input_linear"), [*product((False, True), repeat=2)])
def test_number_of_parameters(norm, residual, input_linear):
    d, h, c, layers = 6, 8, 3, 4
    first = h if input_linear else d
    conv = {"gcn": 1, "sage": 2, "gat": 1}  # matrices per convolution
    for name, matrices in conv.items():
        want = matrices * (first * h + (layers - 1) * h * h)
        want += layers * (2 * h if name == "gat" else h)  # attention vectors, or biases
        want += layers * 2 * h * (norm is not None)
        want += (first * h + (layers - 1) * h * h + layers * h) * residual
        want += (d * h + h) * input_linear + h * c + c
        model = MODELS[name](
            d, h, c, layers, norm=norm, residual=residual, input_linear=input_linear,
            classifier="linear",
        )  # fmt: skip
        assert sum(p.numel() for p in model.parameters()) == want


def test_input_dropout_goes_off_with_the_rest():
    x, edge_index = torch.ones(8, 6), random_edges(8, 12)
    model = GCN(6, 8, 3, dropout=0.0, input_dropout=0.5)
    assert not torch.equal(model(x, edge_index), model(x, edge_index))
    model.eval()
    assert torch.equal(model(x, edge_index), model(x, edge_index))
    plain = GCN(6, 8, 3, dropout=0.5, input_dropout=0.0, num_layers=1)
    assert torch.equal(plain(x, edge_index), plain(x, edge_index))


def test_one_node_has_layer_norm_but_no_batch_norm_to_train():
    x, edge_index = torch.randn(1, 6), torch.empty(2, 0, dtype=torch.long)
    assert GCN(6, 8, 3, norm="layer_norm")(x, edge_index).shape == (1, 3)
    with pytest.raises(ValueError, match="more than 1 value per channel when training"):
        GCN(6, 8, 3, norm="batch_norm")(x, edge_index)


def test_virtual_nodes_of_a_batch_stay_apart():
    model = randomized(GCN(6, 8, 3, num_layers=3, virtual_node=True, norm="layer_norm"))
    x, edge_index = torch.randn(6, 6, dtype=F64), random_edges(6, 9, undirected=True)
    one, two = model(x, edge_index), model(2 * x, edge_index)
    both = model(
        torch.cat([x, 2 * x]),
        torch.cat([edge_index, edge_index + 6], 1),
        batch=torch.arange(12) // 6,
    )
    torch.testing.assert_close(both, torch.cat([one, two]))
    data = Data(x=x, edge_index=edge_index, batch=torch.zeros(6, dtype=torch.long))
    torch.testing.assert_close(model(**inputs(model, data)), one)
    far = torch.tensor([[0], [1]])  # the isolated node hears of the others all the same
    moved = x.clone()
    moved[0] += 1
    assert not torch.allclose(model(x, far)[5], model(moved, far)[5])


def test_refusals_name_what_would_work():
    with pytest.raises(ValueError, match=r"jumping adds up.*use classifier='linear'"):
        GCN(6, 8, 3, jumping=True)
    with pytest.raises(ValueError, match=r"multiple of heads, got hidden_channels=8, heads=3"):
        GAT(6, 8, 3, heads=3)
    with pytest.raises(ValueError, match=r"no edge_attr; edge_features='ones'"):
        GatedGCN(6, 8, 3, num_edge_features=0)
    x, edge_index = torch.randn(9, 6), random_edges(9, 24)
    with pytest.raises(ValueError, match="'edge_attr', which the data does not have; edge_feat"):
        GatedGCN(6, 8, 3, num_edge_features=2)(x, edge_index)
    with pytest.raises(ValueError, match="built for num_nodes=7, the graph has 9 nodes"):
        LINKX(6, 8, 3, num_nodes=7)(x, edge_index)


PYG = {
    "gcn": (lambda: GCN(6, 8, 3, 3), lambda: pyg.GCN(6, 8, 3, 3)),
    "sage": (lambda: SAGE(6, 8, 3, 3), lambda: pyg.GraphSAGE(6, 8, 3, 3)),
    "gat": (
        lambda: GAT(6, 8, 3, 3, heads=4, out_heads=4),
        lambda: pyg.GAT(6, 8, 3, 3, heads=4, act="elu"),
    ),
    "gat_batch_norm": (
        lambda: GAT(6, 8, 3, 3, heads=4, out_heads=4, norm="batch_norm"),
        lambda: pyg.GAT(6, 8, 3, 3, heads=4, act="elu", norm="batch_norm"),
    ),
    "gin": (lambda: GIN(6, 8, 3, 3, classifier="conv"), lambda: pyg.GIN(6, 8, 3, 3, norm=None)),
    "sgc": (lambda: SGC(6, 3, num_hops=3), lambda: pyg.SGConv(6, 3, K=3)),
    "linkx": (
        lambda: LINKX(6, 8, 3, num_nodes=8, num_layers=3, num_edge_layers=2, num_node_layers=2),
        lambda: pyg.LINKX(8, 6, 8, 3, 3, 2, 2, dropout=0.5),
    ),
}


def pyg_name(key: str) -> str:
    """What PyG's models call a parameter of ours."""
    key = re.sub(r"^layers\.(\d+)\.conv\.", r"convs.\1.", key)
    key = re.sub(r"^layers\.(\d+)\.norm\.", r"norms.\1.module.", key)
    key = key.replace("nn.0.", "nn.lins.0.").replace("nn.3.", "nn.lins.1.")
    return key.removeprefix("layers.0.")


@pytest.mark.parametrize("name", PYG)
def test_equals_the_model_of_pyg_with_the_same_weights(name, graph):
    ours, theirs = (make() for make in PYG[name])
    ours = randomized(ours)
    theirs = theirs.double().eval()
    mine, others = dict(ours.named_parameters()), dict(theirs.named_parameters())
    mine = {pyg_name(key): value for key, value in mine.items()}
    assert mine.keys() == others.keys()
    with torch.no_grad():
        for key, value in others.items():
            value.copy_(mine[key])
    a, b = ours(*graph), theirs(*graph)
    torch.testing.assert_close(a, b)
    grads = [
        torch.autograd.grad(out.square().sum(), (*values,))
        for out, values in ((a, [mine[key] for key in others]), (b, others.values()))
    ]
    torch.testing.assert_close(*grads)


def test_appnp_equals_the_equations(graph):
    x, edge_index = graph
    model = randomized(APPNP(6, 8, 3, num_hops=4, alpha=0.2))
    first, second, _ = model.layers
    z = second.linear(first.linear(x).relu())
    want = classics.appnp(dense.gcn_norm(edge_index, 8), z, 4, 0.2)
    torch.testing.assert_close(model(x, edge_index), want)
    teleported = randomized(APPNP(6, 8, 3, alpha=1.0))
    first, second, _ = teleported.layers
    torch.testing.assert_close(
        teleported(x, edge_index), second.linear(first.linear(x).relu())
    )  # an MLP


def test_gcnii_equals_the_equations(graph):
    x, edge_index = graph
    model = randomized(GCNII(6, 8, 3, num_layers=3, alpha=0.2, theta=0.7))
    a = dense.gcn_norm(edge_index, 8)
    h = h_0 = model.embedding.linear(x).relu()
    for layer in model.layers:
        h = classics.gcnii_layer(layer.conv, a, h, h_0).relu()
    torch.testing.assert_close(model(x, edge_index), model.classifier.linear(h))


@pytest.mark.parametrize("weighted", [False, True])
def test_sgc_reads_smoothed_features_where_no_dropout_acts(weighted, graph):
    x, edge_index = graph
    weight = torch.rand(edge_index.size(1), dtype=F64) if weighted else None
    data = SmoothFeatures(3)(Data(x=x, edge_index=edge_index, edge_weight=weight))
    model = SGC(6, 3, num_hops=3).double()
    want = model(x, edge_index, weight)
    torch.testing.assert_close(model(**inputs(model, data)), want)
    assert torch.equal(model(x, None, smoothed=data.smoothed), model.layers[0].lin(data.smoothed))
    dropped = SGC(6, 3, num_hops=3, dropout=0.5).double()
    assert not torch.equal(*(dropped(**inputs(dropped, data)) for _ in range(2)))
    torch.manual_seed(0)
    first = dropped(**inputs(dropped, data))
    torch.manual_seed(0)
    assert torch.equal(first, dropped(x, edge_index, weight))
    dropped.load_state_dict(model.state_dict())
    torch.testing.assert_close(dropped.eval()(**inputs(dropped, data)), want)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("residual", [False, True])
def test_gatedgcn_equals_the_equations(norm, residual, graph):
    x, edge_index = graph
    edge_attr = torch.randn(edge_index.size(1), 2, dtype=F64)
    model = randomized(GatedGCN(6, 8, 3, 2, num_layers=3, norm=norm, residual=residual))
    h, e = model.node_embedding.linear(x), model.edge_embedding(edge_attr)
    for layer in model.layers:
        z, q = classics.gated(layer.conv, h, edge_index, e)
        z = layer.norm(z).relu()
        h = h + z if residual else z
        if layer.edge_norm is not None:
            q = layer.edge_norm(q).relu()
            e = e + q if residual else q
    want = model.classifier.linear(h)
    torch.testing.assert_close(model(x, edge_index, edge_attr=edge_attr), want)
    data = Data(x=x, edge_index=edge_index, edge_attr=edge_attr)
    data.graph = Graph.from_edge_index(edge_index, 8)
    torch.testing.assert_close(model(**inputs(model, data)), want)


def test_gatedgcn_with_ones_counts_repeated_edges():
    x, edge_index = torch.randn(8, 6), random_edges(8, 12)
    model = GatedGCN(6, 8, 3, edge_features="ones").eval()
    times = torch.arange(edge_index.size(1)) % 3 + 1
    repeated = edge_index.repeat_interleave(times, dim=1)
    torch.testing.assert_close(model(x, repeated), model(x, edge_index, times.float()))
    with pytest.raises(ValueError, match="edges that occur once"):
        GatedGCN(6, 8, 3, 1)(x, repeated, edge_attr=torch.ones(repeated.size(1)))


def test_gatedgcn_learns_with_every_parameter():
    x, edge_index = torch.randn(8, 6), random_edges(8, 12)
    edge_attr = torch.randn(edge_index.size(1), 2)
    model = GatedGCN(6, 8, 3, 2, norm="layer_norm", act="elu", dropout=0.1)
    model(x, edge_index, edge_attr=edge_attr).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("model", ["sage", "gat", "gin", "appnp", "gcnii", "sgc", "linkx"])
def test_runs_from_its_settings_file(model, workspace, toy_graph):
    settings = {"dataset.path": str(toy_graph), "trainer.epochs": 2}
    assert run(model=model, dataset="file", **settings)["status"] == "finished"


def test_gatedgcn_runs_where_edge_features_are_asked_for_or_refuses(workspace, toy_graph):
    settings = {"dataset.path": str(toy_graph), "trainer.epochs": 2}
    ones = {"model.edge_features": "ones"}
    assert run(model="gatedgcn", dataset="file", **settings, **ones)["status"] == "finished"
    with pytest.raises(ValueError, match="the graph has no edge_attr"):
        run(model="gatedgcn", dataset="file", **settings)
