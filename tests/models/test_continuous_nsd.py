"""What ContinuousNSD integrates, against dense references; its solvers, signs and refusals."""

import sys
import types

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch_geometric.data import Data

from gnnzoo.data import CSRGraph, LocalPCAMaps
from gnnzoo.executor import run
from gnnzoo.models import NSD, ContinuousNSD, inputs
from gnnzoo.nn import SheafConv
from gnnzoo.ops import Graph, local_pca_maps
from tests.reference import sheaf as reference
from tests.reference.graphs import kinds, random_edges

F64 = torch.float64
FAMILIES = ["diag", "bundle", "general", "identity", "flat", "connection"]
EDGES = random_edges(9, 14, undirected=True, loops=False)  # node 8 is isolated


def make(maps="bundle", **settings):
    """In float64, all parameters random."""
    torch.manual_seed(1)
    model = ContinuousNSD(6, 4, 3, **{"stalk_dim": 2, "maps": maps, **settings})
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model.double().eval()


def features():
    return torch.randn(9, 6, dtype=F64, generator=torch.Generator().manual_seed(2))


def dense_laplacian(model, h, x):
    """``[num_nodes * stalks, num_nodes * stalks]``, from the equations for diagonal, identity and
    connection maps; the others by columns of the operator, which the layer's tests hold.
    """
    conv, stalks = model.layers[0].conv, model.layers[0].conv.num_stalks
    if conv.maps == "identity":
        maps = torch.ones(EDGES.size(1), stalks, dtype=F64)
    elif model.connection:
        maps = local_pca_maps(x, EDGES, stalks)
    elif conv.maps == "diag":
        joined = torch.cat([*conv.learner.weight], dim=1)
        maps = torch.tanh(torch.cat([h[EDGES[1]], h[EDGES[0]]], dim=1) @ joined.T)
    else:
        eye = torch.eye(9 * stalks, dtype=F64).view(9, stalks, -1)
        return conv.laplacian(h, EDGES)(eye).reshape(9 * stalks, -1)
    return reference.normalized(*reference.laplacian(EDGES, maps, 9), "sym")


def dense_rate(model, x, start, inside=False):
    """The right-hand side for states ``[num_nodes, stalks * channels]``."""
    conv = model.layers[0].conv

    def rate(h):
        delta = dense_laplacian(model, start if model.layers[0].share_maps else h, x)
        z = delta @ (conv.left @ h.view(9, -1, 4) @ conv.right.T).flatten(0, 1)
        return (F.elu(-z) if inside else -F.elu(z)).view_as(h)

    return rate


def embed(model, x):
    return F.elu(model.embedding.linear(x))


@pytest.mark.parametrize("reference_sign", [False, True])
@pytest.mark.parametrize("share_maps", [False, True])
@pytest.mark.parametrize("maps", FAMILIES)
def test_euler_and_midpoint_steps_equal_the_equation(maps, share_maps, reference_sign):
    settings = {"t": 0.75, "step_size": 0.5, "share_maps": share_maps}
    x, ends = features(), {}
    for method in ("euler", "midpoint"):
        model = make(maps, method=method, reference_sign=reference_sign, **settings)
        h = embed(model, x)
        rate = dense_rate(model, x, h, reference_sign)
        for step in (0.5, 0.25):
            ahead = h if method == "euler" else h + 0.5 * step * rate(h)
            h = h + step * rate(ahead)
        torch.testing.assert_close(model(x, EDGES), model.classifier(h))
        ends[method] = h
    assert not torch.allclose(*ends.values(), rtol=1e-3)


def test_the_solution_of_a_linear_equation_is_a_matrix_exponential():
    """Without activation and with one Laplacian."""
    model, x = make("diag", act=None, share_maps=True, t=1.5, step_size=0.02), features()
    conv, h = model.layers[0].conv, model.embedding.linear(x)
    delta = dense_laplacian(model, h, x)
    mixing = torch.kron(torch.eye(9, dtype=F64), torch.kron(conv.left, conv.right))
    generator = -torch.kron(delta, torch.eye(4, dtype=F64)) @ mixing
    end = (torch.linalg.matrix_exp(1.5 * generator) @ h.flatten()).view_as(h)
    torch.testing.assert_close(model(x, EDGES), model.classifier(end), rtol=1e-6, atol=1e-6)


def test_both_signs_agree_for_an_odd_activation_only():
    x = features()
    for act, same in (("tanh", True), (None, True), ("elu", False)):
        outs = [make(act=act, reference_sign=sign)(x, EDGES) for sign in (False, True)]
        assert torch.allclose(*outs) == same


def test_one_euler_step_of_unit_length_is_a_layer_of_nsd():
    model = make("general", method="euler", step_size=1.0, add_lp=True)
    layered = NSD(6, 4, 3, 1, 2, "general", add_lp=True).double().eval()
    missing, unexpected = layered.load_state_dict(model.state_dict(), strict=False)
    assert missing == ["layers.0.conv.epsilon"]  # zero: the input as it is
    assert not unexpected
    torch.testing.assert_close(model(features(), EDGES), layered(features(), EDGES))


@pytest.mark.parametrize("maps", FAMILIES)
def test_every_parameter_learns_and_the_number_of_steps_adds_none(maps):
    sizes = set()
    for step_size in (1.0, 0.2):
        model = make(maps, step_size=step_size, add_hp=True, second_linear=True).train()
        model(features(), EDGES).square().sum().backward()
        assert all(p.grad.abs().sum() > 0 for p in model.parameters())
        sizes.add(sum(p.numel() for p in model.parameters()))
        groups = model.param_groups()
        assert bool(groups["maps"]) == (maps not in ("identity", "connection"))
    assert len(sizes) == 1


