"""Tokens hold what walks can meet, with the edges and weights of the subgraphs they induce."""

import pytest
import torch

from gnnzoo.ops import (
    Bags,
    Graph,
    TokenSettings,
    induced_edges,
    neighborhood_tokens,
    random_walks,
    token_matrix,
)
from gnnzoo.ops.tokens import token_bags
from tests.reference.graphs import kinds, random_edges

SETTINGS = TokenSettings(walk_length=3, num_walks=4, num_repeats=2)


def graph_of(kind: str) -> Graph:
    return Graph.from_edge_index(*kinds()[kind])


def member_sets(graph: Graph, settings: TokenSettings) -> list[list[list[int]]]:
    """Members of every token of every node."""
    tokens, weights = neighborhood_tokens(graph, settings)
    return [
        [(row[present > 0] + node).tolist() for row, present in zip(*parts, strict=True)]
        for node, parts in enumerate(zip(tokens, weights, strict=True))
    ]


def reached(graph: Graph, node: int, hops: int) -> set[int]:
    """Nodes that walks along the edges can meet."""
    found = {node}
    for _ in range(hops):
        found |= {t for s, t in graph.edge_index.t().tolist() if s in found}
    return found


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("nested", [False, True])
def test_tokens_hold_their_node_and_some_within_reach(kind, nested):
    graph = graph_of(kind)
    settings = TokenSettings(3, 4, 2, nested=nested)
    for node, sets in enumerate(member_sets(graph, settings)):
        for place, members in enumerate(sets):
            length = 3 - place // 2
            assert node in members
            assert members == sorted(set(members))
            assert len(members) <= 4 * length + 1
            assert set(members) <= reached(graph, node, length)
        if nested:
            assert all(set(short) <= set(long) for long, short in zip(sets, sets[2:], strict=False))


def test_many_walks_meet_all_that_is_within_reach():
    graph = Graph.from_edge_index(random_edges(9, 12, undirected=True), 9)
    for node, sets in enumerate(member_sets(graph, TokenSettings(2, 200, 1))):
        assert [set(s) for s in sets] == [reached(graph, node, 2), reached(graph, node, 1)]


def test_steps_are_uniform_over_the_neighbours_and_walks_stay_where_there_is_none():
    """A star with its centre 0, and the node 5 that nothing leaves; 4,000 walks."""
    edges = torch.tensor([[0, 0, 0, 0, 1, 2, 3, 4, 4], [1, 2, 3, 4, 0, 0, 0, 0, 5]])
    csr = Graph.from_edge_index(edges, 6).csr.transposed()[0]
    generator = torch.Generator().manual_seed(0)
    walks = random_walks(csr.rowptr, csr.col, torch.zeros(4000).long(), 2, generator)
    count = torch.bincount(walks[:, 1], minlength=6).double()
    assert count[[0, 5]].eq(0).all()
    chi_square = ((count[1:5] - 1000).square() / 1000).sum()
    assert chi_square < 16.3  # one in a thousand with three degrees of freedom
    after_four = walks[walks[:, 1] == 4, 2]
    share = (after_four == 5).double().mean()
    assert abs(share - 0.5) < 0.06
    still = random_walks(csr.rowptr, csr.col, torch.tensor([5, 5]), 3, generator)
    assert still.tolist() == [[5] * 4] * 2
    nothing = csr.rowptr * 0
    assert random_walks(nothing, csr.col[:0], torch.tensor([2]), 2).tolist() == [[2] * 3]
    with pytest.raises(ValueError, match="length must be at least 0, got -1"):
        random_walks(csr.rowptr, csr.col, torch.tensor([0]), -1)


def test_the_seed_alone_decides():
    graph = graph_of("undirected")
    state = torch.get_rng_state()
    first, again = (neighborhood_tokens(graph, SETTINGS) for _ in range(2))
    other = neighborhood_tokens(graph, TokenSettings(3, 4, 2, seed=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])


