import gc
import weakref

import pytest
import torch
from torch_geometric import EdgeIndex

from gnnzoo.ops import Graph, SheafGraph, as_sheaf_graph
from tests.reference.graphs import kinds, random_edges

PATH = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])


def test_pairs_and_half_edges_of_a_path():
    graph = as_sheaf_graph(PATH, 3)
    assert graph.ends.tolist() == [[0, 1], [1, 2]]
    assert graph.edge_index.tolist() == [[1, 2, 0, 1], [0, 1, 1, 2]]
    sent, degree = graph.laplacian(None, False, False, torch.float32)
    assert (sent.tolist(), degree.tolist()) == ([1.0, 1.0], [1.0, 2.0, 1.0])
    assert repr(graph) == "SheafGraph(num_nodes=3, num_pairs=2)"


def test_half_edge_of_every_input_edge_has_its_ends():
    edges = random_edges(9, 14, undirected=True, loops=False)
    edges = edges[:, torch.randperm(edges.size(1))]
    graph = as_sheaf_graph(edges, 9)
    assert torch.equal(graph.edge_index[:, graph.half], edges)
    maps = torch.randn(edges.size(1), 2)
    assert torch.equal(graph.arrange(maps)[graph.half], maps)


def test_patterns_of_incidence_equal_the_dense_ones():
    graph = as_sheaf_graph(random_edges(9, 14, undirected=True), 9)
    sender, receiver = graph.edge_index
    half_edges = torch.arange(graph.num_half_edges)
    receivers = torch.zeros(9, graph.num_half_edges)
    receivers[receiver, half_edges] = 1
    assert torch.equal(graph.receivers(torch.float32).to_dense(), receivers)
    both = receivers[:, : graph.num_pairs] + receivers[:, graph.num_pairs :]
    assert torch.equal(graph.incidence(torch.float32).to_dense(), both)
    roles = torch.zeros(graph.num_half_edges, 18)
    roles[half_edges, 2 * receiver] = 1
    roles[half_edges, 2 * sender + 1] = 1
    assert torch.equal(graph.roles(torch.float32).to_dense(), roles)


def test_loops_are_left_out_and_repeated_edges_merged():
    messy = torch.cat([PATH, torch.tensor([[2, 0, 1], [2, 1, 0]])], dim=1)
    graph = as_sheaf_graph(messy, 3)
    assert torch.equal(graph.ends, as_sheaf_graph(PATH, 3).ends)
    assert graph.num_input_edges == 7
    weight = torch.tensor([1.0, 1.0, 2.0, 2.0, 9.0, 3.0, 3.0])
    assert graph.pair_weights(weight).tolist() == [4.0, 2.0]


def test_the_first_edge_without_reverse_is_named():
    edges = torch.tensor([[0, 1, 4, 3], [1, 0, 2, 3]])
    with pytest.raises(
        ValueError, match=r"4 -> 2 has no reverse \(1 such edges\); undirected='sym"
    ):
        as_sheaf_graph(edges, 5)
    with pytest.raises(ValueError, match=r"undirected must be one of 'check', 'symm.*got 'maybe'"):
        as_sheaf_graph(PATH, 3, "maybe")


def test_symmetrize_adds_the_reverse_and_averages_weights():
    edges = torch.tensor([[0, 1, 2, 2], [1, 0, 1, 1]])
    graph = as_sheaf_graph(edges, 3, "symmetrize")
    assert torch.equal(graph.ends, as_sheaf_graph(PATH, 3).ends)
    # The mean of 1 and 1; the two that run from 2 to 1 add up, and nothing runs back.
    assert graph.pair_weights(torch.tensor([1.0, 1.0, 2.0, 5.0])).tolist() == [1.0, 7.0]
    maps = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [5.0, 6.0]])
    with pytest.raises(ValueError, match="maps need both directions of every edge"):
        graph.arrange(maps)
    # Half-edges to 0, 1 (from 0 and from 2) and 2: nothing leads to 2.
    arranged = graph.arrange(maps, missing=torch.tensor([7.0, 8.0]))
    assert arranged.tolist() == [[3.0, 4.0], [5.0, 6.0], [1.0, 2.0], [7.0, 8.0]]


def test_of_copies_of_an_edge_one_map_counts_and_they_must_agree():
    messy = torch.cat([PATH, torch.tensor([[2, 0, 1], [2, 1, 0]])], dim=1)
    graph = as_sheaf_graph(messy, 3)
    maps = torch.randn(4, 2)
    given = torch.cat([maps, torch.randn(1, 2), maps[:2]]).requires_grad_()
    arranged = graph.arrange(given)
    assert torch.equal(arranged, as_sheaf_graph(PATH, 3).arrange(maps))
    arranged.sum().backward()
    assert given.grad[:, 0].tolist() == [1, 1, 1, 1, 0, 0, 0]
    with pytest.raises(ValueError, match="maps of copies of an edge must be equal"):
        graph.arrange(torch.randn(7, 2))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.tensor([1.0, 1.0, 2.0, 3.0]), "1 -> 2 has 2 and 2 -> 1 has 3"),
        (-torch.ones(4), "not negative.*got -1"),
        (torch.tensor([1.0, 1.0, torch.nan, 1.0]), "finite.*got nan"),
        (torch.ones(3), r"must have shape \[4\], one per edge, got \[3\]"),
        (torch.ones(4).long(), r"floating point, got torch\.int64"),
    ],
)
def test_weights_that_make_no_laplacian_are_refused(weight, message):
    with pytest.raises(ValueError, match=message):
        as_sheaf_graph(PATH, 3).pair_weights(weight)


def test_wrong_numbers_are_named():
    with pytest.raises(ValueError, match="graph has 3 nodes, x has 4 rows"):
        as_sheaf_graph(as_sheaf_graph(PATH, 3), 4)
    with pytest.raises(ValueError, match="one row for each of 4 edges, got 3"):
        as_sheaf_graph(PATH, 3).arrange(torch.randn(3, 2))


def test_every_form_of_edges_gives_the_same_and_a_graph_keeps_it():
    graph = Graph.from_edge_index(PATH, 3)
    made = as_sheaf_graph(graph, 3)
    assert as_sheaf_graph(graph, 3) is made
    assert as_sheaf_graph(made, 3) is made
    assert torch.equal(as_sheaf_graph(EdgeIndex(PATH, sparse_size=(3, 3)), 3).ends, made.ends)


def test_what_is_kept_dies_with_its_graph():
    graph = Graph.from_edge_index(PATH, 3)
    made = weakref.ref(as_sheaf_graph(graph, 3))
    assert made() is not None
    del graph
    gc.collect()
    assert made() is None


@pytest.mark.parametrize("kind", ["empty", "one_node", "one_loop"])
def test_graphs_without_pairs(kind):
    edges, n = kinds()[kind]
    graph = as_sheaf_graph(edges, n)
    assert (graph.num_pairs, graph.num_half_edges) == (0, 0)
    assert graph.laplacian(None, True, True, torch.float32)[1].tolist() == [0.0] * n
    assert graph.pair_weights(torch.ones(edges.size(1))).shape == (0,)


def test_made_under_inference_mode_it_still_trains():
    graph = Graph.from_edge_index(PATH, 3)
    with torch.inference_mode():
        made = as_sheaf_graph(graph, 3)
    assert isinstance(made, SheafGraph)
    assert not made.ends.is_inference()
    assert not made.roles(torch.float32).values.is_inference()
