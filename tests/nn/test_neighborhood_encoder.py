"""Nodes are told apart by their tokens, the same way for any size of blocks."""

import pytest
import torch

from gnnzoo.nn import NeighborhoodEncoder
from gnnzoo.ops import Graph, SparseFeatures, TokenSettings, neighborhood_tokens
from tests.reference.graphs import kinds

F64 = torch.float64
CLOSE = {"rtol": 1e-9, "atol": 1e-10}
SETTINGS = TokenSettings(3, 2, 2)


def encoder(num_layers=2, **settings) -> NeighborhoodEncoder:
    torch.manual_seed(0)
    settings = {"num_repeats": 2, "ssm": {"head_dim": 4}, **settings}
    return NeighborhoodEncoder(5, 8, num_layers=num_layers, **settings).double()


def problem(kind="undirected"):
    graph = Graph.from_edge_index(*kinds()[kind])
    torch.manual_seed(1)
    x = torch.randn(graph.num_nodes, 5, dtype=F64)
    return x, *neighborhood_tokens(graph, SETTINGS)


@pytest.mark.parametrize("num_layers", [1, 2])
def test_equals_the_equations_node_by_node(num_layers):
    layer, (x, tokens, weights) = encoder(num_layers).eval(), problem()
    want = []
    for node in range(9):
        sequence = []
        for token, weight in zip(tokens[node], weights[node], strict=True):
            members = (token[weight > 0] + node).long()
            sequence.append(layer.token_lin(x[members]).mean(0))
        h = torch.stack([*sequence, layer.node_lin(x[node])])
        for scan in layer.layers:
            h = scan(h)
        want.append(h[-1])
    found = layer(x, tokens, weights)
    torch.testing.assert_close(found, torch.stack(want), rtol=1e-6, atol=1e-7)  # weights: float32


@pytest.mark.parametrize("kind", kinds())
def test_awkward_graphs_give_numbers(kind):
    x, tokens, weights = problem(kind)
    layer = encoder()
    layer(x, tokens, weights).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("size", [1, 4, 9, 100])
def test_blocks_change_nothing_forwards_or_backwards(size):
    x, tokens, weights = problem()
    results = []
    for node_chunk in (None, size):
        layer = encoder(node_chunk=node_chunk)
        torch.manual_seed(3)
        out = layer(x, tokens, weights)
        out.square().sum().backward()
        results.append([out, *(p.grad for p in layer.parameters())])
        with torch.no_grad():
            torch.manual_seed(3)
            results[-1].append(layer(x, tokens, weights))
    for found, want in zip(*results, strict=True):
        torch.testing.assert_close(found, want, **CLOSE)


def test_relabelling_nodes_with_their_tokens_permutes_the_output():
    layer, (x, tokens, weights), order = encoder().eval(), problem(), torch.randperm(9)
    new = order.argsort()
    ids = tokens + torch.arange(9).view(-1, 1, 1)
    moved = new[ids.long()[order]] - torch.arange(9).view(-1, 1, 1)
    found = layer(x[order], moved.int(), weights[order])
    torch.testing.assert_close(found, layer(x, tokens, weights)[order], **CLOSE)


def test_in_training_tokens_of_one_length_change_places_and_no_others():
    layer = encoder(num_layers=1)
    far = torch.arange(6.0).view(1, 6, 1).expand(3, 6, 8)
    seen = {tuple(layer._shuffled(far)[0, :, 0].int().tolist()) for _ in range(100)}
    assert len(seen) == 2**3
    assert all({*order[i : i + 2]} == {i, i + 1} for order in seen for i in (0, 2, 4))
    layer.eval()
    assert torch.equal(layer._shuffled(far), far)


@pytest.mark.parametrize("weights", ["mean", "sgc"])
def test_tells_a_hexagon_from_two_triangles_as_message_passing_cannot(weights):
    """With features all the same, `sgc` sees how members are joined and `mean` sees nothing."""
    ring = torch.tensor([[i, (i + 1) % 6] for i in range(6)]).t()
    two = torch.tensor([[i, 3 * (i // 3) + (i + 1) % 3] for i in range(6)]).t()
    layer, out = encoder().eval(), []
    settings = TokenSettings(3, 4, 2, weights=weights)
    for pairs in (ring, two):
        graph = Graph.from_edge_index(torch.cat([pairs, pairs.flip(0)], dim=1), 6)
        out.append(layer(torch.ones(6, 5, dtype=F64), *neighborhood_tokens(graph, settings)))
    gap = (out[0].mean(0) - out[1].mean(0)).abs().max()
    assert gap > 1e-3 if weights == "sgc" else gap < 1e-6


def test_sparse_features_are_read_and_parameters_reset():
    x, tokens, weights = problem()
    layer = encoder().float().eval()
    x = (x * (x > 0.5)).float()
    want = layer(x, tokens, weights)
    torch.testing.assert_close(layer(SparseFeatures.from_dense(x), tokens, weights), want)
    layer.reset_parameters()
    assert not torch.allclose(layer(x, tokens, weights), want)


def test_tokens_of_other_nodes_or_settings_are_refused():
    x, tokens, weights = problem()
    with pytest.raises(ValueError, match="tokens are those of 8 nodes, x has 9 rows"):
        encoder()(x, tokens[:8], weights[:8])
    with pytest.raises(ValueError, match="num_repeats=4 must divide the 6 tokens of a node"):
        encoder(num_repeats=4)(x, tokens, weights)
    with pytest.raises(ValueError, match="node_chunk must be an integer of at least 1, got 0"):
        encoder(node_chunk=0)
