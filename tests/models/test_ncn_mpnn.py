import pytest
import torch

from gnnzoo.models import NCNMPNN, encode_layerwise
from gnnzoo.models.ncn_mpnn import AGGREGATIONS, CONVS, PURE
from gnnzoo.ops import SparseFeatures
from tests.reference import ncn
from tests.reference.dense import adjacency
from tests.reference.graphs import random_edges

F64 = torch.float64
EDGES = random_edges(9, 14, undirected=True, loops=False)
X = torch.randn(9, 6, dtype=F64, generator=torch.Generator().manual_seed(0))


def by_hand(model: NCNMPNN, x, a, layer_norm: bool, residual: bool) -> torch.Tensor:
    """The equations of the encoder, without dropout."""
    layers, states = list(model.layers), []
    if layers and hasattr(layers[0], "source"):
        x = layers.pop(0).source(x)
    for layer in layers:
        conv, h = layer.conv, x
        if conv.weight is not None:
            h = ncn.smoothed(conv.aggr, a, x @ conv.weight.T) + conv.bias
            if len(layers) == 1 or layer is not layers[-1]:
                h = layer.tail[0](h) if layer_norm else h
                h = h.relu()
        else:
            h = ncn.smoothed(conv.aggr, a, x)
        x = h + x if residual and h.shape == x.shape else h
        states.append(x)
    if model.jk_weight is not None:
        return sum(w * h for w, h in zip(model.jk_weight, states, strict=True))
    return x


@pytest.mark.parametrize("conv", [*AGGREGATIONS, *PURE])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("extras", [False, True])
def test_equals_the_equations(conv, num_layers, extras):
    settings = {"layer_norm": extras, "residual": extras}
    start = "normal" if extras else "ones"
    model = NCNMPNN(6, 6, num_layers, conv, jk=extras, jk_start=start, **settings).double()
    want = by_hand(model, X, adjacency(EDGES, 9), **settings)
    torch.testing.assert_close(model.train()(X, EDGES), want)
    torch.testing.assert_close(model.eval()(X, EDGES), want)


def test_one_layer_with_parameters_ends_in_relu_and_two_do_not():
    for conv in AGGREGATIONS:
        assert (NCNMPNN(6, 8, 1, conv).double()(X, EDGES) >= 0).all()
        assert (NCNMPNN(6, 8, 2, conv).double()(X, EDGES) < 0).any()


def test_without_layers_it_is_a_linear_map():
    model = NCNMPNN(6, 8, 0, "none").double()
    torch.testing.assert_close(model(X, EDGES), model.layers[0].source(X))


def test_learned_sum_starts_at_one_or_at_random():
    assert NCNMPNN(6, 8, 3, jk=True).jk_weight.tolist() == [1, 1, 1]
    torch.manual_seed(0)
    model = NCNMPNN(6, 8, 3, jk=True, jk_start="normal")
    before = model.jk_weight.clone()
    assert before.unique().numel() == 3
    model.reset_parameters()
    assert not torch.equal(model.jk_weight, before)


def test_ids_get_embeddings_from_an_orthogonal_start():
    torch.manual_seed(0)
    model = NCNMPNN(6, 4, 1, "puresum", num_embeddings=12).double()
    table = model.layers[0].source.weight
    torch.testing.assert_close(table.T @ table, torch.eye(4, dtype=F64), atol=1e-6, rtol=0)
    ids = torch.randint(12, (9,))
    want = ncn.smoothed("sum", adjacency(EDGES, 9), table[ids])
    torch.testing.assert_close(model(ids, EDGES), want)
    torch.testing.assert_close(model(ids[:, None].int(), EDGES), want)
    rows = torch.eye(12, dtype=F64)[ids]
    torch.testing.assert_close(model(rows, EDGES), want)
    torch.testing.assert_close(model(SparseFeatures.from_dense(rows), EDGES), want)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.randn(9, 5), r"ids \[num_nodes\] or one-hot rows \[num_nodes, 12\].*\[9, 5\]"),
        (torch.zeros(9, 2).long(), r"one id per node, got \[9, 2\]"),
        (torch.arange(9) + 4, r"names id 12.*\[0, 12\)"),
    ],
)
def test_what_holds_no_ids_is_refused(x, message):
    with pytest.raises(ValueError, match=message):
        NCNMPNN(6, 4, num_embeddings=12)(x, EDGES)


DROPOUTS = {
    "input_dropout": (1, "puregcn"),
    "tail_dropout": (1, "puregcn"),
    "edge_dropout": (1, "puregcn"),
    "dropout": (2, "gcn"),
}


@pytest.mark.parametrize("name", DROPOUTS)
def test_every_dropout_acts_in_training_only(name):
    num_layers, conv = DROPOUTS[name]
    torch.manual_seed(0)
    model = NCNMPNN(6, 8, num_layers, conv, **{name: 0.5}).double()
    assert not torch.allclose(model(X, EDGES), model(X, EDGES))
    model.eval()
    assert torch.equal(model(X, EDGES), model(X, EDGES))


def test_each_layer_drops_edges_of_its_own(monkeypatch):
    drawn = []
    model = NCNMPNN(6, 8, 3, edge_dropout=0.5).double()
    for layer in model.layers[1:]:
        kept = layer.conv._kept_edges
        monkeypatch.setattr(
            layer.conv, "_kept_edges", lambda *a, f=kept: drawn.append(f(*a)) or drawn[-1]
        )
    model(X, EDGES)
    assert len(drawn) == 3
    assert not any(torch.equal(drawn[0], other) for other in drawn[1:])


@pytest.mark.parametrize("conv", CONVS)
@pytest.mark.parametrize("jk", [False, True])
def test_layer_by_layer_gives_the_same(conv, jk):
    from torch_geometric.data import Data

    if conv == "none":
        jk = False
    model = NCNMPNN(6, 8, 0 if conv == "none" else 2, conv, jk=jk, layer_norm=True).double().eval()
    for x in (X, SparseFeatures.from_dense(X * (X > 0))):
        data = Data(edge_index=EDGES)
        data.x = x
        with torch.no_grad():
            want = model(x, EDGES)
            torch.testing.assert_close(encode_layerwise(model, data, 1e-6), want)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"conv": "gat"}, "conv must be one of 'gcn'.*'none', got 'gat'"),
        ({"conv": "none"}, "num_layers must be 0"),
        ({"num_layers": 0}, "num_layers must be an integer of at least 1, got 0"),
        ({"conv": "none", "num_layers": 0, "jk": True}, "jk false"),
        ({"jk_start": "zeros"}, "jk_start must be one of 'ones', 'normal', got 'zeros'"),
        ({"tail_dropout": 2}, "tail_dropout.*got 2"),
        ({"num_embeddings": 0}, "num_embeddings.*got 0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        NCNMPNN(6, 8, **settings)