def test_gradcheck():
    model, x = make("general", step_size=0.5), features().requires_grad_()
    parameters = list(model.layers.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: model(x, EDGES), (x, *parameters))


@pytest.mark.parametrize(
    ("maps", "share_maps", "count"),
    [("general", False, 8), ("general", True, 1), ("connection", False, 1), ("bundle", True, 1)],
)
def test_shared_laplacians_are_built_once(maps, share_maps, count, monkeypatch):
    built, original = [], SheafConv._laplacian
    monkeypatch.setattr(
        SheafConv, "_laplacian", lambda self, *args: (built.append(1), original(self, *args))[1]
    )
    make(maps, share_maps=share_maps, step_size=0.5)(features(), EDGES)
    assert len(built) == count


@pytest.mark.parametrize("maps", FAMILIES)
def test_relabelled_nodes_permute_the_output(maps):
    model, x, order = make(maps), features(), torch.randperm(9)
    moved = model(x[order], order.argsort()[EDGES])
    torch.testing.assert_close(moved, model(x, EDGES)[order])


@pytest.mark.parametrize("share_maps", [False, True])
@pytest.mark.parametrize("maps", FAMILIES)
def test_two_graphs_pass_through_one_encoder(maps, share_maps):
    model, x = make(maps, share_maps=share_maps), features()
    want = model(x, EDGES)
    other = random_edges(12, 30, seed=3, undirected=True, loops=False)
    alone = make(maps, share_maps=share_maps)(torch.ones(12, 6, dtype=F64).cumsum(0), other)
    torch.testing.assert_close(model(torch.ones(12, 6, dtype=F64).cumsum(0), other), alone)
    assert torch.equal(model(x, EDGES), want)


def test_given_maps_equal_those_computed_on_the_fly():
    model, x = make("connection"), features()
    data = LocalPCAMaps(2)(CSRGraph()(Data(x=x, edge_index=EDGES)))
    assert "maps" in inputs(model, data)
    torch.testing.assert_close(model(**inputs(model, data)), model(x, EDGES))
    with pytest.raises(ValueError, match="this ContinuousNSD makes its own"):
        make("bundle")(**inputs(model, data))


@pytest.mark.parametrize("maps", FAMILIES)
def test_isolated_nodes_stay_where_they_start(maps):
    model, x = make(maps, t=3.0), features()
    want = model.classifier(embed(model, x))
    out = model(x, EDGES)
    torch.testing.assert_close(out[8], want[8])
    assert not torch.isclose(out[:8], want[:8]).all(1).any()
    torch.testing.assert_close(make(maps, t=0.0)(x, EDGES), want)


@pytest.mark.parametrize("kind", ["undirected", "empty", "one_node", "one_loop"])
@pytest.mark.parametrize("maps", FAMILIES)
def test_awkward_graphs_give_finite_values_and_gradients(maps, kind):
    (edges, num_nodes), model = kinds()[kind], make(maps)
    out = model(torch.randn(num_nodes, 6, dtype=F64), edges)
    out.square().sum().backward()
    assert out.shape == (num_nodes, 3)
    assert out.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_other_methods_go_through_torchdiffeq(monkeypatch):
    asked = {}

    def odeint(f, x, times, **settings):
        asked.update(settings, times=times.tolist())
        return torch.stack([x, x + times[1] * f(times[0], x)])

    monkeypatch.setitem(sys.modules, "torchdiffeq", types.SimpleNamespace(odeint=odeint))
    model = make(method="dopri5", t=0.7, rtol=1e-3)
    want = make(method="euler", t=0.7, step_size=0.7)
    torch.testing.assert_close(model(features(), EDGES), want(features(), EDGES))
    assert asked == {"times": [0.0, 0.7], "method": "dopri5", "rtol": 1e-3, "atol": 1e-7}
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    with pytest.raises(ImportError, match="needs torchdiffeq"):
        model(features(), EDGES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"t": -1.0}, "t must be at least 0 and finite, got -1.0"),
        ({"t": float("nan")}, "t must be at least 0 and finite, got nan"),
        ({"step_size": 0.0}, "step_size must be positive and finite, got 0.0"),
        ({"rtol": -1.0}, "rtol must be positive and finite, got -1.0"),
        ({"method": "leap"}, "method must be one of 'euler'.*'dopri5'.*got 'leap'"),
        ({"maps": "linear"}, "maps must be one of 'diag'.*'connection', got 'linear'"),
        ({"stalk_dim": 1}, "at least 2 for bundle maps, got 1"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        ContinuousNSD(6, 4, 3, **settings)


def test_dropout_goes_off_with_training():
    model, graph = make(dropout=0.5).train(), Graph.from_edge_index(EDGES, 9)
    assert not torch.equal(model(features(), graph), model(features(), graph))
    model.eval()
    assert torch.equal(model(features(), graph), model(features(), graph))


@pytest.mark.parametrize("maps", FAMILIES)
def test_runs_from_its_settings_file(maps, workspace, toy_graph):
    settings = {"dataset.path": str(toy_graph), "trainer.epochs": 2, "model.maps": maps}
    record = run(model="cnsd", dataset="file", **settings, **{"model.step_size": 0.5})
    assert record["status"] == "finished"
