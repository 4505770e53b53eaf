"""AMUD (reconstructed): published graphs, planted and random examples, and what it must not do."""

import itertools
import math
import sys

import pytest
import torch

import gnnzoo.data
from gnnzoo.data import amud, amud_over_splits
from gnnzoo.data.amud import NAME
from gnnzoo.ops import Graph
from tests.reference.graphs import random_edges

# r(A), r(AA), r(AAt), r(AtA); the score of these rounded numbers; the reason.
FINGERPRINTS = {
    "texas_directed": (-0.0619, -0.0195, 0.0518, 0.2885, 0.942, "score"),
    "wisconsin_directed": (-0.0289, 0.0118, 0.0496, 0.1222, 0.925, "score"),
    "cornell_directed": (-0.0141, 0.0102, 0.0029, 0.0715, 0.966, "score"),
    "actor_directed": (0.0002, -0.0003, -0.0021, 0.0000, 0.988, "no_evidence"),
    "chameleon_directed": (0.0068, 0.0196, 0.0337, 0.0186, 0.557, "score"),
    "squirrel_directed": (0.0053, -0.0087, -0.0039, -0.0034, 0.687, "score"),
    "chameleon_filtered_directed": (0.0112, 0.0263, 0.0852, 0.0430, 0.767, "score"),
    "squirrel_filtered_directed": (-0.0047, -0.0303, -0.0010, -0.0330, 0.821, "score"),
}
UNDIRECTED = ("texas", "chameleon_filtered", "cora")


def load(name: str) -> gnnzoo.data.GraphDataset:
    stem = name.removesuffix("_directed")
    if name == "cora":
        return gnnzoo.data.planetoid("Cora")
    loader = "geom_gcn" if stem in ("texas", "wisconsin", "cornell", "actor") else "heterophilous"
    return getattr(gnnzoo.data, loader)(stem, directed=stem != name)


def score_of(r: tuple[float, ...]) -> float:
    squares = [value**2 for value in r]
    terms = [((a - b) / max(a, b, 1e-300)) ** 2 for a, b in itertools.combinations(squares, 2)]
    return math.sqrt(sum(terms) / 3)


@pytest.mark.real_data
@pytest.mark.parametrize("name", FINGERPRINTS)
def test_published_graphs_have_their_fingerprints(name, use_real):
    use_real(name)
    *r, score, reason = FINGERPRINTS[name]
    data = load(name).data
    found = amud(data.edge_index, data.y)
    assert [round(value, 4) for value in found.r.values()] == r
    assert found.reason == reason
    assert found.directed == (reason == "score")
    assert found.score == pytest.approx(score_of(tuple(found.r.values())[1:]), abs=1e-12)
    if name != "actor_directed":  # whose correlations have one digit left
        assert round(score_of(tuple(r)[1:]), 3) == pytest.approx(score, abs=0.0011)
        assert found.score == pytest.approx(score, abs=0.0015)


@pytest.mark.real_data
@pytest.mark.parametrize("name", UNDIRECTED)
def test_published_undirected_graphs_score_nothing(name, use_real):
    use_real(name)
    data = load(name).data
    found = amud(data.edge_index, data.y)
    assert (found.score, found.directed, found.reason) == (0.0, False, "symmetric")
    assert found.r["AA"] == found.r["AAt"] == found.r["AtA"]


def dense_correlations(edge_index, y, mask=None):
    """Correlations of the indicators themselves, over all ordered pairs."""
    num_nodes = len(y)
    a = torch.zeros(num_nodes, num_nodes, dtype=torch.float64)
    a[edge_index[0], edge_index[1]] = 1
    a.fill_diagonal_(0)
    keep = (y >= 0) if mask is None else (y >= 0) & mask
    pairs = keep[:, None] & keep & ~torch.eye(num_nodes, dtype=torch.bool)
    same = (y[:, None] == y)[pairs].double()
    found = {}
    for name, word in {"A": a, "AA": a @ a, "AAt": a @ a.t(), "AtA": a.t() @ a}.items():
        joined = (word > 0)[pairs].double()
        spread = joined.std() * same.std()
        found[name] = float(torch.corrcoef(torch.stack([joined, same]))[0, 1]) if spread else 0.0
    return found


