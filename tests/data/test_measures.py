"""Measures of graphs against slow loops, published numbers and graphs with an obvious answer."""

import math

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import homophily

import gnnzoo.data
from gnnzoo.data.label_mixing import label_measures
from gnnzoo.data.measures import (
    closure,
    component_measures,
    degree_measures,
    edge_measures,
    feature_measures,
    measure,
    memory_estimate,
)
from gnnzoo.ops import Graph
from tests.reference.graphs import kinds, random_edges


def graph(*edges: tuple[int, int], num_nodes: int) -> Graph:
    return Graph.from_edge_index(torch.tensor(edges).view(-1, 2).t(), num_nodes)


def test_loops_repetitions_and_directions_are_counted():
    found = edge_measures(graph((0, 1), (1, 0), (1, 2), (1, 2), (2, 2), (3, 0), num_nodes=4))
    assert found["num_edges"] == 6
    assert found["duplicates"] == 1
    assert found["self_loops"] == 1
    assert found["directed"]
    assert found["reciprocity"] == 0.5  # of 0-1, 1-0, 1-2, 3-0
    assert found["ascending"] == 0.5
    assert found["density"] == pytest.approx(4 / 12)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_direction_that_is_node_order_is_noticed(flipped):
    edges = random_edges(30, 60, loops=False)
    ordered = edges.sort(dim=0, descending=flipped)[0]
    assert edge_measures(Graph.from_edge_index(ordered, 30))["node_order"]
    one_back = torch.cat([ordered, ordered[:, :1].flip(0)], dim=1)
    assert not edge_measures(Graph.from_edge_index(one_back, 30))["node_order"]
    assert not edge_measures(Graph.from_edge_index(edges, 30))["node_order"]
    few = Graph.from_edge_index(ordered[:, :10], 30)
    assert not edge_measures(few)["node_order"], "ten arcs may lie so by chance"


def test_degrees_count_different_neighbours():
    star = graph((1, 0), (2, 0), (2, 0), (3, 0), (0, 0), num_nodes=5)
    found = degree_measures(star)
    assert found["in"]["max"] == 3
    assert found["in"]["zeros"] == 4
    assert found["out"]["mean"] == pytest.approx(3 / 5)
    both = graph((0, 1), (1, 0), num_nodes=2)
    assert list(degree_measures(both)) == ["degree"]
    path = random_edges(101, 400, undirected=True)
    degrees = Graph.from_edge_index(path[:, path[0] != path[1]], 101).in_degree().sort()[0]
    assert degree_measures(Graph.from_edge_index(path, 101))["degree"]["median"] == degrees[50]


def test_components_are_found_with_and_without_direction():
    found = component_measures(graph((0, 1), (1, 0), (1, 2), (3, 4), num_nodes=6))
    assert found == {"number": 3, "largest": 0.5, "isolated_nodes": 1, "strong": 5}


def test_edges_that_close_triangles_are_counted_whatever_their_direction():
    assert closure(graph((0, 1), (1, 2), (2, 0), (2, 3), num_nodes=4)) == pytest.approx(3 / 4)
    assert closure(graph((0, 1), (1, 1), num_nodes=2)) == 0.0
    assert closure(graph((1, 1), num_nodes=2)) is None


def slow_labels(edges, y, num_classes):
    """Homophily, adjusted homophily and informativeness, edge by edge, as in their definitions."""
    kept = [(int(y[a]), int(y[b])) for a, b in edges.t() if a != b and y[a] >= 0 and y[b] >= 0]
    edge = sum(a == b for a, b in kept) / len(kept)
    degree = [sum((a == k) + (b == k) for a, b in kept) for k in range(num_classes)]
    ends = [count / (2 * len(kept)) for count in degree]
    chance = sum(share**2 for share in ends)
    joint = {}
    for a, b in kept:
        for pair in ((a, b), (b, a)):
            joint[pair] = joint.get(pair, 0) + 0.5 / len(kept)
    shared = sum(p * math.log(p / (ends[a] * ends[b])) for (a, b), p in joint.items())
    entropy = -sum(share * math.log(share) for share in ends if share)
    return edge, (edge - chance) / (1 - chance), shared / entropy