def test_walks_stay_in_their_graph():
    edges = random_edges(9, 12, undirected=True)
    graph = Graph.from_edge_index(torch.cat([edges, edges + 9], dim=1), 18)
    for node, sets in enumerate(member_sets(graph, SETTINGS)):
        assert all((member < 9) == (node < 9) for members in sets for member in members)


@pytest.mark.parametrize("block", [1, 50, 1 << 20])
@pytest.mark.parametrize("kind", ["directed", "undirected", "empty", "one_loop"])
def test_induced_edges_are_those_between_members_and_no_others(kind, block):
    graph = graph_of(kind)
    n = graph.num_nodes
    sets = [list(range(n)), [0], [], sorted({0, n // 2, n - 1}), list(range(0, n, 2))]
    bags = Bags(
        torch.tensor([0, *torch.tensor([len(s) for s in sets]).cumsum(0).tolist()]),
        torch.tensor([node for s in sets for node in s]),
    )
    owner, edges = bags.owner(), induced_edges(graph.csr, bags, block)
    found = {(int(owner[s]), int(bags.node[s]), int(bags.node[t])) for s, t in edges.t().tolist()}
    pairs = {tuple(pair) for pair in graph.edge_index.t().tolist()}
    want = {(b, s, t) for b, members in enumerate(sets) for s, t in pairs if {s, t} <= {*members}}
    assert found == want
    assert len(found) == edges.size(1)
    assert torch.equal(owner[edges[0]], owner[edges[1]])


@pytest.mark.parametrize("weights", ["mean", "sgc"])
@pytest.mark.parametrize("kind", kinds())
def test_the_product_is_the_mean_over_members_after_a_step_within_the_token(kind, weights):
    graph = graph_of(kind)
    settings = TokenSettings(2, 3, 2, weights=weights)
    tokens, values = neighborhood_tokens(graph, settings)
    x = torch.randn(graph.num_nodes, 5, dtype=torch.float64)
    adjacency = (graph.matrix().to_dense() > 0).double()
    want = []
    for node, (row, weight) in enumerate(zip(tokens, values, strict=True)):
        for token, present in zip(row, weight, strict=True):
            members = (token[present > 0] + node).long()
            a = adjacency[members][:, members]
            a.fill_diagonal_(1)
            scale = a.sum(1).rsqrt()
            step = (
                scale.unsqueeze(1) * a * scale if weights == "sgc" else torch.eye(len(a)).double()
            )
            want.append((step @ x[members]).mean(0))
    found = token_matrix(tokens, values).astype(torch.float64).to_dense() @ x
    torch.testing.assert_close(found, torch.stack(want), rtol=1e-5, atol=1e-6)
    assert token_matrix(tokens, values) is token_matrix(tokens, values)
    bags, _ = token_bags(tokens, values)
    assert bags.num_bags == graph.num_nodes * 4


def test_rows_of_whole_graphs_can_be_put_one_behind_another():
    graph, n = graph_of("undirected"), 9
    tokens, weights = neighborhood_tokens(graph, SETTINGS)
    one = token_matrix(tokens, weights).to_dense()
    two = token_matrix(torch.cat([tokens, tokens]), torch.cat([weights, weights])).to_dense()
    assert torch.equal(two, torch.block_diag(one, one))
    assert two.shape == (2 * n * 6, 2 * n)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("walk_length", -1, "walk_length must be an integer of at least 0, got -1"),
        ("num_walks", 0, "num_walks must be an integer of at least 1, got 0"),
        ("num_repeats", 0, "num_repeats must be an integer of at least 1, got 0"),
        ("weights", "max", "weights must be one of 'mean', 'sgc', got 'max'"),
    ],
)
def test_what_cannot_be_drawn_is_named(setting, value, message):
    with pytest.raises(ValueError, match=message):
        TokenSettings(**{setting: value})


def test_tokens_and_weights_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"must have the same shape.*got \[2, 3, 4\] and \[2, 3\]"):
        token_matrix(torch.zeros(2, 3, 4), torch.zeros(2, 3))
