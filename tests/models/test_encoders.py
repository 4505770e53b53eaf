import inspect

import pytest
import torch
import yaml
from torch.nn import functional as F
from torch_geometric import EdgeIndex
from torch_geometric.data import Data

from gnnzoo import models
from gnnzoo.data import CombinedHops, DirectedPatterns, ReverseGraph
from gnnzoo.models import (
    ADPA,
    APPNP,
    DAGNN,
    DGMLP,
    GAT,
    GCN,
    GCNII,
    GIN,
    GINE,
    GMN,
    GPS,
    LINKX,
    MLP,
    NCNMPNN,
    NSD,
    SAGE,
    SGC,
    Chain,
    ContinuousNSD,
    DirGNN,
    GatedGCN,
    GraphMamba,
    inputs,
)
from gnnzoo.ops import Graph, SparseFeatures, local_pca_maps
from gnnzoo.paths import conf_root
from gnnzoo.train.optim import parameter_groups
from tests.reference import dense
from tests.reference.graphs import random_edges

SCAN = {"num_layers": 2, "head_dim": 4, "tie": "canonical", "norm": None}
ENCODERS = {
    "mlp": lambda **s: MLP(6, 8, 3, **s),
    "gcn": lambda **s: GCN(6, 8, 3, **s),
    "dagnn": lambda **s: DAGNN(6, 8, 3, num_hops=4, **s),
    "sage": lambda **s: SAGE(6, 8, 3, **s),
    "gat": lambda **s: GAT(6, 8, 3, heads=2, **s),
    "gin": lambda **s: GIN(6, 8, 3, **s),
    "appnp": lambda **s: APPNP(6, 8, 3, num_hops=4, **s),
    "gcnii": lambda **s: GCNII(6, 8, 3, **{"num_layers": 4, **s}),
    "sgc": lambda **s: SGC(6, 3, **s),
    "gatedgcn": lambda **s: GatedGCN(6, 8, 3, edge_features="ones", **{"norm": None, **s}),
    "gine": lambda **s: GINE(6, 8, 3, edge_features="ones", **{"norm": None, **s}),
    "nsd": lambda **s: NSD(6, 8, 3, stalk_dim=2, add_hp=True, **s),
    "nsd_connection": lambda **s: NSD(6, 8, 3, stalk_dim=2, maps="connection", **s),
    "cnsd": lambda **s: ContinuousNSD(6, 8, 3, stalk_dim=2, add_hp=True, **s),
    "ncn_mpnn": lambda **s: NCNMPNN(6, 3, **s),
    "dgmlp": lambda **s: DGMLP(6, 8, 3, num_hops=4, **s),
    "dirgnn": lambda **s: DirGNN(6, 8, 3, **s),
    "adpa": lambda **s: ADPA(6, 8, 3, **s),
    "linkx": lambda **s: LINKX(6, 8, 3, num_nodes=9, **s),
    "gmn": lambda **s: GMN(6, 8, 3, walk_length=0, **{**SCAN, **s}),
    "graph_mamba": lambda **s: GraphMamba(6, 8, 3, **{**SCAN, **s}),
    "gps": lambda **s: GPS(6, 8, 3, **{"num_layers": 2, "norm": None, **s}),
}
CLASSES = {name: type(make()) for name, make in ENCODERS.items()}
NEEDS = {"num_nodes": 9, "num_edge_features": 2}


def takes(name: str, setting: str) -> bool:
    return setting in inspect.signature(CLASSES[name]).parameters


def those_that_take(setting: str) -> list[str]:
    return [name for name in ENCODERS if takes(name, setting)]


@pytest.fixture
def data():
    torch.manual_seed(0)
    x = torch.randn(9, 6) * (torch.rand(9, 6) < 0.6)
    return Data(x=x, edge_index=random_edges(9, 12, undirected=True), y=torch.arange(9) % 3)


@pytest.fixture(params=ENCODERS)
def make(request):
    return ENCODERS[request.param]


@pytest.fixture
def encoder(make):
    torch.manual_seed(0)
    return make()


