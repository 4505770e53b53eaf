import itertools
import math

import pytest
import torch
from torch.nn.functional import logsigmoid

from gnnzoo.nn import NCNCPredictor, NCNPredictor, completion_table
from gnnzoo.nn import ncnc_predictor as ncnc_module
from gnnzoo.nn import plain_logits as plain_logits_module
from gnnzoo.nn.calibration import Calibration
from gnnzoo.nn.plain_logits import plain_logits
from gnnzoo.ops import Graph
from tests.live_bytes import PeakBytes
from tests.reference import ncn
from tests.reference.dense import adjacency
from tests.reference.graphs import random_edges

F64 = torch.float64
N, H = 30, 5
EDGES = random_edges(N, 60, undirected=True, loops=False)
GRAPH = Graph.from_edge_index(EDGES, N)
SETS = ncn.neighbor_sets(adjacency(EDGES, N))
# Edges, a node with itself, a pair with an isolated node, pairs given twice, and any others.
PAIRS = torch.cat([EDGES[:, :4], torch.tensor([[3, 0, 5, 5, 9], [3, N - 1, 8, 8, 2]])], dim=1)
X = torch.randn(N, H, dtype=F64, generator=torch.Generator().manual_seed(0))
BASE = {"node_mlp": True, "layer_norm": True, "scale": 2.0, "offset": 0.1, "pt": 0.3}


def make(**settings) -> NCNCPredictor:
    torch.manual_seed(1)
    return NCNCPredictor(H, **{**BASE, **settings}).double()


def plain(model: NCNCPredictor) -> NCNPredictor:
    other = NCNPredictor(H, node_mlp=True, layer_norm=True).double()
    state = {k: v for k, v in model.state_dict().items() if k != "alpha" and "chance" not in k}
    other.load_state_dict(state)
    return other.train(model.training)


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("learn_pt", [False, True])
def test_equals_a_loop_over_pairs_and_nodes(depth, compat, learn_pt):
    model = make(depth=depth, reference_compat=compat, learn_pt=learn_pt, alpha=1.05)
    loop = [ncn.ncnc_logit(model, X, SETS, i, j, depth) for i, j in PAIRS.T.tolist()]
    torch.testing.assert_close(model.eval()(X, GRAPH, PAIRS), torch.stack(loop))
    torch.testing.assert_close(model.train()(X, GRAPH, PAIRS), torch.stack(loop))


def test_the_two_modes_differ_and_so_do_the_depths():
    outs = [make(**s)(X, GRAPH, PAIRS) for s in ({}, {"reference_compat": True}, {"depth": 2})]
    assert not torch.allclose(outs[0], outs[1])
    assert not torch.allclose(outs[0], outs[2])


@pytest.mark.parametrize("settings", [{"alpha": 0.0}, {"depth": 0}, {"alpha": 0.0, "depth": 2}])
def test_without_completion_it_is_ncn(settings):
    model = make(**settings)
    torch.testing.assert_close(model(X, GRAPH, PAIRS), plain(model)(X, GRAPH, PAIRS))


def test_certain_completion_pools_the_union():
    model = make(offset=-1e9)
    pooled = ncn.with_mlp(model, X)
    for k, (i, j) in enumerate(PAIRS.T.tolist()):
        nodes = (SETS[i] | SETS[j]) - ({i, j} if i != j else set())
        want = ncn.ncn_logit(model, X, pooled, dict.fromkeys(nodes, 1.0), i, j)
        torch.testing.assert_close(model(X, GRAPH, PAIRS)[k], want)


def test_calibration_is_the_published_formula():
    logit = torch.linspace(-4, 4, 41, dtype=F64)
    for scale, offset, pt, alpha in ((4.3, 2.8, 0.75, 1.0), (2.5, 6.0, 0.1, 1.05), (1, 0, 1, 0)):
        p = torch.sigmoid(scale * (logit - offset))
        want = alpha * pt * p / (pt * p + 1 - p)
        found = Calibration(scale, offset, alpha)(logit, math.log(pt))
        torch.testing.assert_close(found, want)
        assert (found.diff() >= 0).all()
        assert ((found >= 0) & (found <= alpha)).all()


def test_calibration_survives_huge_logits():
    logit = torch.tensor([-1e3, 1e3], requires_grad=True)
    out = Calibration(5.0, 3.0, 0.9)(logit, math.log(0.1))
    assert out.tolist() == pytest.approx([0.0, 0.9])
    out.sum().backward()
    assert logit.grad.isfinite().all()


def test_symmetric_and_invariant_under_relabelling():
    model = make(depth=2)
    out = model(X, GRAPH, PAIRS)
    torch.testing.assert_close(model(X, GRAPH, PAIRS.flip(0)), out, rtol=0, atol=1e-6)
    order = torch.randperm(N)
    place = order.argsort()
    moved = Graph.from_edge_index(place[EDGES], N)
    torch.testing.assert_close(model(X[order], moved, place[PAIRS]), out)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("compat", [False, True])
