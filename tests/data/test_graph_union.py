"""A batch is what one would get by building the union of its graphs anew."""

import pytest
import torch
from torch_geometric.data import Batch, Data

from gnnzoo.data import CSRGraph, ReverseGraph, SparsifyFeatures, UnionBatches, graph_union
from gnnzoo.ops import Graph, SparseFeatures
from tests.reference.graph_sets import SIZES, joined, small_graphs

CHOICES = ([0, 1, 2], [7, 3, 0], [3], [9, 3], [1, 6], [5, 5, 2], list(range(10)))


@pytest.fixture
def union():
    return joined(small_graphs(), torch.arange(len(SIZES)))


def same_pattern(found, wanted):
    for one, other in ((found, wanted), (found.transposed()[0], wanted.transposed()[0])):
        assert torch.equal(one.rowptr, other.rowptr)
        assert torch.equal(one.col, other.col)
    assert torch.equal(found.transposed()[1], wanted.transposed()[1])
    assert found.is_symmetric == wanted.is_symmetric


@pytest.mark.parametrize("chosen", CHOICES, ids=str)
def test_a_batch_is_what_pyg_joins(union, chosen):
    part = UnionBatches(union).take(torch.tensor(chosen))
    graphs = small_graphs()
    listed = [Data(x=graphs[g][0], edge_index=graphs[g][1]) for g in chosen]
    wanted = Batch.from_data_list(listed)
    assert torch.equal(part.x, wanted.x)
    assert torch.equal(part.edge_index, wanted.edge_index)
    assert torch.equal(part.batch, wanted.batch)
    assert torch.equal(part.ptr, wanted.ptr)
    assert part.num_nodes == sum(SIZES[g] for g in chosen)
    ends = torch.cat([edges for _, edges in (graphs[g] for g in chosen)], dim=1)
    assert torch.equal(part.edge_attr[:, 0], (ends[0] + ends[1]).float().cos())
    assert part.y is None


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("chosen", CHOICES, ids=str)
def test_structures_equal_those_built_from_the_batch(union, chosen, directed):
    if directed:
        keep = torch.arange(union.num_edges) % 3 > 0
        counts = torch.zeros(len(SIZES), dtype=torch.long)
        counts.index_add_(
            0, union.batch[union.edge_index[0, keep]], torch.ones(int(keep.sum())).long()
        )
        start = union.ptr[union.batch[union.edge_index[0, keep]]]
        local = union.edge_index[:, keep] - start
        union = graph_union(local, union.ptr.diff(), counts, union.y, union.x)
    part = UnionBatches(ReverseGraph()(CSRGraph()(union))).take(torch.tensor(chosen))
    built = Graph.from_edge_index(part.edge_index, part.num_nodes)
    assert torch.equal(part.graph.slot, built.slot)
    same_pattern(part.graph.csr, built.csr)
    for make in (
        lambda graph: graph.matrix(),
        lambda graph: graph.gcn_norm(),
        lambda graph: graph.mean_norm(dtype=torch.float64),
        lambda graph: graph.incidence("source"),
    ):
        found, wanted = make(part.graph), make(built)
        same_pattern(found.csr, wanted.csr)
        assert torch.equal(found.values, wanted.values)
        assert torch.equal(found.transposed().values, wanted.transposed().values)
    weight = torch.rand(part.num_edges)
    assert torch.equal(part.graph.gcn_norm(weight).values, built.gcn_norm(weight).values)
    turned = Graph.from_edge_index(part.edge_index.flip(0), part.num_nodes)
    same_pattern(part.reverse.csr, turned.csr)
    assert torch.equal(part.reverse.slot, turned.slot)


def test_repeated_edges_are_merged_graph_by_graph():
    edges = torch.tensor([[0, 0, 1, 1, 0], [1, 1, 0, 1, 0]])
    data = graph_union(edges, torch.tensor([2, 2]), torch.tensor([3, 2]), torch.zeros(2))
    part = UnionBatches(CSRGraph()(data)).take(torch.tensor([1, 0]))
    built = Graph.from_edge_index(part.edge_index, 4)
    assert torch.equal(part.graph.slot, built.slot)
    assert torch.equal(part.graph.gcn_norm().values, built.gcn_norm().values)


def test_sparse_features_are_gathered_as_dense_ones(union):
    union.x = union.x * (union.x > 1)
    chosen = torch.tensor([7, 3, 0])
    dense = UnionBatches(union).take(chosen).x
    sparse = UnionBatches(SparsifyFeatures(max_density=1.0)(union.clone())).take(chosen).x
    assert isinstance(sparse, SparseFeatures)
    assert torch.equal(sparse.to_dense(), dense)


def test_runs_for_evaluation_are_bounded_and_complete(union):
    batches = UnionBatches(union)
    graphs = torch.tensor([7, 0, 3, 2, 5])
    rows = union.ptr.diff() + union.edge_ptr.diff()
    for most in (1, 20, 40, 10**6):
        runs = batches.consecutive(graphs, most)
        assert torch.equal(torch.cat(runs), graphs)
        assert all(len(run) == 1 or int(rows[run].sum()) <= most for run in runs)
    assert batches.consecutive(graphs[:0], 10) == []


def test_fields_that_cannot_be_cut_are_named(union):
    union.table = torch.zeros(3, 3)
    with pytest.raises(ValueError, match=r"'table' of shape \[3, 3\].*cannot be cut"):
        UnionBatches(union)


def test_a_malformed_union_is_refused():
    nodes, edges = torch.tensor([2, 1]), torch.tensor([1, 1])
    with pytest.raises(ValueError, match=r"edge \[0, 1\] of graph 1 names a node"):
        graph_union(torch.tensor([[0, 0], [1, 1]]), nodes, edges, torch.zeros(2))
    with pytest.raises(ValueError, match="x must have 3 rows, got 2"):
        graph_union(torch.zeros(2, 2).long(), nodes, edges, torch.zeros(2), x=torch.zeros(2, 1))
    with pytest.raises(ValueError, match="2 edges are counted, but edge_index holds 1"):
        graph_union(torch.zeros(2, 1).long(), nodes, edges, torch.zeros(2))
