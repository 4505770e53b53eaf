import pytest
import torch
from torch import nn

from gnnzoo.nn import NCNPredictor
from gnnzoo.nn.ncn_blocks import node_block, overlap_block, product_block, score_block
from gnnzoo.nn.ncn_predictor import VARIANTS
from gnnzoo.ops import Graph
from tests.reference import ncn
from tests.reference.dense import adjacency
from tests.reference.graphs import random_edges

F64 = torch.float64
N, H = 14, 6
EDGES = random_edges(N, 30, undirected=True, loops=False)
GRAPH = Graph.from_edge_index(EDGES, N)
A = adjacency(EDGES, N)
SETS = ncn.neighbor_sets(A)
PAIRS = torch.tensor([(i, j) for i in range(N) for j in range(N) if (i + 2 * j) % 3]).T
X = torch.randn(N, H, dtype=F64, generator=torch.Generator().manual_seed(0))
RICH = {"layer_norm": True, "node_mlp": True, "two_layer": True}


def make(variant="ncn", **settings) -> NCNPredictor:
    torch.manual_seed(1)
    return NCNPredictor(H, variant, **settings).double()


def shape(block: nn.Sequential) -> str:
    return " ".join(type(part).__name__.removeprefix("Feature") for part in block)


def test_branches_have_the_published_order_of_layers():
    first, dense = "Linear Dropout ReLU", "Linear LayerNorm Dropout ReLU"
    assert shape(node_block(4, 0.1, True)) == f"{first} {dense}"
    assert shape(overlap_block(1, 4, 0.1, True, True)) == f"{first} {dense}"
    assert shape(overlap_block(4, 4, 0.1, True, False)) == f"{first} {dense} Linear"
    assert shape(product_block(4, 0.1, True, True)) == dense
    assert shape(product_block(4, 0.1, False, False)) == "Linear Dropout ReLU Linear"
    assert shape(score_block(4, 0.1, True, False)) == f"{dense} Linear"
    assert shape(score_block(4, 0.1, True, True)) == f"{dense} {dense} Linear"


def by_hand(model: NCNPredictor, i: int, j: int) -> torch.Tensor:
    pooled, h = ncn.with_mlp(model, X), model.product_mlp(X[i] * X[j])
    total = lambda nodes: sum((pooled[u] for u in nodes), torch.zeros_like(X[0]))  # noqa: E731
    if model.variant == "gae+cn":
        count = torch.tensor([float(len(SETS[i] & SETS[j]))], dtype=F64)
        h = h + model.beta * model.overlap_mlp(count)
    elif model.variant != "gae":
        h = h + model.beta * model.overlap_mlp(total(SETS[i] & SETS[j]))
    if model.variant == "ncn-diff":
        h = h + model.outer_mlp(total(SETS[i] - SETS[j]) + total(SETS[j] - SETS[i]))
    if model.variant == "ncn2":
        far = ncn.two_steps(SETS)
        h = h + model.outer_mlp(total(SETS[i] & far[j]) + total(far[i] & SETS[j]))
    return model.score_mlp(h)[0]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("settings", [{}, {"tail_act": True}, RICH])
def test_every_variant_equals_a_double_loop(variant, settings):
    model = make(variant, beta=0.7, **settings)
    want = torch.stack([by_hand(model, i, j) for i, j in PAIRS.T.tolist()])
    torch.testing.assert_close(model.eval()(X, GRAPH, PAIRS), want)
    torch.testing.assert_close(model.train()(X, GRAPH, PAIRS), want)


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_are_symmetric_and_follow_a_relabelling(variant):
    model = make(variant, **RICH).eval()
    out = model(X, GRAPH, PAIRS)
    torch.testing.assert_close(model(X, GRAPH, PAIRS.flip(0)), out, rtol=0, atol=1e-6)
    order = torch.randperm(N)
    place = order.argsort()
    moved = Graph.from_edge_index(place[EDGES], N)
    torch.testing.assert_close(model(X[order], moved, place[PAIRS]), out)
    chosen = torch.randperm(PAIRS.size(1))
    torch.testing.assert_close(model(X, GRAPH, PAIRS[:, chosen]), out[chosen])


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradcheck(variant):
    model = make(variant, node_mlp=True)
    x = X.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model(x, GRAPH, PAIRS[:, :7]), (x,))


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_learns_and_may_start_anew(variant):
    model = make(variant, **RICH, beta=2.0)
    model(X, GRAPH, PAIRS).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
    want = model(X, GRAPH, PAIRS)
    other = NCNPredictor(H, variant, **RICH).double()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(X, GRAPH, PAIRS), want)
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(3.0)
    model.reset_parameters()
    assert model(X, GRAPH, PAIRS).std() > 0
    assert model.beta is None or model.beta.item() == 2.0


