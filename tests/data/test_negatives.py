"""Negatives are no links, uniform, and come from the generator they are given."""

import pytest
import torch
from torch import Tensor

from gnnzoo.data import RandomDestinations, UniformNegatives
from gnnzoo.data.negatives import distinct_non_links, distinct_numbers, nth_missing
from gnnzoo.ops import Graph
from tests.reference.graphs import random_edges


def adjacency(edge_index: Tensor, num_nodes: int) -> Tensor:
    dense = torch.zeros(num_nodes, num_nodes, dtype=torch.bool)
    dense[edge_index[0], edge_index[1]] = True
    return dense


def graph_of(dense: Tensor) -> Graph:
    return Graph.from_edge_index(dense.nonzero().t(), num_nodes=len(dense))


def chi_square(pairs: Tensor, allowed: Tensor) -> float:
    """Deviation from equal counts over the allowed pairs, in standard deviations of its mean."""
    count = torch.zeros(allowed.shape).index_put((pairs[0], pairs[1]), torch.ones(1), True)
    count, cells = count[allowed], int(allowed.sum())
    expected = pairs.size(1) / cells
    value = float(((count - expected) ** 2 / expected).sum())
    return (value - (cells - 1)) / (2 * (cells - 1)) ** 0.5


@pytest.mark.parametrize("density", [0.0, 0.2, 0.9])
def test_uniform_negatives_are_all_pairs_but_edges_and_self_pairs_equally_often(density):
    torch.manual_seed(0)
    dense = torch.rand(12, 12) < density  # directed, with self-loops
    allowed = ~dense & ~torch.eye(12, dtype=torch.bool)
    drawn = UniformNegatives()(graph_of(dense), 40_000, torch.Generator().manual_seed(1))
    assert drawn.shape == (2, 40_000)
    assert drawn.dtype == torch.int64
    assert allowed[drawn[0], drawn[1]].all()
    assert abs(chi_square(drawn, allowed)) < 4


def test_a_graph_that_lacks_one_edge_has_one_negative():
    dense = ~torch.eye(30, dtype=torch.bool)
    dense[17, 4] = False
    drawn = UniformNegatives()(graph_of(dense), 100)
    assert drawn.t().unique(dim=0).tolist() == [[17, 4]]


@pytest.mark.parametrize("num_nodes", [1, 5])
def test_a_complete_graph_has_none(num_nodes):
    complete = graph_of(~torch.eye(num_nodes, dtype=torch.bool))
    with pytest.raises(ValueError, match=f"all edges that {num_nodes} nodes can have"):
        UniformNegatives()(complete, 1)
    assert UniformNegatives()(complete, 0).shape == (2, 0)


