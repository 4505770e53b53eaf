"""Propagation along directed patterns equals products of dense matrices that are really made."""

import pytest
import torch

from gnnzoo.ops import Graph, PatternSettings, SparseFeatures, directed_patterns, fill_patterns
from gnnzoo.ops.pattern_words import reverse
from gnnzoo.ops.patterns import pattern_operators, propagate_along
from tests.live_bytes import PeakBytes
from tests.reference import patterns as reference
from tests.reference.graphs import kinds, random_edges

GRAPHS = kinds()


def filled(x, edge_index, settings, **options):
    graph = Graph.from_edge_index(edge_index, x.size(0))
    out = torch.full((x.size(0), settings.num_rows, x.size(1)), torch.nan, dtype=x.dtype)
    fill_patterns(out, x, graph, settings, **options)
    return out


def features(num_nodes, channels=5, density=0.5):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(num_nodes, channels, generator=generator, dtype=torch.float64)
    return x * (torch.rand(num_nodes, channels, generator=generator) < density)


def test_one_edge_shows_the_direction():
    """0 points at 1: node 0 hears from its successor, node 1 from its predecessor."""
    settings = PatternSettings(order=1, num_hops=1, r=0.0, self_loops=False)
    x = torch.tensor([[10.0], [20.0]])
    out = filled(x, torch.tensor([[0], [1]]), settings)
    assert settings.patterns == ("successors", "predecessors")
    assert out[:, 1].tolist() == [[20.0], [0.0]]
    assert out[:, 2].tolist() == [[0.0], [10.0]]


def test_words_are_read_from_the_node_outwards():
    """0 and 1 both point at 2, so each hears from the other, and 2 from nobody."""
    patterns = ("successors/predecessors", "predecessors/successors")
    settings = PatternSettings(patterns, num_hops=1, r=0.0)
    x = torch.tensor([[1.0], [3.0], [100.0]])
    out = filled(x, torch.tensor([[0, 1], [2, 2]]), settings)
    assert out[:, 1].tolist() == [[2.0], [2.0], [0.0]]  # the node itself counts, as in A A^T
    assert out[:, 2].tolist() == [[0.0], [0.0], [100.0]]


@pytest.mark.parametrize("kind", GRAPHS)
@pytest.mark.parametrize("decay", [None, "official", "gcnii"])
@pytest.mark.parametrize("r", [0.0, 0.25, 0.5, 1.0])
def test_stacks_equal_the_dense_reference(kind, decay, r):
    edge_index, num_nodes = GRAPHS[kind]
    x = features(num_nodes)
    for norm, loops in (("row", True), ("dir", True), ("row", False)):
        settings = PatternSettings(None, 2, 2, r, norm, loops, decay)
        want = reference.stacks(x, edge_index, settings.patterns, 2, r, decay, norm, loops)
        for block in (1, 2, 5, 100):
            found = filled(x, edge_index, settings, block_channels=block)
            torch.testing.assert_close(found, want)
        sparse = SparseFeatures.from_dense(x)
        found = torch.full_like(want, torch.nan)
        graph = Graph.from_edge_index(edge_index, num_nodes)
        fill_patterns(found, sparse, graph, settings, block_channels=2)
        torch.testing.assert_close(found, want)


@pytest.mark.parametrize("backend", ["csr", "torch"])
def test_third_order_and_back_ends(backend):
    from gnnzoo.ops import backends

    edge_index, x = random_edges(12, 40, seed=3), features(12)
    settings = PatternSettings(order=3, num_hops=3, r=0.3)
    assert len(settings.patterns) == 14
    want = reference.stacks(x, edge_index, settings.patterns, 3, 0.3)
    with backends.use(backend):
        torch.testing.assert_close(filled(x, edge_index, settings), want)
        sparse = SparseFeatures.from_dense(x)
        found = torch.empty_like(want)
        fill_patterns(found, sparse, Graph.from_edge_index(edge_index, 12), settings)
        torch.testing.assert_close(found, want)


@pytest.mark.parametrize("pattern", directed_patterns(3))
def test_the_differentiable_step_is_the_same_and_passes_gradcheck(pattern):
    edge_index, x = random_edges(8, 20), features(8, 3)
    graph = Graph.from_edge_index(edge_index, 8)
    settings = PatternSettings((pattern,), num_hops=2, hop_decay="gcnii", r=0.3)
    stack = filled(x, edge_index, settings)
    first = propagate_along(x, graph, pattern, settings, 1)
    torch.testing.assert_close(first, stack[:, 1])
    torch.testing.assert_close(propagate_along(first, graph, pattern, settings, 2), stack[:, 2])
    x.requires_grad_()
    step = lambda x: propagate_along(x, graph, pattern, settings, 1)  # noqa: E731
    assert torch.autograd.gradcheck(step, (x,))


@pytest.mark.parametrize("pattern", directed_patterns(3))
def test_row_sums_are_those_of_the_matrix(pattern):
    edge_index = random_edges(9, 30, seed=2)
    operators = pattern_operators(Graph.from_edge_index(edge_index, 9))
    m = reference.word_matrix(edge_index, 9, pattern, loops=False)
    assert torch.equal(operators.row_sums(pattern), m.sum(1))
    assert torch.equal(operators.row_sums(reverse(pattern)), m.sum(0))