def test_no_common_neighbours_give_a_learned_constant():
    """An empty overlap adds f(0), the same for all pairs; logits and gradients stay finite."""
    empty = Graph.from_edge_index(torch.empty(2, 0).long(), N)
    for training in (True, False):
        model = make(**RICH).train(training)
        x = X.clone().requires_grad_()
        out = model(x, empty, PAIRS)
        f0 = model.overlap_mlp(torch.zeros(1, H, dtype=F64))
        want = model.score_mlp(model.product_mlp(X[PAIRS[0]] * X[PAIRS[1]]) + f0).squeeze(1)
        torch.testing.assert_close(out, want)
        out.sum().backward()
        assert all(p.grad.isfinite().all() for p in [x, *model.overlap_mlp.parameters()])
        assert any(p.grad.abs().sum() > 0 for p in model.overlap_mlp.parameters())


@pytest.mark.parametrize("variant", VARIANTS)
def test_degenerate_graphs_and_no_pairs(variant):
    model = make(variant, **RICH)
    lonely = Graph.from_edge_index(torch.empty(2, 0).long(), 1)
    assert model(X[:1], lonely, torch.zeros(2, 1).long()).isfinite().all()
    assert model(X[:1], lonely, torch.empty(2, 0).long()).shape == (0,)
    assert model(X, GRAPH, PAIRS[:, :0]).shape == (0,)


def test_edge_dropout_hides_directions_from_both_nodes_alike():
    """Each draw is NCN on a graph with some arcs left out, every arc for itself."""
    edges = torch.tensor([[0, 1, 0, 2], [1, 0, 2, 0]])  # 1 - 0 - 2
    graph = Graph.from_edge_index(edges, 3)
    model, pair = make(edge_dropout=0.5), torch.tensor([[1, 1], [2, 2]])
    full, none = (make().eval()(X[:3], g, pair)[0] for g in (graph, Graph.from_edge_index(
        torch.empty(2, 0).long(), 3)))  # fmt: skip
    hits = 0
    for _ in range(400):
        first, second = model(X[:3], graph, pair)
        assert torch.equal(first, second)  # one mask for the call
        assert torch.isclose(first, full) or torch.isclose(first, none)
        hits += bool(torch.isclose(first, full))
    assert 60 < hits < 140  # both arcs into the ends are needed: one in four
    torch.testing.assert_close(model.eval()(X[:3], graph, pair)[0], full)


def test_dropout_acts_in_training_only():
    model = make(dropout=0.5, **RICH)
    assert not torch.allclose(model(X, GRAPH, PAIRS), model(X, GRAPH, PAIRS))
    model.eval()
    assert torch.equal(model(X, GRAPH, PAIRS), model(X, GRAPH, PAIRS))


def test_the_node_network_runs_once_and_on_nodes_in_overlaps_only(monkeypatch):
    model, rows = make("ncn-diff", node_mlp=True), []
    forward = model.node_mlp.forward
    monkeypatch.setattr(model.node_mlp, "forward", lambda x: rows.append(len(x)) or forward(x))
    pair = torch.tensor([[0], [1]])
    model(X, GRAPH, pair)
    assert rows == [len(SETS[0] | SETS[1])]


def test_bf16_autocast_stays_close():
    torch.manual_seed(0)
    model = NCNPredictor(H, **RICH)
    want = model(X.float(), GRAPH, PAIRS)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(X.float(), GRAPH, PAIRS)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, want, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"variant": "cn1"}, r"variant must be one of 'gae'.*got 'cn1'"),
        ({"dropout": 1.5}, r"dropout must be a number in \[0, 1\], got 1.5"),
        ({"edge_dropout": -1}, r"edge_dropout.*got -1"),
        ({"in_channels": 0}, r"in_channels.*got 0"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        NCNPredictor(**{"in_channels": H, **settings})


def test_bad_inputs_are_named():
    model = make()
    with pytest.raises(ValueError, match=r"pairs must have shape \[2, num_pairs\]"):
        model(X, GRAPH, PAIRS.T)
    with pytest.raises(ValueError, match="graph has 14 nodes, x has 9 rows"):
        model(X[:9], GRAPH, PAIRS)
    with pytest.raises(ValueError, match=r"\[num_nodes, 6\].*got \[14, 3\]"):
        model(X[:, :3], GRAPH, PAIRS)