SAMPLERS = [UniformNegatives(), RandomDestinations()]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_draws_follow_the_generator_and_the_global_one_only_without_it(sampler):
    edge_index = random_edges(50, 300, seed=0)
    graph = Graph.from_edge_index(edge_index, num_nodes=50)
    state = torch.get_rng_state()
    drawn = [sampler(graph, 60, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    torch.manual_seed(7)
    first, second = sampler(graph, 60), sampler(graph, 60)
    torch.manual_seed(7)
    assert torch.equal(first, sampler(graph, 60))
    assert not torch.equal(first, second)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_negatives_are_drawn_on_the_graphs_device(sampler):
    edge_index = random_edges(50, 300, seed=0)
    graph = Graph.from_edge_index(edge_index, num_nodes=50).to("cuda")
    drawn = sampler(graph, 500, torch.Generator("cuda").manual_seed(0))
    assert drawn.device.type == "cuda"
    if sampler == UniformNegatives():
        assert not adjacency(edge_index, 50)[drawn[0].cpu(), drawn[1].cpu()].any()


def test_random_destinations_keep_the_sources_and_take_any_node():
    graph = Graph.from_edge_index(torch.tensor([[0, 1, 1], [1, 0, 2]]), num_nodes=4)
    sources = torch.tensor([2, 0, 1]).repeat(2000)
    drawn = RandomDestinations()(graph, 6000, sources=sources)
    assert torch.equal(drawn[0], sources)
    everything = torch.ones(4, 4, dtype=torch.bool)
    everything[3] = False  # never a source
    assert abs(chi_square(drawn, everything)) < 4
    with pytest.raises(ValueError, match=r"sources must have shape \[5\], got \[6000\]"):
        RandomDestinations()(graph, 5, sources=sources)


def test_without_sources_those_of_random_edges_are_taken():
    graph = Graph.from_edge_index(torch.tensor([[0, 1, 1, 1], [1, 0, 2, 3]]), num_nodes=4)
    drawn = RandomDestinations()(graph, 8000)
    shares = torch.bincount(drawn[0], minlength=4) / 8000
    torch.testing.assert_close(shares, torch.tensor([0.25, 0.75, 0, 0]), atol=0.03, rtol=0)
    empty = Graph.from_edge_index(torch.empty(2, 0, dtype=torch.long), num_nodes=4)
    with pytest.raises(ValueError, match="no edges whose sources"):
        RandomDestinations()(empty, 1)


def test_samplers_say_whether_they_keep_the_source():
    assert RandomDestinations().keeps_source
    assert not UniformNegatives().keeps_source


def test_numbers_that_are_missing_are_counted():
    taken = torch.tensor([0, 1, 4, 5, 9])
    missing = [n for n in range(20) if n not in taken.tolist()]
    assert nth_missing(taken, torch.arange(len(missing))).tolist() == missing
    assert nth_missing(taken[:0], torch.arange(4)).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("high", [1, 7, 10, 400, 10**13])
def test_distinct_numbers_are_distinct_and_in_random_order(high):
    num = min(high, 60)
    drawn = distinct_numbers(high, num, torch.Generator().manual_seed(0))
    assert len(drawn.unique()) == len(drawn) == num
    assert int(drawn.min()) >= 0
    assert int(drawn.max()) < high
    if num > 7:
        assert not torch.equal(drawn, drawn.sort().values)


def test_distinct_numbers_are_uniform_at_every_place():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([distinct_numbers(30, 6, generator) for _ in range(3000)])
    for place in (0, 5):
        pairs = torch.stack([torch.zeros_like(drawn[:, place]), drawn[:, place]])
        assert abs(chi_square(pairs, torch.ones(1, 30, dtype=torch.bool))) < 4


@pytest.mark.parametrize("density", [0.0, 0.3, 0.8])
def test_distinct_non_links_are_all_there_are_when_all_are_asked_for(density):
    torch.manual_seed(0)
    dense = torch.rand(15, 15) < density
    free = (~(dense | dense.t())).triu(1)
    num = int(free.sum())
    drawn = distinct_non_links(dense.nonzero().t(), 15, num, torch.Generator().manual_seed(0))
    assert sorted(drawn.t().tolist()) == free.nonzero().tolist()
    with pytest.raises(ValueError, match=rf"{num + 1} pairs .* leave {num}; hold out smaller"):
        distinct_non_links(dense.nonzero().t(), 15, num + 1)


def test_few_distinct_non_links_of_many_nodes_need_no_matrix():
    num_nodes = 3_000_000
    links = torch.randint(num_nodes, (2, 50_000), generator=torch.Generator().manual_seed(0))
    drawn = distinct_non_links(links, num_nodes, 20_000, torch.Generator().manual_seed(1))
    assert (drawn[0] < drawn[1]).all()
    assert int(drawn.min()) >= 0
    assert int(drawn.max()) < num_nodes
    keys = drawn[0] * num_nodes + drawn[1]
    low, high = links.min(dim=0).values, links.max(dim=0).values
    assert len(keys.unique()) == 20_000
    assert not torch.isin(keys, low * num_nodes + high).any()
    assert 0.30 < float((drawn[0] / num_nodes).mean()) < 0.37  # a third: the smaller of two
