import pytest
import torch

from gnnzoo import nn
from gnnzoo.nn import source_blocks, walk_heuristics
from gnnzoo.ops import Graph, drop_links
from tests.reference import heuristics
from tests.reference.dense import adjacency
from tests.reference.graphs import kinds, random_edges

F64 = torch.float64
SCORERS = {
    "cn": nn.CommonNeighbors,
    "aa": nn.AdamicAdar,
    "ra": nn.ResourceAllocation,
    "katz": nn.Katz,
    "katz_one": lambda: nn.Katz(0.1, max_length=1),
    "katz_two": lambda: nn.Katz(0.1, max_length=2),
    "katz_five": lambda: nn.Katz(0.1, max_length=5),
    "katz_all": lambda: nn.Katz(0.02, max_length=None),
    "ppr": nn.PersonalizedPageRank,
    "ppr_symmetric": lambda: nn.PersonalizedPageRank(symmetric=True),
    "sp": nn.ShortestPath,
}
SYMMETRIC = set(SCORERS) - {"ppr"}
GRAPHS = {**kinds(), "larger": (random_edges(40, 70, undirected=True), 40)}


def dense(name: str, edge_index: torch.Tensor, n: int) -> torch.Tensor:
    a = adjacency(edge_index, n).clamp(max=1).fill_diagonal_(0)
    degree = a.sum(0)
    if name == "cn":
        return heuristics.overlap(a, torch.ones(n, dtype=F64))
    if name in ("aa", "ra"):
        value = 1 / (degree.log() if name == "aa" else degree)
        return heuristics.overlap(a, value.nan_to_num(posinf=0, neginf=0))
    if name.startswith("katz"):
        scorer = SCORERS[name]()
        return heuristics.katz(a, scorer.beta, scorer.max_length)
    if name.startswith("ppr"):
        pi = heuristics.pagerank(a, 0.85)
        return pi + pi.T if name == "ppr_symmetric" else pi
    return heuristics.inverse_distance(a)


def all_pairs(n: int) -> torch.Tensor:
    return torch.cartesian_prod(torch.arange(n), torch.arange(n)).view(-1, 2).T


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("kind", GRAPHS)
def test_equals_the_dense_formula(name, kind):
    edge_index, n = GRAPHS[kind]
    graph, pairs = Graph.from_edge_index(edge_index, n), all_pairs(n)
    pairs = pairs[:, torch.randperm(pairs.size(1))]
    out = SCORERS[name]()(None, graph, pairs)
    assert out.dtype == torch.float32
    want = dense(name, edge_index, n)[pairs[0], pairs[1]]
    torch.testing.assert_close(out.double(), want, rtol=1e-5, atol=2e-7)


@pytest.mark.parametrize("name", SCORERS)
def test_pairs_may_be_many_or_few_on_either_side(name):
    edge_index, n = GRAPHS["larger"]
    graph, want = Graph.from_edge_index(edge_index, n), dense(name, edge_index, n)
    one_to_all = torch.stack([torch.full((n,), 3), torch.arange(n)])
    for pairs in (one_to_all, one_to_all.flip(0), one_to_all[:, [5, 5, 2]].int()):
        out = SCORERS[name]()(None, graph, pairs)
        expected = want[pairs[0].long(), pairs[1].long()]
        torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=2e-7)
    assert SCORERS[name]()(None, graph, one_to_all[:, :0]).shape == (0,)


@pytest.mark.parametrize("name", [n for n in SCORERS if n[:2] in ("ka", "pp", "sp")])
@pytest.mark.parametrize("limit", ["MAX_VALUES", "MAX_ITEMS"])
def test_small_blocks_give_the_same(name, limit, monkeypatch):
    edge_index, n = GRAPHS["larger"]
    graph, pairs = Graph.from_edge_index(edge_index, n), all_pairs(n)
    want = SCORERS[name]()(None, graph, pairs)
    for most in (1, 100):
        monkeypatch.setattr(source_blocks, limit, most)
        torch.testing.assert_close(SCORERS[name]()(None, graph, pairs), want)


@pytest.mark.parametrize("name", ["katz", "katz_five", "katz_all"])
def test_walks_are_the_same_listed_or_multiplied(name, monkeypatch):
    edge_index, n = GRAPHS["larger"]
    graph, pairs = Graph.from_edge_index(edge_index, n), all_pairs(n)
    outs = []
    for cost in (0, 10**9):
        monkeypatch.setattr(walk_heuristics, "WALK_COST", cost)
        outs.append(SCORERS[name]()(None, graph, pairs))
    torch.testing.assert_close(outs[0], outs[1])


