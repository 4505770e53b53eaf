"""Transforms change what they say, leave their input alone, and see no edge that was taken away."""

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform, NormalizeFeatures

from gnnzoo.data import (
    CombinedHops,
    ComponentBatch,
    CSRGraph,
    DegreeFeatures,
    DirectedPatterns,
    LocalPCAMaps,
    NeighborhoodTokens,
    ReverseGraph,
    RowNormalizeFeatures,
    SmoothFeatures,
    SparsifyFeatures,
)
from gnnzoo.ops import Graph, SparseFeatures
from tests.reference import dense

TRANSFORMS = [CSRGraph(), RowNormalizeFeatures(), SparsifyFeatures(max_density=1.0)]
TRANSFORMS += [SmoothFeatures(num_hops=2), LocalPCAMaps(dim=2), DegreeFeatures(3)]
TRANSFORMS += [DirectedPatterns(), DirectedPatterns(cache="memory")]
TRANSFORMS += [ReverseGraph(), CombinedHops(2), CombinedHops(2, cache="memory")]
TRANSFORMS += [NeighborhoodTokens(), NeighborhoodTokens(cache="memory"), ComponentBatch()]


def toy() -> Data:
    x = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0], [0.0, 0.0, 0.0], [0.5, 0.0, 0.0]])
    edge_index = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
    return Data(x=x, edge_index=edge_index, num_nodes=4)


def plain(value: object) -> object:
    """Tensors that hold everything a transform has put on the data."""
    if isinstance(value, SparseFeatures):
        return value.to_dense().tolist()
    if isinstance(value, Graph):
        return arcs(value)
    return value.tolist() if isinstance(value, torch.Tensor) else value


def arcs(graph: Graph) -> list[list[int]]:
    """[source, target] of every edge."""
    return sorted(graph.edge_index.t().tolist())


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_a_transform_leaves_its_input_alone(transform: BaseTransform):
    data = toy()
    transform(data)
    assert "graph" not in data
    assert torch.equal(data.x, toy().x)
    assert torch.equal(data.edge_index, toy().edge_index)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
def test_removed_edges_are_never_seen(transform: BaseTransform):
    """The poison: results must not depend on edges that the message graph lacks.

    The message graph is what is left of two different graphs, and the full graph has been through
    the same transform object before. A transform that does not read edges works without any.
    """
    kept = toy()
    kept.edge_index = kept.edge_index[:, :4]
    expected = {key: plain(value) for key, value in transform(kept).to_dict().items()}
    for removed in (toy().edge_index[:, 4:], torch.tensor([[0, 3], [3, 0]])):
        full = toy()
        full.edge_index = torch.cat([kept.edge_index, removed], dim=1)
        message = transform(full)
        message.x = kept.x
        message.edge_index = kept.edge_index
        found = {key: plain(value) for key, value in transform(message).to_dict().items()}
        assert found == expected
    if not transform.reads_edges:
        del kept.edge_index
        without = transform(kept).to_dict()
        assert {key: plain(value) for key, value in without.items()}["x"] == expected["x"]


def test_csr_graph_holds_the_edges_and_every_node():
    data = toy()
    data.edge_index = torch.tensor([[0], [1]])
    graph = CSRGraph()(data).graph
    assert graph.num_nodes == 4
    assert arcs(graph) == [[0, 1]]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_what_transforms_add_moves_with_the_data():
    data = SparsifyFeatures(max_density=1.0)(CSRGraph()(toy())).to("cuda")
    assert data.graph.device.type == "cuda"
    assert data.x.device.type == "cuda"
    assert isinstance(SparsifyFeatures(max_density=1.0)(toy().to("cuda")).x, torch.Tensor)


def test_rows_are_normalised_as_pyg_does():
    x = torch.rand(6, 5) * 4
    ours = RowNormalizeFeatures()(Data(x=x.clone())).x
    theirs = NormalizeFeatures()(Data(x=x.clone())).x
    assert torch.equal(ours, theirs)


def test_features_become_sparse_below_the_density_only():
    data = toy()  # 4 of 12 entries
    assert isinstance(SparsifyFeatures(max_density=0.5)(data).x, SparseFeatures)
    assert isinstance(SparsifyFeatures(max_density=0.3)(data).x, torch.Tensor)
    sparse = SparsifyFeatures(max_density=0.5)(data)
    assert torch.equal(sparse.x.to_dense(), data.x)
    assert SparsifyFeatures(max_density=0.5)(sparse).x is sparse.x


