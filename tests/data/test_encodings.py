"""Encodings of position equal PyG's, graph by graph, and are kept."""

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import AddRandomWalkPE

from gnnzoo.data import LaplacianEncoding, OneHotCategories, RandomWalkEncoding, UnionBatches
from gnnzoo.data import encodings as module
from tests.reference.graph_sets import SIZES, joined, small_graphs
from tests.reference.graphs import random_edges


@pytest.fixture
def union():
    return joined(small_graphs(), torch.arange(len(SIZES)))


@pytest.mark.parametrize("chunk", [1, 30, 1 << 23])
def test_walks_return_as_often_as_pyg_says(union, chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    made = RandomWalkEncoding(5, cache=None)(union.clone()).random_walk_pe
    wanted = torch.zeros_like(made)
    for graph, (x, edges) in enumerate(small_graphs()):
        if edges.numel():
            alone = AddRandomWalkPE(5)(Data(x=x, edge_index=edges)).random_walk_pe
            wanted[union.ptr[graph] : union.ptr[graph + 1]] = alone
    torch.testing.assert_close(made, wanted)


def test_walks_follow_the_direction_and_the_weights():
    edges = random_edges(9, 30)
    data = Data(edge_index=edges, num_nodes=9, edge_weight=torch.rand(edges.size(1)) + 0.1)
    made = RandomWalkEncoding(4, cache=None)(data.clone()).random_walk_pe
    dense = torch.zeros(9, 9).index_put((edges[0], edges[1]), data.edge_weight)
    step = dense / dense.sum(dim=1, keepdim=True).clamp(min=1e-9)
    wanted = [torch.linalg.matrix_power(step, k).diagonal() for k in range(1, 5)]
    torch.testing.assert_close(made, torch.stack(wanted, dim=1))


def test_eigenvectors_are_those_of_each_graph(union):
    made = LaplacianEncoding(3, cache=None)(union.clone()).laplacian_pe
    for graph, (x, edges) in enumerate(small_graphs()):
        own, size = made[union.ptr[graph] : union.ptr[graph + 1]].double(), len(x)
        adjacency = (
            torch.zeros(size, size).double().index_put(tuple(edges), torch.tensor(1.0).double())
        )
        scale = adjacency.sum(dim=1).clamp(min=1).rsqrt()
        laplacian = torch.eye(size) - scale.unsqueeze(1) * adjacency * scale
        known = min(3, max(size - 1, 0))
        if known:
            values = torch.linalg.eigvalsh(laplacian)[1 : known + 1]
            torch.testing.assert_close(
                laplacian @ own[:, :known], values * own[:, :known], atol=1e-6, rtol=0
            )
            torch.testing.assert_close(own[:, :known].norm(dim=0), torch.ones(known).double())
        assert not own[:, known:].any()


def test_an_encoding_does_not_know_the_other_graphs(union):
    part = UnionBatches(union).take(torch.tensor([7, 2]))
    for encoding in (RandomWalkEncoding(4, cache=None), LaplacianEncoding(2, cache=None)):
        whole = UnionBatches(encoding(union.clone())).take(torch.tensor([7, 2]))
        alone = encoding(part.clone())
        torch.testing.assert_close(whole[encoding.field], alone[encoding.field])


def test_a_kept_encoding_is_found_again(union, root, monkeypatch):
    made = RandomWalkEncoding(3)(union.clone()).random_walk_pe
    (file,) = (root / "cache/encodings").glob("*.npy")
    monkeypatch.setattr(RandomWalkEncoding, "fill", None)
    assert torch.equal(RandomWalkEncoding(3)(union.clone()).random_walk_pe, made)
    with pytest.raises(TypeError):
        RandomWalkEncoding(4)(union.clone())
    assert file.exists()


@pytest.mark.parametrize("edges", [torch.empty(2, 0).long(), torch.zeros(2, 1).long()])
def test_a_single_node_has_an_encoding(edges):
    data = Data(edge_index=edges, num_nodes=1)
    walk = RandomWalkEncoding(2, cache=None)(data.clone()).random_walk_pe
    assert torch.equal(walk, torch.full((1, 2), float(edges.size(1))))
    assert torch.equal(LaplacianEncoding(2, cache=None)(data).laplacian_pe, torch.zeros(1, 2))


def test_what_cannot_be_encoded_is_refused():
    with pytest.raises(ValueError, match="RandomWalkEncoding needs at least 1 column, got 0"):
        RandomWalkEncoding(0)
    with pytest.raises(ValueError, match="cache must be one of None, 'memory', 'disk', got 'ram'"):
        LaplacianEncoding(2, cache="ram")
    with pytest.raises(ValueError, match="needs undirected graphs"):
        LaplacianEncoding(2)(Data(edge_index=torch.tensor([[0], [1]]), num_nodes=2))


def test_categories_become_columns_of_zeros_and_ones():
    data = Data(x=torch.tensor([[0, 1], [2, 0]]), node_categories=(3, 2))
    made = OneHotCategories()(data)
    assert made.x.tolist() == [[1, 0, 0, 0, 1], [0, 0, 1, 1, 0]]
    assert "node_categories" not in made
    assert data.x.dtype == torch.int64