def test_folding_by_hand_gives_the_forward_pass(encoder, data):
    assert isinstance(encoder, Chain)
    encoder.eval()
    context = encoder.context(data.x, data.edge_index)
    h, states = encoder.start(context), []
    for layer in encoder.layers:
        h = layer(h, context)
        states.append(h)
    assert torch.equal(encoder.readout(states, context), encoder(data.x, data.edge_index))


def test_every_form_of_the_same_input_gives_the_same(encoder, data):
    encoder.eval()
    want = encoder(data.x, data.edge_index)
    graph = Graph.from_edge_index(data.edge_index, 9)
    sparse = SparseFeatures.from_dense(data.x)
    edge_index = EdgeIndex(data.edge_index, sparse_size=(9, 9))
    torch.testing.assert_close(encoder(data.x, edge_index), want)
    torch.testing.assert_close(encoder(data.x, graph), want)
    torch.testing.assert_close(encoder(data.x, torch.empty(2, 0).long(), graph=graph), want)
    torch.testing.assert_close(encoder(sparse, data.edge_index, graph=graph), want)


def test_seeds_repeat_and_every_parameter_learns(encoder, data):
    grads = []
    for _ in range(2):
        torch.manual_seed(5)
        encoder.zero_grad()
        encoder(data.x, data.edge_index).square().sum().backward()
        grads.append([p.grad.clone() for p in encoder.parameters()])
    torch.testing.assert_close(grads[0], grads[1], rtol=0, atol=0)
    assert all(g.abs().sum() > 0 for g in grads[0])


def test_relabelling_nodes_permutes_the_output(encoder, data):
    encoder.eval()
    order = torch.randperm(9)
    if isinstance(encoder, LINKX):  # its weights belong to the nodes and move with them
        weight = encoder.layers[0].edge_lin.weight
        want = encoder(data.x, data.edge_index)[order]
        weight.data = weight.data[order]
        moved = encoder(data.x[order], order.argsort()[data.edge_index])
        torch.testing.assert_close(moved, want)
        return
    moved = encoder(data.x[order], order.argsort()[data.edge_index])
    torch.testing.assert_close(moved, encoder(data.x, data.edge_index)[order])


def test_weights_are_used(data):
    table = torch.rand(9, 9)
    weight = (table + table.T)[data.edge_index[0], data.edge_index[1]]  # as sheaves need it
    for name in set(ENCODERS) - {"mlp", "adpa", "dgmlp"}:
        encoder = ENCODERS[name]().eval()
        out = encoder(data.x, data.edge_index, weight)
        assert not torch.allclose(out, encoder(data.x, data.edge_index))


def test_parameter_groups_are_disjoint_and_complete(encoder):
    groups = parameter_groups(encoder, torch.nn.Module())
    named = [id(p) for group in groups.values() for p in group]
    assert sorted(named) == sorted(id(p) for p in encoder.parameters())


def test_save_load_and_reset(make, encoder, data):
    other = make()
    other.load_state_dict(encoder.state_dict())
    want = encoder.eval()(data.x, data.edge_index)
    assert torch.equal(other.eval()(data.x, data.edge_index), want)
    other.reset_parameters()
    assert not torch.equal(other(data.x, data.edge_index), want)
    torch.manual_seed(1)
    other.reset_parameters()
    first = other(data.x, data.edge_index)
    torch.manual_seed(1)
    other.reset_parameters()
    assert torch.equal(other(data.x, data.edge_index), first)


NUM_NORMS = {
    "gin": lambda num_layers: 2 * num_layers,  # within the MLPs too, and no output convolution
    "gine": lambda num_layers: 2 * num_layers,
    "gatedgcn": lambda num_layers: 2 * num_layers - 1,  # of nodes and of edges that are read
    "gmn": lambda num_layers: 5 * num_layers - 1,  # three in GPS's block, two in GatedGCN's layer
    "graph_mamba": lambda num_layers: 5 * num_layers - 1,
    "gps": lambda num_layers: 3 * num_layers,
}
WITHIN_SCANS = {"gmn": 2, "graph_mamba": 1}