def test_splitting_and_asking_once_change_nothing(depth, compat):
    want = make(depth=depth, reference_compat=compat).eval()(X, GRAPH, PAIRS)
    for split_size in (1, 5, -1):
        for dedupe in (True, False):
            settings = {"split_size": split_size, "dedupe": dedupe, "depth": depth}
            model = make(reference_compat=compat, **settings).eval()
            torch.testing.assert_close(model(X, GRAPH, PAIRS), want)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("learn_pt", [False, True])
@pytest.mark.parametrize("max_values", [1, 1 << 26])
def test_a_table_of_all_links_gives_the_same(depth, compat, learn_pt, max_values, monkeypatch):
    monkeypatch.setattr(completion_table, "MAX_VALUES", max_values)
    outs, grads = [], []
    for table in (False, True):
        model = make(depth=depth, reference_compat=compat, learn_pt=learn_pt, table=table)
        x = X.clone().requires_grad_()
        outs.append(model(x, GRAPH, PAIRS))
        grads.append(torch.autograd.grad(outs[-1].square().sum(), [x, *model.parameters()]))
    torch.testing.assert_close(outs[1], outs[0])
    torch.testing.assert_close(grads[1], grads[0])


def test_a_table_is_made_once_and_where_it_is_worth_it(monkeypatch):
    model, asked = make(depth=2), []
    monkeypatch.setattr(
        model, "_asked", lambda levels, links: asked.append((len(levels), links.size(1)))
        or type(model)._asked(model, levels, links)
    )  # fmt: skip
    every = torch.cartesian_prod(torch.arange(N), torch.arange(N)).T
    model(X, GRAPH, PAIRS)
    few = list(asked)
    asked.clear()
    model(X, GRAPH, every)
    assert asked == [(2, N * (N + 1) // 2), (1, N * (N + 1) // 2)]
    assert all(links < N * (N + 1) // 2 for _, links in few)
    capped = make(train_cap=50)
    assert not capped._uses_table(GRAPH, every)
    assert capped.eval()._uses_table(GRAPH, every)


def test_every_link_is_asked_about_once():
    asked = []
    for i, j in PAIRS.T.tolist():
        asked += [tuple(sorted((j, u))) for u in SETS[i] - SETS[j] - {j}]
        asked += [tuple(sorted((i, u))) for u in SETS[j] - SETS[i] - {i}]
    for dedupe in (True, False):
        rows, model = [], make(dedupe=dedupe)
        model.product_mlp.register_forward_hook(lambda _, args, out, to=rows: to.append(len(out)))
        model(X, GRAPH, PAIRS)
        assert rows[1] == PAIRS.size(1)
        assert rows[0] == len(set(asked)) if dedupe else rows[0] > len(set(asked))


@pytest.mark.parametrize("block_values", [1, 4 * H, 1 << 22])
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_many_links_get_the_logits_of_ncn(step, block_values, monkeypatch):
    monkeypatch.setattr(plain_logits_module, "BLOCK_VALUES", block_values)
    model = make(depth=0).eval()
    pooled = X + model.node_mlp(X)
    for links in (torch.triu_indices(N, N), PAIRS[:, :0], torch.tensor([[0], [N - 1]])):
        found = plain_logits(model, X, pooled, GRAPH, links, step)
        torch.testing.assert_close(found, model(X, GRAPH, links).detach())


def test_the_node_network_runs_on_neighbours_of_the_pairs_only():
    rows, model = [], make()
    model.node_mlp.register_forward_hook(lambda _, args, out: rows.append(len(out)))
    pairs = PAIRS[:, :2]
    model(X, GRAPH, pairs)
    model.eval().scorer(X, GRAPH)(pairs)
    assert rows == [len(set.union(*(SETS[node] for node in pairs.flatten().tolist()))), N]
    assert rows[0] < N


def gradients(model, chance=None):
    x = X.clone().requires_grad_()
    parameters = [x, *model.parameters()]
    if chance is not None:
        model._asked = lambda levels, links: chance
    out = logsigmoid(model(x, GRAPH, PAIRS)).sum()
    return torch.autograd.grad(out, parameters, allow_unused=True)


def test_no_gradient_flows_through_completed_links():
    model, kept = make(), []
    asked = model._asked
    model._asked = lambda *args: kept.append(asked(*args)) or kept[-1]
    want = gradients(model)
    assert not kept[0].requires_grad
    torch.testing.assert_close(gradients(make(), kept[0].clone()), want)


def test_a_learned_prior_is_all_that_adds_gradient():
    learned, fixed = make(learn_pt=True), make()
    fixed.load_state_dict(
        {k: v for k, v in learned.state_dict().items() if "chance" not in k}, strict=True
    )
    learned(X, GRAPH, PAIRS).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in learned.chance_mlp.parameters())
    with torch.no_grad():  # a constant prior of 0.3
        for part in (learned.chance_mlp[0], learned.chance_mlp[2]):
            part.weight.zero_()
            part.bias.zero_()
        learned.chance_mlp[2].bias.fill_(math.log(0.3 / 0.7))
    ours = dict(zip(["x", *dict(learned.named_parameters())], gradients(learned), strict=True))
    theirs = dict(zip(["x", *dict(fixed.named_parameters())], gradients(fixed), strict=True))
    for name, grad in theirs.items():
        torch.testing.assert_close(ours[name], grad)


def test_caps_that_are_large_enough_change_nothing():
    most = max(len(s) for s in SETS)
    want = make().eval()(X, GRAPH, PAIRS)
    torch.testing.assert_close(make(eval_cap=most).eval()(X, GRAPH, PAIRS), want)
    assert not torch.allclose(make(eval_cap=1).eval()(X, GRAPH, PAIRS), want)
    torch.testing.assert_close(make(train_cap=1).eval()(X, GRAPH, PAIRS), want)
    assert not torch.allclose(make(train_cap=1).train()(X, GRAPH, PAIRS), want)


def test_capped_completion_is_right_on_average_and_repeats_with_the_seed():
    """In training; a score in evaluation is the same every time."""

    def pooled(model):
        levels = model._levels(X, GRAPH)
        return model._by_queries(levels[0], levels[1:], PAIRS, math.log(model.pt))[0].detach()

    capped, want = make(train_cap=2).train(), pooled(make().eval())
    torch.manual_seed(0)
    first = pooled(capped)
    draws = torch.stack([pooled(capped) for _ in range(2000)])
    error = (draws.mean(0) - want).abs()
    assert (error <= 5 * draws.std(0) / 2000**0.5 + 1e-9).all()
    assert draws.std(0).max() > 0.01
    torch.manual_seed(0)
    assert torch.equal(pooled(capped), first)
    tested, state = make(eval_cap=2).eval(), torch.get_rng_state()
    assert torch.equal(pooled(tested), pooled(tested))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("variant", ["ncn", "ncnc"])
def test_a_scorer_gives_what_the_predictor_gives_for_many_lists(variant):
    model = make().eval() if variant == "ncnc" else plain(make()).eval()
    calls = []
    model.node_mlp.register_forward_hook(lambda *_: calls.append(1))
    score = model.scorer(X, GRAPH)
    parts = torch.cat([score(part) for part in PAIRS.split(3, dim=1)])
    assert len(calls) == 1
    torch.testing.assert_close(parts, model(X, GRAPH, PAIRS))


def test_pairs_are_completed_in_pieces_within_a_budget(monkeypatch):
    from gnnzoo.nn import ncnc_predictor

    model, sizes = make().eval(), []
    want = model(X, GRAPH, PAIRS)
    by_queries = model._by_queries
    monkeypatch.setattr(ncnc_predictor, "MAX_ITEMS", 20)
    monkeypatch.setattr(
        model, "_by_queries", lambda *args: sizes.append(args[2].size(1)) or by_queries(*args)
    )
    torch.testing.assert_close(model(X, GRAPH, PAIRS), want)
    assert len(sizes) > 1
    assert sum(sizes) == PAIRS.size(1)


def test_logits_are_not_rounded_under_autocast():
    model = make().eval()
    x = X.float()
    with torch.autocast("cpu", torch.bfloat16):
        logits = model.float()(x, GRAPH, PAIRS)
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())


def test_weights_of_ncn_can_be_loaded():
    trained = NCNPredictor(H, node_mlp=True, layer_norm=True).double()
    model = make(alpha=0.4)
    model.load_state_dict(trained.state_dict())
    assert model.alpha.item() == pytest.approx(0.4)
    torch.testing.assert_close(
        trained(X, GRAPH, PAIRS), NCNPredictor.forward(model, X, GRAPH, PAIRS)
    )
    missing = make(learn_pt=True).load_state_dict(trained.state_dict(), strict=False)
    assert all(key.startswith("chance_mlp") for key in missing.missing_keys)
    assert not missing.unexpected_keys


def test_alpha_may_change_and_is_saved():
    model = make()
    before = model(X, GRAPH, PAIRS)
    model.set_alpha(0.25)
    torch.testing.assert_close(model(X, GRAPH, PAIRS), make(alpha=0.25)(X, GRAPH, PAIRS))
    assert not torch.allclose(model(X, GRAPH, PAIRS), before)
    other = make()
    other.load_state_dict(model.state_dict())
    assert other.alpha == model.alpha
    with pytest.raises(ValueError, match="alpha must be at least 0, got -1"):
        model.set_alpha(-1)


@pytest.mark.parametrize("compat", [False, True])
def test_edge_dropout_is_drawn_once_or_as_published_twice(compat, monkeypatch):
    model, seen = make(edge_dropout=0.4, reference_compat=compat), []
    visible = model.visible
    monkeypatch.setattr(model, "visible", lambda graph: seen.append(visible(graph)) or seen[-1])
    model(X, GRAPH, PAIRS)
    counts = [GRAPH.num_edges, *(graph.num_edges for graph in seen)]
    assert len(seen) == 1 + compat
    assert all(after < before for before, after in itertools.pairwise(counts))


def test_nothing_to_complete_and_no_pairs():
    empty = Graph.from_edge_index(torch.empty(2, 0).long(), N)
    model = make(depth=2, learn_pt=True)
    out = model(X, empty, PAIRS)
    torch.testing.assert_close(out, plain(model)(X, empty, PAIRS))
    out.sum().backward()
    assert model(X, GRAPH, PAIRS[:, :0]).shape == (0,)
    lonely = Graph.from_edge_index(torch.empty(2, 0).long(), 1)
    assert model(X[:1], lonely, torch.zeros(2, 1).long()).isfinite().all()


@pytest.mark.parametrize("compat", [False, True])
def test_runs_under_inference_mode_and_autocast(compat):
    torch.manual_seed(0)
    model = NCNCPredictor(H, **BASE, reference_compat=compat).eval()
    want = model(X.float(), GRAPH, PAIRS)
    with torch.inference_mode():
        torch.testing.assert_close(model(X.float(), GRAPH, PAIRS), want)
    with torch.autocast("cpu", torch.bfloat16):
        out = model(X.float(), GRAPH, PAIRS)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, want, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": -0.1}, "alpha must be at least 0, got -0.1"),
        ({"pt": 0.0}, r"pt must be in \(0, 1\], got 0.0"),
        ({"depth": -1}, "depth must be an integer of at least 0, got -1"),
        ({"train_cap": 0}, "train_cap, if not -1 for all, must be an integer of at least 1, got 0"),
        ({"split_size": -2}, "split_size.*got -2"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        NCNCPredictor(H, **settings)


def test_completion_draws_nothing_unless_as_published():
    """Dropout stays out of the links asked about; the networks are back in training afterwards."""
    for compat in (False, True):
        model, modes = make(dropout=0.5, reference_compat=compat).train(), []
        model.product_mlp.register_forward_hook(lambda m, *_, to=modes: to.append(m.training))
        model(X, GRAPH, PAIRS)
        assert modes == [compat] * (len(modes) - 1) + [True]
        assert len(modes) > 1
        assert model.overlap_mlp.training


def test_alpha_may_grow_over_epochs_as_published():
    model, seen = make(increase_alpha=True, alpha=0.4), []
    for _ in range(17):
        model.start_epoch()
        seen.append(float(model.alpha))
    want = [0.4 * min(max((epoch - 5) / 10, 0.0), 1.0) for epoch in range(1, 18)]
    assert seen == pytest.approx(want)
    again = make(increase_alpha=True, alpha=0.4)
    again.load_state_dict(model.state_dict())
    assert (float(again.alpha), int(again.epoch)) == (pytest.approx(0.4), 17)
    constant = make(alpha=0.4)
    constant.start_epoch()
    assert float(constant.alpha) == pytest.approx(0.4)
    assert "epoch" not in constant.state_dict()


def test_memory_is_bounded_by_the_budgets_whatever_is_asked(monkeypatch):
    n, channels = 300, 16
    edges = random_edges(n, 3000, undirected=True, loops=False)
    graph = Graph.from_edge_index(edges, n)
    x = torch.randn(n, channels)
    torch.manual_seed(0)
    model = NCNCPredictor(channels, node_mlp=True, layer_norm=True, table=False).eval()

    def peak(num_pairs):
        pairs = torch.randint(n, (2, num_pairs), generator=torch.Generator().manual_seed(0))
        with torch.inference_mode(), PeakBytes((x, *model.parameters())) as held:
            model(x, graph, pairs)
        return held.peak

    monkeypatch.setattr(plain_logits_module, "BLOCK_VALUES", 512 * channels)
    monkeypatch.setattr(ncnc_module, "CACHED_VALUES", 512 * channels)
    peak(10)  # what is made once for the graph
    free = peak(1000)
    monkeypatch.setattr(ncnc_module, "MAX_ITEMS", 1 << 12)
    bounded = {count: peak(count) for count in (500, 1000)}
    assert bounded[1000] < 150 * (1 << 12) < free / 5  # bytes of each neighbour in one go
    assert bounded[1000] - bounded[500] < 500 * 100  # the pairs and their logits