def test_row_sums_are_exact_where_single_precision_is_not():
    """Four layers of 301 nodes, each pointing at all of the next: 301**3 walks, an odd number."""
    n = 301
    step = torch.cartesian_prod(torch.arange(n), torch.arange(n, 2 * n)).t()
    graph = Graph.from_edge_index(torch.cat([step, step + n, step + 2 * n], dim=1), 4 * n)
    sums = pattern_operators(graph).row_sums("successors/successors/successors")
    assert n**3 > 2**24
    assert sums[:n].unique().tolist() == [n**3]


def test_constant_features_stay_constant_where_there_is_a_walk():
    edge_index = random_edges(9, 24)
    settings = PatternSettings(r=0.0, num_hops=1)
    out = filled(torch.ones(9, 2, dtype=torch.float64), edge_index, settings)
    for i, pattern in enumerate(settings.patterns):
        reached = reference.word_matrix(edge_index, 9, pattern).sum(1) > 0
        torch.testing.assert_close(out[reached, 1 + i], torch.ones_like(out[reached, 1 + i]))
        assert (out[~reached, 1 + i] == 0).all()


def test_undirected_graphs_have_two_patterns_and_reversal_swaps():
    x = features(9)
    settings = PatternSettings()
    out = filled(x, random_edges(9, 12, undirected=True), settings)[:, 1:].view(9, 6, 2, -1)
    torch.testing.assert_close(out[:, 0], out[:, 1])
    for i in (3, 4, 5):
        torch.testing.assert_close(out[:, 2], out[:, i])
    edge_index = random_edges(9, 24)
    forth = filled(x, edge_index, settings)[:, 1:].view(9, 6, 2, -1)
    back = filled(x, edge_index.flip(0), settings)[:, 1:].view(9, 6, 2, -1)
    torch.testing.assert_close(forth[:, [1, 0, 5, 4, 3, 2]], back)


def test_relabelling_permutes_and_repeats_and_loops_do_not_count():
    edge_index, x = random_edges(9, 24), features(9)
    settings = PatternSettings()
    want = filled(x, edge_index, settings)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    moved = filled(x[order], order.argsort()[edge_index], settings)
    torch.testing.assert_close(moved, want[order])
    loops = torch.arange(9).expand(2, 9)
    more = torch.cat([edge_index, edge_index[:, :7], loops], dim=1)
    assert torch.equal(filled(x, more, settings), want)


def test_no_hops_leave_the_features():
    x = features(9)
    assert torch.equal(filled(x, random_edges(9, 24), PatternSettings(num_hops=0))[:, 0], x)


@pytest.mark.parametrize("sparse", [False, True])
def test_memory_beyond_the_output_is_at_most_four_blocks(sparse):
    num_nodes, channels, block = 3000, 96, 32
    x = features(num_nodes, channels, density=0.02).float()
    graph = Graph.from_edge_index(random_edges(num_nodes, 6000), num_nodes)
    settings = PatternSettings()
    out = torch.empty(num_nodes, settings.num_rows, channels)
    small = torch.empty(num_nodes, settings.num_rows, 1)
    fill_patterns(small, x[:, :1], graph, settings)  # what is kept per graph is made
    given = SparseFeatures.from_dense(x) if sparse else x
    held = [given.matrix.csr.row, given.matrix.csr.col, given.matrix.values] if sparse else [given]
    with PeakBytes([out, *held]) as memory:
        fill_patterns(out, given, graph, settings, block_channels=block)
    one = num_nodes * block * 4
    assert one < memory.peak <= 4 * one
    if not sparse:  # nothing is let go and asked for again between blocks
        assert memory.total <= 4 * one


BAD = [
    ({"patterns": ["A"]}, "no pattern 'A'; there are successors, predecessors, successors/succ"),
    ({"patterns": ["/".join(["successors"] * 4)]}, "at most 3 letters"),
    ({"patterns": "successors"}, "must list patterns"),
    ({"patterns": []}, "at least one"),
    ({"patterns": ["successors", "successors"]}, "must be different"),
    ({"order": 4}, "order must be an integer from 1 to 3, got 4"),
    ({"num_hops": -1}, "num_hops must be an integer of at least 0, got -1"),
    ({"r": 1.5}, r"r must be a number in \[0, 1\], got 1.5"),
    ({"norm": "column"}, "norm must be one of 'row', 'dir', got 'column'"),
    ({"hop_decay": "half"}, "hop_decay must be one of None, 'official', 'gcnii', got 'half'"),
]


@pytest.mark.parametrize(("settings", "message"), BAD)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        PatternSettings(**settings)


def test_negative_factors_are_warned_of():
    with pytest.warns(UserWarning, match="negative factors from the third hop"):
        settings = PatternSettings(num_hops=3, hop_decay="official")
    assert [round(settings.factor(hop), 6) for hop in (1, 2, 3)] == [1.000001, 0.306854, -0.098611]