def test_labels_are_measured_as_defined():
    edges = random_edges(40, 90, seed=2, undirected=True)
    y = torch.randint(3, (40,), generator=torch.Generator().manual_seed(4))
    y[3:9] = -1
    found = label_measures(Graph.from_edge_index(edges, 40), y, 3)
    edge, adjusted, informativeness = slow_labels(edges, y, 3)
    assert found["homophily"]["edge"] == pytest.approx(edge, abs=1e-6)
    assert found["homophily"]["adjusted"] == pytest.approx(adjusted, abs=1e-12)
    assert found["informativeness"] == pytest.approx(informativeness, abs=1e-12)
    assert found["labelled_nodes"] == 34
    for row in found["mixing"]:
        assert sum(row) == pytest.approx(1.0)


def test_homophily_is_that_of_pyg_where_all_nodes_have_labels():
    edges = random_edges(40, 90, seed=2, loops=False)
    y = torch.arange(40) % 3
    found = label_measures(Graph.from_edge_index(edges, 40), y, 3)["homophily"]
    assert found["edge"] == homophily(edges, y, method="edge")
    assert found["node"] == pytest.approx(homophily(edges, y, method="node"), abs=1e-6)
    insensitive = homophily(edges, y, method="edge_insensitive")
    assert found["class_insensitive"] == pytest.approx(insensitive, abs=1e-6)


def test_edges_inside_classes_and_between_two_are_the_extremes():
    y = torch.tensor([0, 0, 1, 1])
    inside = graph((0, 1), (1, 0), (2, 3), (3, 2), num_nodes=4)
    found = label_measures(inside, y, 2)
    assert found["homophily"]["adjusted"] == 1.0
    assert found["informativeness"] == pytest.approx(1.0)
    assert found["mixing"] == [[1.0, 0.0], [0.0, 1.0]]
    between = graph((0, 2), (2, 0), (1, 3), (3, 1), num_nodes=4)
    found = label_measures(between, y, 2)
    assert found["homophily"]["adjusted"] == -1.0
    assert found["informativeness"] == pytest.approx(1.0)


def test_what_cannot_be_said_of_labels_is_left_out():
    pair = graph((0, 1), (1, 0), num_nodes=4)
    unlabelled = label_measures(pair, torch.tensor([-1, 0, 1, 0]), 2)
    assert "homophily" not in unlabelled
    one_class = label_measures(pair, torch.tensor([0, 0, 1, 1]), 2)
    assert one_class["homophily"]["adjusted"] is None
    assert one_class["informativeness"] is None
    assert one_class["mixing"] == [[1.0, 0.0], None]


def test_features_are_counted():
    found = feature_measures(torch.tensor([[0.0, 2.0], [0.0, 0.0], [1.0, 1.0]]))
    assert found == {
        "num_features": 2,
        "nonzeros": 3,
        "density": 0.5,
        "nodes_without": 1,
        "only_0_and_1": False,
    }
    assert feature_measures(torch.eye(3))["only_0_and_1"]


def test_memory_counts_what_tensors_hold():
    x = torch.rand(1000, 32)
    graph = Graph.from_edge_index(random_edges(1000, 5000), 1000)
    found = memory_estimate(1000, graph.num_edges, feature_measures(x), 5)
    assert found["features"] * 2**20 == x.numel() * 4
    patterns = (graph.csr, graph.csr.transposed()[0])
    held = sum(4 * (csr.col.numel() + csr.rowptr.numel()) for csr in patterns)
    assert found["graph"] * 2**20 == held
    assert found["six_patterns"] == 13 * found["features"]
    assert set(memory_estimate(10, 20, None, 0)) == {"graph"}


@pytest.mark.parametrize("name", kinds())
def test_degenerate_graphs_are_measured(name):
    edge_index, num_nodes = kinds()[name]
    y = torch.arange(num_nodes) % 2
    data = Data(edge_index=edge_index, num_nodes=num_nodes, x=torch.ones(num_nodes, 1), y=y)
    found = measure(data, int(y.max()) + 1)
    assert found["num_nodes"] == num_nodes
    assert found["edges"]["num_edges"] == edge_index.size(1)
    bare = measure(Data(edge_index=edge_index, num_nodes=num_nodes), 0)
    assert bare["edges"] == found["edges"]
    assert not {"labels", "features"} & bare.keys()


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "edge", "adjusted", "informativeness"),
    [("Cora", 0.81, 0.77, 0.59), ("CiteSeer", 0.74, 0.67, 0.45)],
)
def test_published_homophily_is_found(name, edge, adjusted, informativeness, use_real):
    use_real(name.lower())
    dataset = gnnzoo.data.planetoid(name)
    found = measure(dataset.data, dataset.num_classes)["labels"]
    assert round(found["homophily"]["edge"], 2) == edge
    assert round(found["homophily"]["adjusted"], 2) == adjusted
    assert round(found["informativeness"], 2) == informativeness
