import pickle

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.nn.conv.gcn_conv import gcn_norm as pyg_gcn_norm

from gnnzoo.ops import CSR, Graph, SparseMatrix, as_graph
from tests.reference import dense
from tests.reference.graphs import kinds, random_edges

F64 = torch.float64


@pytest.mark.parametrize("kind", kinds())
def test_normalisation_equals_the_dense_one(kind):
    edge_index, n = kinds()[kind]
    weight = torch.rand(edge_index.size(1), dtype=F64)
    graph = Graph.from_edge_index(edge_index, n)
    for w in (None, weight):
        torch.testing.assert_close(
            graph.gcn_norm(w, dtype=F64).to_dense(), dense.gcn_norm(edge_index, n, w)
        )


@pytest.mark.parametrize("add_self_loops", [True, False])
@pytest.mark.parametrize("kind", kinds())
def test_mean_and_sum_equal_the_dense_ones(kind, add_self_loops):
    edge_index, n = kinds()[kind]
    weight = torch.rand(edge_index.size(1), dtype=F64)
    graph = Graph.from_edge_index(edge_index, n)
    for w in (None, weight):
        a = dense.adjacency(edge_index, n, w)
        if add_self_loops:
            a = a + torch.diag((a.diagonal() == 0).to(F64))
        torch.testing.assert_close(graph.matrix(w, F64, add_self_loops).to_dense(), a)
        mean = graph.mean_norm(w, add_self_loops, F64).to_dense()
        torch.testing.assert_close(mean, a / a.sum(1, keepdim=True).where(a.any(1)[:, None], 1.0))
    kept = graph.mean_norm(None, add_self_loops, F64)
    assert graph.mean_norm(None, add_self_loops, F64) is kept


def test_mean_has_the_right_gradient_and_refuses_bad_weights():
    edge_index = random_edges(6, 12)
    graph = Graph.from_edge_index(torch.cat([edge_index, edge_index], 1), 6)
    weight = torch.rand(graph.num_input_edges, dtype=F64).add(0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: graph.mean_norm(w, True).to_dense(), (weight,))
    with pytest.raises(ValueError, match="not negative"):
        graph.mean_norm(-weight)


@pytest.mark.parametrize("add_self_loops", [True, False])
def test_normalisation_equals_pyg_on_repeated_edges_and_loops(add_self_loops):
    for seed in range(5):
        torch.manual_seed(seed)
        edge_index, weight = torch.randint(6, (2, 40)), torch.rand(40, dtype=F64)
        for w in (None, weight):
            e, v = pyg_gcn_norm(edge_index, w, 6, add_self_loops=add_self_loops, dtype=F64)
            ours = Graph.from_edge_index(edge_index, 6).gcn_norm(w, add_self_loops, dtype=F64)
            torch.testing.assert_close(ours.to_dense(), dense.adjacency(e, 6, v))


def test_normalisation_has_the_right_gradient_to_repeated_edges():
    torch.manual_seed(0)
    edge_index = torch.randint(5, (2, 25))
    weight = torch.rand(25, dtype=F64, requires_grad=True)
    graph = Graph.from_edge_index(edge_index, 5)
    assert graph.num_edges < graph.num_input_edges
    assert torch.autograd.gradcheck(lambda w: graph.gcn_norm(w).to_dense(), weight)


def test_node_without_weight_gets_zeros_and_a_finite_gradient():
    weight = torch.zeros(1, requires_grad=True)
    matrix = Graph.from_edge_index(torch.tensor([[0], [1]]), 2).gcn_norm(weight, False)
    matrix.values.sum().backward()
    assert matrix.values.tolist() == [0.0]
    assert weight.grad.isfinite().all()


def test_undirected_graph_is_its_own_transpose():
    graph = Graph.from_edge_index(random_edges(9, 12, undirected=True), 9)
    assert graph.is_undirected
    assert graph.csr.transposed()[0] is graph.csr
    matrix = graph.gcn_norm()
    assert matrix.transposed() is matrix
    assert graph.gcn_norm() is matrix
    edges = graph.edge_index
    assert torch.equal(edges[:, graph.reverse_edge], edges.flip(0))


def test_directed_graph_has_another_transpose():
    graph = Graph.from_edge_index(random_edges(9, 12), 9)
    assert not graph.is_undirected
    matrix = graph.gcn_norm()
    assert torch.equal(matrix.transposed().to_dense(), matrix.to_dense().t())
    with pytest.raises(ValueError, match="no reverse"):
        _ = graph.reverse_edge


def test_degrees_count_different_edges():
    graph = Graph.from_edge_index(torch.tensor([[0, 0, 0, 1], [1, 1, 2, 2]]), 4)
    assert graph.in_degree().tolist() == [0, 1, 2, 0]
    assert graph.out_degree().tolist() == [2, 1, 0, 0]
    assert graph.slot.tolist() == [0, 0, 1, 2]
    assert graph.entry_weights(torch.tensor([1.0, 2.0, 4.0, 8.0])).tolist() == [3.0, 4.0, 8.0]
    assert graph.matrix().to_dense()[1, 0] == 2


