"""Nodes line up by importance, within their graphs, and the same way at every evaluation."""

import pytest
import torch

from gnnzoo.ops import Graph, NodeOrder, SparseFeatures
from gnnzoo.ops.node_order import importance
from tests.reference.graphs import random_edges

NODES = 24
BATCH = torch.tensor([0] * 10 + [1] + [3] * 13)


def edges(seed: int = 0) -> torch.Tensor:
    """Edges within graphs, the node 10 a graph of its own."""
    pairs = random_edges(NODES + 1, 60, seed, undirected=True, loops=False)
    return pairs[:, BATCH[pairs[0]] == BATCH[pairs[1]]]


@pytest.fixture
def graph():
    return Graph.from_edge_index(edges(), NODES)


def lines(line) -> torch.Tensor:
    return line.nodes.view(line.num_orders, -1)


@pytest.mark.parametrize("order", ["degree", "pagerank", "none"])
@pytest.mark.parametrize("tie", ["noise", "index", "canonical"])
@pytest.mark.parametrize("training", [False, True])
def test_every_order_is_by_graph_and_then_by_importance(order, tie, training, graph):
    x = torch.randn(NODES, 3)
    line = NodeOrder(order, tie, eval_draws=3).draw(graph, BATCH, x, training)
    key = torch.zeros(NODES) if order == "none" else importance(graph, order)
    for nodes in lines(line):
        assert nodes.sort().values.tolist() == list(range(NODES))
        assert torch.equal(BATCH[nodes], BATCH)
        for part in (nodes[:10], nodes[10:11], nodes[11:]):
            assert (key[part].diff() >= 0).all()
    starts = line.sequences.start.view(line.num_orders, -1).nonzero()[:, 1]
    assert starts.tolist() == [0, 10, 11] * line.num_orders
    assert line.num_orders == (3 if tie == "noise" and not training else 1)


def test_noise_shuffles_equals_only_and_index_keeps_them(graph):
    drawn = [lines(NodeOrder().draw(graph, training=True))[0] for _ in range(20)]
    degree = graph.in_degree()
    assert len({tuple(nodes.tolist()) for nodes in drawn}) == 20
    assert all(torch.equal(degree[nodes], degree.sort().values) for nodes in drawn)
    kept = lines(NodeOrder(tie="index").draw(graph, training=True))[0]
    assert torch.equal(kept, degree.argsort(stable=True))


def test_evaluation_depends_on_the_graph_alone(graph):
    order, state = NodeOrder(eval_draws=4, num_bins=2), torch.get_rng_state()
    found, again = (order.draw(graph, BATCH) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found.nodes, again.nodes)
    assert torch.equal(found.sequences.start, again.sequences.start)
    assert not torch.equal(lines(found)[0], lines(found)[1])
    assert not torch.equal(found.nodes, order.draw(graph, BATCH, salt=1).nodes)
    last = Graph.from_edge_index(graph.edge_index[:, graph.edge_index[0] > 10] - 11, 13)
    assert torch.equal(lines(order.draw(last)), lines(found)[:, 11:] - 11)


def test_graphs_may_stand_in_any_order(graph):
    mixed = torch.randperm(NODES)
    moved = Graph.from_edge_index(mixed.argsort()[graph.edge_index], NODES)
    nodes = lines(NodeOrder().draw(moved, BATCH[mixed]))[0]
    assert torch.equal(BATCH[mixed][nodes], BATCH)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("order", ["degree", "pagerank"])
def test_canonical_orders_move_with_the_labels(order, sparse):
    kind = NodeOrder(order, tie="canonical")
    for seed in range(5):
        torch.manual_seed(seed)
        graph, x = Graph.from_edge_index(edges(seed), NODES), torch.randn(NODES, 4)
        mixed = torch.randperm(NODES)
        moved = Graph.from_edge_index(mixed.argsort()[graph.edge_index], NODES)
        xs = (SparseFeatures.from_dense(x), SparseFeatures.from_dense(x[mixed]))
        first, second = xs if sparse else (x, x[mixed])
        nodes = kind.draw(graph, BATCH, first).nodes
        assert torch.equal(mixed[kind.draw(moved, BATCH[mixed], second).nodes], nodes)


def test_structure_tells_apart_what_degrees_cannot():
    """A path that ends in a triangle, without any features."""
    pairs = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 3]]).t()
    graph = Graph.from_edge_index(torch.cat([pairs, pairs.flip(0)], dim=1), 6)
    nodes = NodeOrder(tie="canonical").draw(graph).nodes.tolist()
    assert nodes[0] == 0
    assert nodes[-1] == 3
    assert nodes.index(1) < nodes.index(2)  # fewer neighbours' neighbours


def test_pagerank_is_its_fixed_point(graph):
    rank = importance(graph, "pagerank")
    step = graph.matrix().to_dense().double() / graph.out_degree().clamp(min=1)
    exact = torch.linalg.solve(
        torch.eye(NODES).double() - 0.85 * step, torch.full((NODES,), 0.15).double()
    )
    torch.testing.assert_close(rank, exact, rtol=0.05, atol=0.0)


def test_bins_deal_nodes_out_and_keep_the_order_within(graph):
    line = NodeOrder(num_bins=3).draw(graph, BATCH)
    degree = graph.in_degree()
    assert 3 < int(line.sequences.start.sum()) <= 9
    for part in line.nodes.tensor_split(line.sequences.start.nonzero().view(-1)[1:]):
        assert BATCH[part].unique().numel() == 1
        assert (degree[part].diff() >= 0).all()


def test_lining_up_and_putting_back_undo_each_other(graph):
    line, x = NodeOrder(eval_draws=3).draw(graph, BATCH), torch.randn(NODES, 2)
    y = line.line_up(x)
    assert torch.equal(y, x[line.nodes])
    torch.testing.assert_close(line.put_back(y), x)
    places = torch.arange(3 * NODES).view(-1, 1).double()
    torch.testing.assert_close(line.put_back(places)[:, 0], line.places.double().mean(0))


def test_a_key_of_ones_own_counts_instead(graph):
    key = torch.randperm(NODES)
    line = NodeOrder(tie="index").draw(graph, order_key=key)
    assert torch.equal(line.nodes, key.argsort())
    with pytest.raises(ValueError, match=r"order_key must have shape \[24\], got \[3\]"):
        NodeOrder().draw(graph, order_key=key[:3])


@pytest.mark.parametrize("kind", [NodeOrder(), NodeOrder("pagerank", "canonical", num_bins=2)])
def test_no_nodes_and_no_edges_are_no_special_case(kind):
    for n in (0, 1, 3):
        graph = Graph.from_edge_index(torch.empty(2, 0).long(), n)
        for training in (False, True):
            line = kind.draw(graph, None, torch.ones(n, 2), training)
            assert line.nodes.sort().values.tolist() == list(range(n))


def test_unknown_orders_are_named():
    with pytest.raises(ValueError, match="order must be one of 'degree', 'pagerank', 'none', got"):
        NodeOrder("hac")
    with pytest.raises(ValueError, match="tie must be one of 'noise', 'index', 'canonical', got"):
        NodeOrder(tie="coin")
    for name in ("eval_draws", "num_bins"):
        with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1, got 0"):
            NodeOrder(**{name: 0})