@pytest.mark.parametrize("name", sorted(SYMMETRIC))
def test_scores_are_symmetric_on_undirected_graphs(name):
    edge_index, n = GRAPHS["larger"]
    graph, pairs = Graph.from_edge_index(edge_index, n), all_pairs(n)
    scorer = SCORERS[name]()
    torch.testing.assert_close(scorer(None, graph, pairs), scorer(None, graph, pairs.flip(0)))


@pytest.mark.parametrize("name", SCORERS)
def test_a_graph_without_some_links_is_read_as_it_is(name):
    edge_index, n = GRAPHS["larger"]
    graph = Graph.from_edge_index(edge_index, n)
    links = graph.edge_index[:, graph.edge_index[0] < graph.edge_index[1]][:, :9]
    part = drop_links(graph, links)
    want = dense(name, part.edge_index, n)[links[0], links[1]]
    out = SCORERS[name]()(None, part, links)
    torch.testing.assert_close(out.double(), want, rtol=1e-5, atol=2e-7)


@pytest.mark.parametrize("name", ["cn", "aa", "ra"])
def test_weights_multiply_and_repeated_edges_add_up(name):
    edges = random_edges(12, 30, undirected=True)
    edges = torch.cat([edges, edges[:, :10], edges[:, :10].flip(0)], dim=1)
    table = torch.randint(1, 5, (12, 12)).double()
    weight = (table + table.T)[edges[0], edges[1]]
    a = adjacency(edges, 12, weight).fill_diagonal_(0)
    degree = a.sum(0)
    value = {"cn": torch.ones_like(degree), "aa": 1 / degree.log(), "ra": 1 / degree}[name]
    want = heuristics.overlap(a, value.nan_to_num(posinf=0, neginf=0))
    pairs = all_pairs(12)
    graph = Graph.from_edge_index(edges, 12)
    out = SCORERS[name]()(None, graph, pairs, weight.float())
    torch.testing.assert_close(out.double(), want[pairs[0], pairs[1]], rtol=1e-5, atol=1e-6)


def test_a_node_with_itself_is_no_near_pair():
    graph = Graph.from_edge_index(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), 4)
    pairs = torch.tensor([[0, 0, 0, 0, 3], [0, 1, 2, 3, 3]])
    out = nn.ShortestPath()(None, graph, pairs)
    torch.testing.assert_close(out, torch.tensor([1 / 999, 1, 0.5, 1 / 999, 1 / 999]))


def test_a_path_follows_the_direction_of_edges():
    graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 2]]), 3)
    pairs = torch.tensor([[0, 2], [2, 0]])
    assert nn.ShortestPath()(None, graph, pairs).tolist() == pytest.approx([0.5, 1 / 999])
    assert (nn.PersonalizedPageRank()(None, graph, pairs) > 0).tolist() == [True, False]


def test_pagerank_of_one_source_adds_up_to_one():
    edge_index, n = GRAPHS["larger"]
    graph = Graph.from_edge_index(edge_index, n)
    for source in (3, n - 1):  # the last is isolated
        pairs = torch.stack([torch.full((n,), source), torch.arange(n)])
        assert nn.PersonalizedPageRank()(None, graph, pairs).sum().item() == pytest.approx(1.0)


def test_too_heavy_walks_are_refused():
    graph = Graph.from_edge_index(*GRAPHS["larger"])
    with pytest.raises(ValueError, match=r"beta=0.9 is too large for all walks"):
        nn.Katz(0.9, max_length=None)(None, graph, all_pairs(5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Katz(0), "beta must be positive, got 0"),
        (lambda: nn.Katz(max_length=0), "max_length must be an integer of at least 1, got 0"),
        (lambda: nn.PersonalizedPageRank(1.0), r"damping must be in \[0, 1\), got 1.0"),
        (lambda: nn.PersonalizedPageRank(tol=0), r"tol must be in \(0, 1\), got 0"),
    ],
)
def test_bad_settings_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", SCORERS)
def test_bad_pairs_are_named_and_nothing_is_learned(name):
    graph, scorer = Graph.from_edge_index(*GRAPHS["larger"]), SCORERS[name]()
    with pytest.raises(ValueError, match=r"\[2, num_pairs\], got \[3, 2\]"):
        scorer(None, graph, torch.zeros(3, 2).long())
    with pytest.raises(ValueError, match=r"node 40.*\[0, 40\)"):
        scorer(None, graph, torch.full((2, 1), 40))
    assert scorer.in_channels is None
    assert scorer.reads_graph
    assert not list(scorer.parameters())
    assert repr(scorer).startswith(type(scorer).__name__ + "(")