@pytest.fixture
def labelled():
    edge_index = random_edges(60, 260, seed=3)
    y = torch.randint(3, (60,), generator=torch.Generator().manual_seed(0))
    y[5:12] = -1
    return edge_index, y


def test_correlations_are_those_of_the_indicators(labelled):
    edge_index, y = labelled
    mask = torch.arange(60) % 3 > 0
    for part in (None, mask):
        found = amud(edge_index, y, mask=part)
        wanted = dense_correlations(edge_index, y, part)
        assert found.r == pytest.approx(wanted, abs=1e-12)
        assert found.score == pytest.approx(score_of(tuple(wanted.values())[1:]), abs=1e-12)
        assert found.num_labelled == int(
            (y >= 0).sum() if part is None else ((y >= 0) & part).sum()
        )


def test_only_labels_inside_the_mask_are_read(labelled):
    edge_index, y = labelled
    mask = torch.arange(60) % 2 == 0
    other = torch.where(mask, y, (y + 1) % 3)
    assert amud(edge_index, y, mask=mask) == amud(edge_index, other, mask=mask)
    assert amud(edge_index, y) != amud(edge_index, other)


def test_reversal_relabelling_loops_and_repeated_arcs_change_nothing(labelled):
    edge_index, y = labelled
    found = amud(edge_index, y)
    reverse = amud(edge_index.flip(0), y)
    assert reverse.score == pytest.approx(found.score, abs=1e-12)
    assert reverse.r["AAt"] == found.r["AtA"]
    assert amud(edge_index, torch.where(y < 0, y, 2 - y)).score == found.score
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    assert amud(order[edge_index], y[order.argsort()]).r == pytest.approx(found.r, abs=1e-12)
    loops = torch.arange(60).expand(2, -1)
    assert amud(torch.cat([edge_index, loops, edge_index], dim=1), y) == found
    assert amud(Graph.from_edge_index(edge_index, 60), y) == found


def test_an_undirected_graph_has_no_direction_to_keep(labelled):
    edge_index, y = labelled
    found = amud(torch.cat([edge_index, edge_index.flip(0)], dim=1), y)
    assert (found.score, found.directed, found.reason) == (0.0, False, "symmetric")
    empty = amud(edge_index[:, :0], y)
    assert (empty.score, empty.reason) == (0.0, "symmetric")
    assert set(empty.r.values()) == {0.0}


def hubs_and_leaves(num_hubs=6, num_leaves=10):
    """Hubs point at leaves; leaves of one hub share a label that no other node has."""
    hub = torch.arange(num_hubs).repeat_interleave(num_leaves)
    leaf = num_hubs + torch.arange(len(hub))
    y = torch.cat([torch.arange(num_hubs) + num_hubs, hub])
    return torch.stack([hub, leaf]), y


def test_leaves_that_share_a_hub_are_found_by_predecessors_alone():
    edge_index, y = hubs_and_leaves()
    found = amud(edge_index, y)
    assert found.r["AtA"] == pytest.approx(1.0)
    assert found.r["A"] <= 0
    assert found.directed
    assert found.score == pytest.approx(math.sqrt(2 / 3))  # two of three pairs differ by all
    assert str(found).startswith(f"{NAME}: keep the arcs; ")


def test_random_labels_are_no_evidence():
    edge_index = random_edges(3000, 12_000, seed=1)
    for seed in range(3):
        y = torch.randint(4, (3000,), generator=torch.Generator().manual_seed(seed))
        found = amud(edge_index, y)
        assert (found.directed, found.reason) == (False, "no_evidence")
        assert amud(edge_index, y, floor=0.0).reason in ("score", "below_threshold")