@pytest.mark.parametrize("name", [name for name in those_that_take("norm") if takes(name, "act")])
@pytest.mark.parametrize("norm", [None, "batch_norm", "layer_norm"])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_settings_change_depth_and_norm(name, norm, num_layers, data):
    encoder = ENCODERS[name](norm=norm, num_layers=num_layers, act="elu", input_dropout=0.0)
    assert encoder(data.x, data.edge_index).shape == (9, 3)
    encoder.reset_parameters()
    found = [m for m in encoder.modules() if "Norm" in type(m).__name__ and not [*m.children()]]
    expected = NUM_NORMS.get(name, lambda num_layers: num_layers - 1)(num_layers)
    always = WITHIN_SCANS.get(name, 0) * num_layers
    assert len(found) == always + expected * (norm is not None)


BAD_SETTINGS = [
    ("num_layers", 0, "num_layers must be an integer of at least 1, got 0"),
    ("dropout", 1.5, r"dropout must be a number in \[0, 1\], got 1.5"),
    ("input_dropout", -1, "input_dropout.*got -1"),
    ("norm", "batch", "norm must be one of.*got 'batch'"),
    ("alpha", 2, r"alpha must be a number in \[0, 1\], got 2"),
    ("theta", 0, "theta must be positive, got 0"),
    ("edge_dropout", 2, "edge_dropout.*got 2"),
    ("attention_dropout", 2, "attention_dropout.*got 2"),
    ("classifier", "mlp", "classifier must be one of 'conv', 'linear', got 'mlp'"),
    ("edge_features", "none", "edge_features must be one of 'data', 'ones', got 'none'"),
]


@pytest.mark.parametrize(
    ("name", "setting", "value", "message"),
    [(name, *bad) for bad in BAD_SETTINGS for name in those_that_take(bad[0])],
)
def test_bad_settings_are_named(name, setting, value, message):
    if setting == "edge_features":
        with pytest.raises(ValueError, match=message):
            CLASSES[name](6, 8, 3, edge_features=value)
        return
    with pytest.raises(ValueError, match=message):
        ENCODERS[name](**{setting: value})


COUNTS = ("in_channels", "hidden_channels", "out_channels", "num_nodes", "heads", "out_heads")


@pytest.mark.parametrize(
    ("name", "place"), [(name, place) for place in COUNTS for name in those_that_take(place)]
)
def test_bad_widths_are_named(name, place):
    kind = CLASSES[name]
    widths = {"in_channels": 6, "hidden_channels": 8, "out_channels": 3, **NEEDS, place: 0}
    settings = {key: value for key, value in widths.items() if takes(name, key)}
    with pytest.raises(ValueError, match=f"{place} must be an integer of at least 1, got 0"):
        kind(**settings)


def test_arxiv_configuration_has_the_published_number_of_parameters():
    model = DAGNN(128, 256, 40, num_hops=16, norm="batch_norm", input_dropout=0.0, dropout=0.2)
    assert sum(p.numel() for p in model.parameters()) == 43_857


def test_dagnn_equals_the_equations(data):
    model = DAGNN(6, 8, 3, num_hops=4).double().eval()
    x = data.x.double()
    first, second, prop = model.layers
    z = second.linear(first.linear(x).relu())
    a = dense.gcn_norm(data.edge_index, 9)
    want = dense.gated_hops(a, z, prop.gate.weight[0], prop.gate.bias, 4)
    torch.testing.assert_close(model(x, data.edge_index), want)


def test_an_open_gate_and_no_hops_make_dagnn_an_mlp(data):
    model = DAGNN(6, 8, 3, num_hops=0).eval()
    mlp = MLP(6, 8, 3).eval()
    mlp.load_state_dict({k: v for k, v in model.state_dict().items() if "gate" not in k})
    torch.nn.init.zeros_(model.layers[-1].gate.weight)
    torch.nn.init.constant_(model.layers[-1].gate.bias, 50.0)
    torch.testing.assert_close(model(data.x, data.edge_index), mlp(data.x))