@pytest.mark.parametrize("num_hops", [0, 1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_smoothed_features_are_powers_of_the_matrix_times_features(num_hops, weighted):
    data = toy()
    if weighted:
        data.edge_weight = torch.rand(data.num_edges)
    found = SmoothFeatures(num_hops)(data)
    a = dense.gcn_norm(data.edge_index, 4, data.edge_weight).float()
    torch.testing.assert_close(found.smoothed, torch.linalg.matrix_power(a, num_hops) @ data.x)
    assert torch.equal(found.x, data.x)


def test_mostly_zero_features_are_not_smoothed_and_nothing_old_is_left():
    data = SmoothFeatures(2)(toy())
    data.x = torch.zeros(4, 50)
    data.x[0, 0] = 1.0
    assert "smoothed" not in SmoothFeatures(2)(data)
    data.x = SparseFeatures.from_dense(data.x)
    assert "smoothed" not in SmoothFeatures(2)(data)
    assert "smoothed" in data
    with pytest.raises(ValueError, match="num_hops must be at least 0, got -1"):
        SmoothFeatures(-1)


def test_degree_features_are_the_logarithm_and_one_hot_up_to_a_cap():
    data = Data(edge_index=torch.tensor([[0, 1, 2, 0, 1, 3], [3, 3, 3, 1, 1, 0]]), num_nodes=5)
    x = DegreeFeatures(max_degree=2)(data).x
    degrees = torch.tensor([1.0, 2.0, 0.0, 3.0, 0.0])
    torch.testing.assert_close(x[:, 0], degrees.log1p())
    assert x[:, 1:].tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert x.dtype == torch.float32


def test_degree_features_replace_others_and_need_no_edges():
    once = DegreeFeatures(4)(toy())
    twice = DegreeFeatures(4)(once)
    assert torch.equal(once.x, twice.x)
    assert once.x.shape == (4, 6)
    empty = Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=3)
    assert DegreeFeatures(0)(empty).x.tolist() == [[0, 1]] * 3
    sparse = DegreeFeatures(4)(SparsifyFeatures(max_density=1.0)(toy()))
    assert torch.equal(sparse.x, once.x)
    with pytest.raises(ValueError, match="max_degree must be at least 0, got -1"):
        DegreeFeatures(-1)


def test_tokens_are_kept_for_equal_edges_and_settings_only():
    kept = NeighborhoodTokens(cache="memory")
    first, again = kept(toy()), kept(toy())
    assert again.tokens is first.tokens
    assert again.token_weights is first.token_weights
    assert torch.equal(NeighborhoodTokens()(toy()).tokens, first.tokens)
    other = toy()
    other.edge_index = other.edge_index[:, :4]
    assert not torch.equal(kept(other).tokens, first.tokens)
    assert NeighborhoodTokens(seed=1, cache="memory")(toy()).tokens is not first.tokens
    without = NeighborhoodTokens(walk_length=0)(first)
    assert "tokens" not in without
    assert "token_weights" not in without
    with pytest.raises(ValueError, match="cache must be one of None, 'memory', got 'disk'"):
        NeighborhoodTokens(cache="disk")


def test_components_are_graphs_of_their_own():
    data = toy()
    data.edge_index = torch.tensor([[0, 3], [2, 1]])
    assert ComponentBatch()(data).batch.tolist() == [0, 1, 0, 1]


def test_an_impossible_density_is_refused():
    with pytest.raises(ValueError, match=r"max_density must be in \[0, 1\], got 10"):
        SparsifyFeatures(max_density=10)


def test_reprs_show_the_settings():
    assert repr(SparsifyFeatures(0.2)) == "SparsifyFeatures(max_density=0.2)"
    assert repr(SmoothFeatures(2)) == "SmoothFeatures(num_hops=2)"
    assert repr(DegreeFeatures(8)) == "DegreeFeatures(max_degree=8)"
    assert repr(NeighborhoodTokens(3)) == "NeighborhoodTokens(3, 4, 2, weights='mean')"
    assert repr(CSRGraph()) == "CSRGraph()"