def skewed(num_nodes=800, seed=0):
    """Arcs that favour low ids and nodes of the same class."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (num_nodes,), generator=generator)
    source = torch.randint(num_nodes, (12 * num_nodes,), generator=generator)
    target = (torch.rand(len(source), generator=generator) ** 3 * num_nodes).long()
    keep = (y[source] == y[target]) | (torch.rand(len(source), generator=generator) < 0.4)
    return torch.stack([source[keep], target[keep]]), y


def test_the_interval_of_a_sample_holds_the_exact_score():
    edge_index, y = skewed()
    exact = amud(edge_index, y, method="exact")
    assert exact.interval is None
    held, widths = 0, []
    for seed in range(40):
        found = amud(edge_index, y, method="sample", num_samples=200, seed=seed)
        assert (found.method, found.num_rows) == ("sampled", 200)
        assert found.r["A"] == exact.r["A"]
        low, high = found.interval
        held += low <= exact.score <= high
        widths.append(high - low)
    assert held >= 34  # of 40; 38 are expected
    assert sum(widths) / len(widths) < 0.4
    again = amud(edge_index, y, method="sample", num_samples=200, seed=39)
    assert again == found


def test_a_sample_of_all_nodes_is_exact_and_more_nodes_narrow_the_interval():
    edge_index, y = skewed()
    assert amud(edge_index, y, method="sample", num_samples=800).method == "exact"
    few, many = (amud(edge_index, y, method="sample", num_samples=n) for n in (100, 700))
    assert many.interval[1] - many.interval[0] < (few.interval[1] - few.interval[0]) / 2
    assert 0 <= few.same_decision <= 1


def test_large_graphs_are_sampled_by_themselves(monkeypatch):
    edge_index, y = skewed()
    assert amud(edge_index, y, num_samples=100).method == "exact"
    monkeypatch.setattr(sys.modules[amud.__module__], "MOST_PATHS", 1000)
    assert amud(edge_index, y, num_samples=100).method == "sampled"
    assert amud(edge_index, y, num_samples=100, method="exact").method == "exact"


def test_splits_that_disagree_are_counted():
    edge_index, y = hubs_and_leaves()
    few = torch.zeros(len(y), dtype=torch.bool)
    few[6:26] = True  # leaves of the first two hubs
    same_reach = torch.zeros_like(few)
    same_reach[[0, 1, 6, 16]] = True
    y = y.clone()
    y[:2] = 0
    stability = amud_over_splits(edge_index, y, torch.stack([few, few, same_reach], dim=1))
    assert [result.directed for result in stability.results] == [True, True, False]
    assert stability.share_directed == pytest.approx(2 / 3)
    assert stability.agreement == pytest.approx(2 / 3)
    assert "2 of 3 splits keep the arcs" in str(stability)
    with pytest.raises(ValueError, match="holds no split"):
        amud_over_splits(edge_index, y, [])


@pytest.mark.parametrize(
    ("y", "settings", "words"),
    [
        (torch.tensor([0, 0, 0, 0]), {}, "at least 2 classes"),
        (torch.tensor([-1, -1, -1, 1]), {}, "at least 2 labelled nodes, got 1"),
        (torch.tensor([0, 1, 2, 3]), {}, "two nodes of the same class"),
        (torch.tensor([0.0, 1.0, 0.0, 1.0]), {}, "y must be .4., an integer class per node"),
        (torch.tensor([0, 1, 0]), {"num_nodes": 4}, "y must be .4., an integer class per node"),
        (torch.tensor([[0], [1], [0], [1]]), {}, "y must be .4., an integer class per node"),
        (torch.tensor([0, 1, 0, 1]), {"method": "all"}, "method must be auto, exact or sample"),
        (torch.tensor([0, 1, 0, 1]), {"num_samples": 1}, "num_samples must be at least 2, got 1"),
        (torch.tensor([0, 1, 0, 1]), {"mask": torch.ones(4)}, "mask must be bool of shape .4."),
        (
            torch.tensor([0, 1, 0, 1]),
            {"mask": torch.tensor([True, False, True, False])},
            "one label for all nodes inside the mask",
        ),
    ],
)
def test_what_cannot_be_asked_is_said(y, settings, words):
    with pytest.raises(ValueError, match=words):
        amud(torch.tensor([[0, 1, 2], [1, 2, 3]]), y, **settings)


def test_arcs_out_of_range_are_refused():
    with pytest.raises(ValueError, match="names node 9"):
        amud(torch.tensor([[0], [9]]), torch.tensor([0, 0, 1]))
