"""Streaming over the hops equals a stack of dense powers, node by node."""

import math

import pytest
import torch
from torch_geometric.utils import to_undirected

from gnnzoo.nn import NodeAdaptiveCombine
from gnnzoo.ops import Graph, SparseFeatures, connected_components
from tests.reference import adaptive_hops as reference
from tests.reference.graphs import kinds, random_edges


def two_parts() -> torch.Tensor:
    """Components of several nodes, one with a self-loop, and an isolated node."""
    first = to_undirected(random_edges(6, 8, loops=False))
    return torch.cat([first, torch.tensor([[6, 7, 7, 8, 8], [7, 6, 8, 7, 8]])], dim=1)


def features(num_nodes=10, low=-1.0):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(num_nodes, 4, generator=generator, dtype=torch.float64) * (1 - low) + low
    x[min(2, num_nodes - 1)] = 0.0
    return x


@pytest.mark.parametrize("r", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("stationary", ["matched", "random_walk"])
@pytest.mark.parametrize("temperature", [1.0, 0.01])
def test_equals_the_dense_reference(r, stationary, temperature):
    x, edges = features(), two_parts()
    layer = NodeAdaptiveCombine(5, r, stationary, temperature)
    out, weights = layer(x, edges, return_weights=True)
    limit_r = r if stationary == "matched" else 0.0
    want, want_weights = reference.combined(x, edges, 5, r, limit_r, temperature)
    torch.testing.assert_close(weights, want_weights)
    torch.testing.assert_close(out, want)
    torch.testing.assert_close(layer(SparseFeatures.from_dense(x), edges), want)


@pytest.mark.parametrize("combine", ["last", "mean", "concat"])
def test_plain_combinations(combine):
    x, edges = features(), two_parts()
    hops = reference.stack(x, edges, 3, 0.5)
    want = {"last": hops[-1], "mean": hops.mean(0), "concat": torch.cat([*hops], 1)}[combine]
    torch.testing.assert_close(NodeAdaptiveCombine(3, combine=combine)(x, edges), want)
    torch.testing.assert_close(NodeAdaptiveCombine(0, combine=combine)(x, edges), x)
    with pytest.raises(ValueError, match="has no weights"):
        NodeAdaptiveCombine(3, combine=combine)(x, edges, return_weights=True)


def test_weights_of_features_without_signs_are_within_bounds():
    x, hops = features(low=0.0), 6
    _, weights = NodeAdaptiveCombine(hops)(x, two_parts(), return_weights=True)
    torch.testing.assert_close(weights.sum(1), torch.ones(10, dtype=torch.float64))
    assert weights.min() >= 1 / (1 + hops * math.e)
    assert weights.max() <= math.e / (math.e + hops)


def test_isolated_nodes_and_no_hops_change_nothing():
    x = features()
    out, weights = NodeAdaptiveCombine(4)(x, two_parts(), return_weights=True)
    torch.testing.assert_close(out[9], x[9])
    torch.testing.assert_close(weights[9], torch.full((5,), 0.2, dtype=torch.float64))
    torch.testing.assert_close(NodeAdaptiveCombine(0)(x, two_parts()), x)


@pytest.mark.parametrize("r", [0.0, 0.3, 0.5])
def test_smoothing_ends_at_the_matched_limit(r):
    x, edges = features(low=0.0), two_parts()
    far, late = reference.limit(x, edges, r), reference.stack(x, edges, 200, r)[-1]
    torch.testing.assert_close(late, far)


def test_relabelling_union_and_scale():
    x, edges, layer = features(), two_parts(), NodeAdaptiveCombine(4)
    want = layer(x, edges)
    order = torch.randperm(10)
    torch.testing.assert_close(layer(x[order], order.argsort()[edges]), want[order])
    twice = layer(torch.cat([x, 3 * x]), torch.cat([edges, edges + 10], dim=1))
    torch.testing.assert_close(twice, torch.cat([want, 3 * want]))


def test_gradients_reach_the_features():
    x = torch.rand(5, 3, dtype=torch.float64, requires_grad=True)
    edges = to_undirected(random_edges(5, 8))
    layer = NodeAdaptiveCombine(2)
    assert torch.autograd.gradcheck(lambda x: layer(x, edges), (x,))


def test_weights_of_edges_count():
    x, edges = features(), two_parts()
    table = torch.rand(10, 10, dtype=torch.float64)
    weight = (table + table.t())[edges[0], edges[1]]
    layer = NodeAdaptiveCombine(3)
    torch.testing.assert_close(layer(x, edges, torch.ones_like(weight)), layer(x, edges))
    assert not torch.allclose(layer(x, edges, weight), layer(x, edges))


@pytest.mark.parametrize("kind", ["empty", "one_node", "one_loop"])
def test_degenerate_graphs(kind):
    edges, num_nodes = kinds()[kind]
    x = features(num_nodes)
    torch.testing.assert_close(NodeAdaptiveCombine(3)(x, edges), x)


def test_bad_input_is_named():
    x = features()
    directed = torch.tensor([[0, 1], [1, 2]])
    with pytest.raises(ValueError, match=r"the graph is directed.*to_undirected=True"):
        NodeAdaptiveCombine(2)(x, directed)
    both = NodeAdaptiveCombine(2, to_undirected=True)(x, directed)
    torch.testing.assert_close(both, NodeAdaptiveCombine(2)(x, to_undirected(directed)))
    x[0, 0] = torch.nan
    with pytest.raises(ValueError, match="x must be finite"):
        NodeAdaptiveCombine(2)(x, two_parts())
    for settings, message in (
        ({"num_hops": -1}, "num_hops must be an integer of at least 0, got -1"),
        ({"num_hops": 1, "r": 2}, r"r must be a number in \[0, 1\], got 2"),
        ({"num_hops": 1, "temperature": 0}, "temperature must be positive, got 0"),
        ({"num_hops": 1, "stationary": "x"}, "stationary must be one of 'matched'"),
        ({"num_hops": 1, "combine": "x"}, "combine must be one of 'adaptive'"),
    ):
        with pytest.raises(ValueError, match=message):
            NodeAdaptiveCombine(**settings)
    assert repr(NodeAdaptiveCombine(2)) == (
        "NodeAdaptiveCombine(num_hops=2, r=0.5, combine='adaptive')"
    )


@pytest.mark.parametrize("seed", range(5))
def test_components_are_those_that_paths_join(seed):
    edges = random_edges(30, 22, seed=seed)
    found = connected_components(Graph.from_edge_index(edges, 30))
    a = torch.eye(30)
    a[edges[0], edges[1]] = a[edges[1], edges[0]] = 1.0
    reach = torch.linalg.matrix_power(a.double(), 30) > 0
    assert torch.equal(found[:, None] == found[None, :], reach)
    assert found.unique().tolist() == list(range(int(found.max()) + 1))


def test_components_of_a_long_path_in_random_order():
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    edges = torch.stack([order[:-1], order[1:]])
    assert connected_components(Graph.from_edge_index(edges, 500)).max() == 0