def test_edge_index_and_sizes_are_read():
    edges = torch.tensor([[0, 1], [1, 2]])
    assert Graph.from_edge_index(edges).num_nodes == 3
    graph = Graph.from_edge_index(EdgeIndex(edges, sparse_size=(5, 5)))
    assert graph.num_nodes == 5
    assert torch.equal(graph.edge_index, edges)
    assert Graph.from_edge_index(torch.empty(2, 0, dtype=torch.long)).num_nodes == 0
    assert repr(graph) == "Graph(num_nodes=5, num_edges=2)"


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (torch.tensor([[0, 7], [1, 2]]), r"node 7.*\[0, 3\)"),
        (torch.tensor([[0, -1], [1, 2]]), r"node -1.*\[0, 3\)"),
        (torch.tensor([0, 1]), r"\[2, E\]"),
        (torch.zeros(3, 2, dtype=torch.long), r"\[2, E\]"),
        (torch.zeros(2, 2), "integers"),
        (torch.eye(3).to_sparse(), "to_edge_index"),
    ],
)
def test_bad_edges_are_named(edges, message):
    with pytest.raises(ValueError, match=message):
        Graph.from_edge_index(edges, 3)


@pytest.mark.parametrize("bad", [-0.5, float("nan"), float("inf")])
def test_bad_weights_are_named(bad):
    graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 2]]), 3)
    with pytest.raises(ValueError, match=str(bad)):
        graph.gcn_norm(torch.tensor([1.0, bad]))
    with pytest.raises(ValueError, match=r"\[2\].*\[3\]"):
        graph.gcn_norm(torch.ones(3))
    with pytest.raises(ValueError, match="int64"):
        graph.gcn_norm(torch.ones(2, dtype=torch.long))


def test_as_graph_refuses_another_size():
    graph = Graph.from_edge_index(torch.tensor([[0], [1]]), 3)
    assert as_graph(graph, 3) is graph
    with pytest.raises(ValueError, match="3 nodes, x has 4"):
        as_graph(graph, 4)


def test_what_is_made_under_inference_mode_can_be_trained_with():
    with torch.inference_mode():
        graph = Graph.from_edge_index(random_edges(9, 12), 9)
        matrix = graph.gcn_norm()
        graph.csr.transposed()
    for tensor in (graph.slot, graph.csr.row, matrix.values, matrix.transposed().values):
        assert not tensor.is_inference()


def test_moving_keeps_what_was_made():
    graph = Graph.from_edge_index(random_edges(9, 12, undirected=True), 9)
    graph.gcn_norm()
    assert graph.is_undirected
    assert graph.to("cpu") is graph
    moved = graph.to("meta")
    assert moved.device.type == "meta"
    assert moved.gcn_norm().transposed() is moved.gcn_norm()
    assert moved.gcn_norm().csr is moved.with_self_loops()[0]
    assert moved.is_undirected


def test_graph_survives_pickling():
    graph = pickle.loads(pickle.dumps(Graph.from_edge_index(random_edges(9, 12), 9)))
    assert graph.gcn_norm().to_dense().shape == (9, 9)


def test_pattern_of_a_rectangle_transposes_there_and_back():
    csr, slot = CSR.from_coo(torch.tensor([2, 0, 2, 2]), torch.tensor([1, 3, 1, 0]), 3, 5)
    assert slot.tolist() == [2, 0, 2, 1]
    assert csr.col.dtype == torch.int32
    other, perm = csr.transposed()
    assert other.shape == (5, 3)
    assert other.transposed()[0] is csr
    assert torch.equal(csr.col[perm], other.row)
    assert repr(csr) == "CSR(3 x 5, 3 entries)"


@pytest.mark.parametrize("kind", kinds())
def test_incidence_sums_over_edges_and_hands_ends_out(kind):
    edge_index, n = kinds()[kind]
    graph = Graph.from_edge_index(edge_index.repeat(1, 2), n)
    x, e = torch.randn(n), torch.randn(graph.num_edges)
    for end, ids in zip(("source", "target"), graph.edge_index, strict=True):
        matrix = graph.incidence(end)
        assert matrix.shape == (n, graph.num_edges)
        torch.testing.assert_close(matrix.to_dense() @ e, torch.zeros(n).index_add(0, ids, e))
        torch.testing.assert_close(matrix.transposed().to_dense() @ x, x[ids])
        assert graph.incidence(end) is matrix
    with pytest.raises(ValueError, match="end must be 'source' or 'target', got 'both'"):
        graph.incidence("both")


def test_interleaved_heads_are_disjoint_copies_of_a_pattern():
    csr, _ = CSR.from_coo(torch.tensor([0, 1, 1]), torch.tensor([2, 0, 1]), 2, 3)
    heads, entry = csr.interleaved(3)
    assert heads.shape == (6, 9)
    values = torch.tensor([1.0, 2.0, 3.0])
    want = torch.kron(SparseMatrix(csr, values).to_dense(), torch.eye(3))
    assert torch.equal(SparseMatrix(heads, values[entry]).to_dense(), want)
    again, _ = CSR.from_coo(heads.row, heads.col, 6, 9)
    assert torch.equal(again.col, heads.col)
    assert torch.equal(again.rowptr, heads.rowptr)
    assert csr.interleaved(3)[0] is heads
    assert csr.interleaved(1)[0] is csr
