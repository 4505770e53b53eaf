"""The reference that overlaps are raced against finds what they find."""

import pytest
import torch

from gnnzoo.bench.overlap import power_law_links
from gnnzoo.bench.stock_overlap import stock_overlap, stock_without_links
from gnnzoo.ops import Graph, drop_links
from tests.reference.graphs import random_edges
from tests.reference.overlap import dense_overlap


@pytest.mark.parametrize("num_edges", [60, 0])
def test_overlaps_equal_the_dense_ones(num_edges):
    torch.manual_seed(0)
    graph = Graph.from_edge_index(random_edges(20, num_edges, undirected=True, loops=False), 20)
    pairs = torch.randint(20, (2, 80))
    for wanted in (pairs, pairs.flip(0), pairs[:, :0]):
        found = stock_overlap(graph.csr.rowptr, graph.csr.col, wanted, differences=True)
        want = dense_overlap(graph.edge_index, 20, wanted)
        assert [m.to_dense().tolist() for m in found] == [m.tolist() for m in want]


def test_the_rest_of_a_graph_is_what_dropping_leaves():
    links = power_law_links(50, 200)
    graph = Graph.from_edge_index(torch.cat([links, links.flip(0)], dim=1), 50)
    part = drop_links(graph, links[:, :40])
    rowptr, col = stock_without_links(links, torch.arange(200) >= 40, 50)
    assert torch.equal(part.csr.rowptr.long(), rowptr)
    assert torch.equal(part.csr.col.long(), col)


def test_generated_links_are_different_and_of_unequal_ends():
    links = power_law_links(2000, 9000)
    assert links.shape == (2, 9000)
    assert (links[0] < links[1]).all()
    assert links.unique(dim=1).size(1) == 9000
    degree = torch.bincount(links.flatten(), minlength=2000)
    assert degree.max() > 10 * degree.double().mean()