@pytest.mark.parametrize("form", ["tensor", "edge_index"])
def test_drops_into_an_ordinary_training_loop(form, data):
    edges = data.edge_index
    if form == "edge_index":
        edges = EdgeIndex(edges, sparse_size=(9, 9))
    model = DAGNN(6, 16, 3, num_hops=2, dropout=0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        model.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(data.x, edges), data.y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "gps"])  # PyG's masks break
def test_compiles_without_a_break(name, data):
    depth = {"num_layers": 1} if name in WITHIN_SCANS else {}  # they take seconds per layer
    model = ENCODERS[name](dropout=0.0, **depth)
    fields = {"graph": Graph.from_edge_index(data.edge_index, 9)}
    if name == "nsd_connection":  # what is computed once is not compiled
        fields["maps"] = local_pca_maps(data.x, data.edge_index, 2)
    if name == "adpa":
        fields["patterns"] = DirectedPatterns()(data).patterns
    if name == "dgmlp":
        fields["patterns"] = CombinedHops(num_hops=4)(data).patterns
    if name == "dirgnn":
        fields["reverse"] = ReverseGraph()(data).reverse
    want = model(data.x, data.edge_index, **fields)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(data.x, data.edge_index, **fields), want)


def test_autocast_stays_close_and_trains(encoder, data):
    encoder.eval()
    sparse = SparseFeatures.from_dense(data.x)
    want = encoder(data.x, data.edge_index)
    for x in (data.x, sparse):
        with torch.autocast("cpu", torch.bfloat16):
            out = encoder(x, data.edge_index)
        torch.testing.assert_close(out.float(), want, rtol=0.1, atol=0.1)
        out.float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.slow
def test_compiled_training_with_raw_edges_equals_eager(data):
    model = DAGNN(6, 8, 3, num_hops=4, dropout=0.0)
    compiled = torch.compile(model)
    grads = []
    for run in (model, compiled):
        model.zero_grad()
        F.cross_entropy(run(data.x, data.edge_index), data.y).backward()
        grads.append([p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-6)


def test_inputs_hand_over_what_the_signature_names(encoder, data):
    data.edge_weight = None
    data.graph = Graph.from_edge_index(data.edge_index, 9)
    assert inputs(encoder, data).keys() == {"x", "edge_index", "graph"}
    compiled = torch.compile(encoder, backend="eager")
    assert inputs(compiled, data).keys() == {"x", "edge_index", "graph"}
    assert inputs(MLP(6, 8, 3), Data(x=data.x)).keys() == {"x"}


def test_missing_fields_are_named(data):
    class Needy(torch.nn.Module):
        made_by = {"patterns": "gnnzoo.data.Patterns"}

        def forward(self, x, patterns):
            return x

    with pytest.raises(ValueError, match=r"Needy.*'patterns'.*gnnzoo\.data\.Patterns makes it"):
        inputs(Needy(), data)
    with pytest.raises(ValueError, match="GCN needs the field 'edge_index'"):
        inputs(GCN(6, 8, 3), Data(x=data.x))


def test_sparse_features_are_refused_where_they_are_not_read(data):
    data.x = SparseFeatures.from_dense(data.x)
    assert inputs(GCN(6, 8, 3), data)["x"] is data.x

    class Dense(torch.nn.Module):
        def forward(self, x):
            return x

    with pytest.raises(ValueError, match=r"Dense reads dense features.*SparsifyFeatures out"):
        inputs(Dense(), data)


@pytest.mark.parametrize("name", ENCODERS)
def test_settings_file_builds_its_encoder(name):
    settings = yaml.safe_load((conf_root() / "model" / f"{name}.yaml").read_text())
    kind = getattr(models, settings.pop("_target_").removeprefix("gnnzoo.models."))
    assert kind is CLASSES[name]
    transforms = settings.pop("transform")
    assert all(t["_target_"].startswith("gnnzoo.data.") for t in transforms)
    needs = {key: NEEDS[key] for key in kind.needs}
    assert isinstance(kind(6, out_channels=3, **needs, **settings), Chain)


@pytest.mark.parametrize("name", those_that_take("act"))
def test_an_unknown_activation_is_refused_in_words(name):
    with pytest.raises(ValueError, match=r"act must name an activation .* got 'swoosh'"):
        ENCODERS[name](act="swoosh")
