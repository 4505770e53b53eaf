"""A block's matrices are rows of the whole graph's, with its degrees."""

import pytest
import torch

from gnnzoo.ops import Block, Graph
from gnnzoo.ops.block import block_stop, block_stops
from tests.reference.graphs import kinds

KINDS = {
    **kinds(),
    "repeated": (torch.tensor([[0, 0, 1, 3, 3, 2], [1, 1, 2, 3, 3, 0]]), 5),
}
MAKE = {
    "matrix": lambda g, w: g.matrix(w),
    "looped": lambda g, w: g.matrix(w, add_self_loops=True),
    "mean": lambda g, w: g.mean_norm(w),
    "gcn": lambda g, w: g.gcn_norm(w),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_of_the_whole_graph(kind, make, weighted):
    edge_index, num_nodes = KINDS[kind]
    graph = Graph.from_edge_index(edge_index, num_nodes)
    weight = torch.rand(edge_index.size(1)) if weighted else None
    whole = make(graph, weight).to_dense()
    for start in range(num_nodes):
        for stop in range(start, num_nodes + 1):
            block = Block(graph, start, stop)
            found = make(block, weight).to_dense()
            assert torch.equal(found[block.targets], whole[start:stop][:, block.nodes])
            assert torch.equal(block.nodes[block.targets], torch.arange(start, stop))
            assert block.num_nodes == block.nodes.numel()
            repeated = graph.num_edges < graph.num_input_edges
            assert (block.num_edges < block.num_input_edges) == repeated


def test_a_block_holds_its_range_and_those_it_hears_from_only():
    graph = Graph.from_edge_index(torch.tensor([[7, 2, 5, 4], [3, 3, 4, 6]]), 9)
    block = Block(graph, 3, 5)
    assert block.nodes.tolist() == [2, 3, 4, 5, 7]
    assert repr(block) == "Block(3 to 5 of Graph(num_nodes=9, num_edges=4))"


@pytest.mark.parametrize("most", [0, 1, 4, 9, 100])
def test_blocks_cover_all_rows_and_stay_within_the_bound(most):
    edge_index, num_nodes = KINDS["directed"]
    graph = Graph.from_edge_index(edge_index, num_nodes)
    stops, start = block_stops(graph), 0
    while start < num_nodes:
        stop = block_stop(stops, start, most)
        block = Block(graph, start, stop)
        assert stop == start + 1 or block.num_nodes <= stop - start + block.num_edges <= most
        assert stop == num_nodes or stops[stop + 1] - stops[start] > most
        start = stop
    assert start == num_nodes
