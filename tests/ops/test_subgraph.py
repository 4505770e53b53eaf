import gc
import pickle
import weakref

import pytest
import torch

from gnnzoo.ops import Graph, drop_links, keep_entries, spmm
from tests.reference.graphs import kinds, random_edges

F64 = torch.float64


def rebuilt(graph, keep):
    """What the kept edges alone make, sorted anew."""
    return Graph.from_edge_index(graph.edge_index[:, keep], graph.num_nodes)


def assert_same(ours, theirs):
    assert torch.equal(ours.csr.rowptr, theirs.csr.rowptr)
    assert torch.equal(ours.csr.col, theirs.csr.col)
    assert torch.equal(ours.csr.row, theirs.csr.row)
    assert ours.csr.rowptr.dtype == theirs.csr.rowptr.dtype
    assert torch.equal(ours.slot, theirs.slot)
    assert ours.is_undirected == theirs.is_undirected
    (other, perm), (other_too, perm_too) = ours.csr.transposed(), theirs.csr.transposed()
    assert torch.equal(other.rowptr, other_too.rowptr)
    assert torch.equal(other.col, other_too.col)
    assert torch.equal(perm, perm_too)
    assert torch.equal(other.transposed()[1], other_too.transposed()[1])
    for kind in ("gcn_norm", "mean_norm", "matrix"):
        for loops in (True, False):
            left = getattr(ours, kind)(dtype=F64, add_self_loops=loops)
            right = getattr(theirs, kind)(dtype=F64, add_self_loops=loops)
            torch.testing.assert_close(left.to_dense(), right.to_dense())
            torch.testing.assert_close(left.transposed().to_dense(), right.to_dense().t())
            assert (left.transposed() is left) == (right.transposed() is right)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", kinds())
def test_kept_entries_make_the_graph_that_the_kept_edges_make(kind, seed):
    graph = Graph.from_edge_index(*kinds()[kind])
    keep = torch.rand(graph.num_edges, generator=torch.Generator().manual_seed(seed)) < seed / 3
    assert_same(keep_entries(graph, keep), rebuilt(graph, keep))


@pytest.mark.parametrize("kind", kinds())
def test_parts_of_parts_are_parts(kind):
    torch.manual_seed(0)
    graph = Graph.from_edge_index(*kinds()[kind])
    graph.with_self_loops()
    first = torch.rand(graph.num_edges) < 0.7
    part = keep_entries(graph, first)
    second = torch.rand(part.num_edges) < 0.7
    both = first.clone()
    both[first] = second
    assert_same(keep_entries(part, second), rebuilt(graph, both))


def test_a_dropped_self_loop_is_added_again_where_loops_are_asked_for():
    graph = Graph.from_edge_index(torch.tensor([[0, 1, 0, 1], [0, 1, 1, 0]]), 2)
    part = drop_links(graph, torch.tensor([[1], [1]]))
    assert part.edge_index.tolist() == [[0, 1, 0], [0, 0, 1]]
    csr, entries, loops, repeated, last = part.with_self_loops()
    assert csr.col.tolist() == [0, 1, 0, 1]
    assert (entries.tolist(), loops.tolist()) == ([0, 1, 2], [3])
    assert repeated.numel() == last.numel() == 0


def test_links_go_in_both_directions():
    edges = random_edges(12, 40, undirected=True)
    graph = Graph.from_edge_index(edges, 12)
    some = graph.edge_index[:, ::5]
    some = torch.cat([some, some[:, :2].flip(0), some[:, :1]], dim=1)  # repetitions do no harm
    gone = {pair for u, v in some.t().tolist() for pair in ((u, v), (v, u))}
    keep = torch.tensor([tuple(edge) not in gone for edge in graph.edge_index.t().tolist()])
    part = drop_links(graph, some)
    assert 0 < part.num_edges < graph.num_edges
    assert part.is_undirected
    assert_same(part, rebuilt(graph, keep))
    assert_same(drop_links(graph, some.int()), part)


def test_a_link_of_one_direction_goes_whichever_way_it_is_named():
    graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 2]]), 3)
    for pair in ([[0], [1]], [[1], [0]]):
        assert drop_links(graph, torch.tensor(pair)).edge_index.tolist() == [[1], [2]]


@pytest.mark.parametrize("kind", kinds())
def test_dropping_nothing_and_everything(kind):
    graph = Graph.from_edge_index(*kinds()[kind])
    everything = torch.ones(graph.num_edges, dtype=torch.bool)
    nothing = torch.empty(2, 0, dtype=torch.long)
    assert_same(drop_links(graph, nothing), rebuilt(graph, everything))
    empty = Graph.from_edge_index(torch.empty(2, 0, dtype=torch.long), graph.num_nodes)
    assert_same(drop_links(graph, graph.edge_index), empty)


def test_a_pair_that_is_no_edge_is_named_or_ignored():
    graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 0]]), 4)
    pairs = torch.tensor([[0, 2], [1, 3]])
    with pytest.raises(ValueError, match=r"pair \(2, 3\) is no edge.*strict=False"):
        drop_links(graph, pairs)
    assert drop_links(graph, pairs, strict=False).num_edges == 0
    empty = Graph.from_edge_index(torch.empty(2, 0, dtype=torch.long), 4)
    assert drop_links(empty, pairs, strict=False).num_edges == 0
    with pytest.raises(ValueError, match=r"pair \(0, 1\)"):
        drop_links(empty, pairs)


def test_weights_carry_over():
    repeated = random_edges(9, 12).repeat(1, 2)
    graph = Graph.from_edge_index(repeated, 9)
    keep = torch.rand(graph.num_edges) < 0.6
    weight = torch.rand(repeated.size(1), dtype=F64)
    part, dense = keep_entries(graph, keep), graph.matrix(weight).to_dense()
    gone = graph.edge_index[:, ~keep]
    dense[gone[1], gone[0]] = 0
    kept = graph.entry_weights(weight)[keep]
    torch.testing.assert_close(part.matrix(kept).to_dense(), dense)


def test_nothing_is_sorted_once_the_whole_graph_has_its_transpose(monkeypatch):
    graph = Graph.from_edge_index(random_edges(20, 60, undirected=True), 20)
    graph.gcn_norm()
    graph.csr.transposed()
    for name in ("sort", "argsort"):
        monkeypatch.setattr(torch.Tensor, name, None)
    part = drop_links(graph, graph.edge_index[:, :6])
    x = torch.randn(20, 3, requires_grad=True)
    (spmm(part.gcn_norm(), x) + spmm(part.mean_norm(), x)).sum().backward()
    assert part.is_undirected
    assert not keep_entries(graph, torch.arange(graph.num_edges) > 3).is_undirected


def test_the_mask_may_change_afterwards():
    graph = Graph.from_edge_index(random_edges(9, 12, undirected=True), 9)
    keep = torch.ones(graph.num_edges, dtype=torch.bool)
    part = keep_entries(graph, keep)
    keep.zero_()
    assert_same(part, rebuilt(graph, ~keep))


def test_parts_are_pickled_moved_and_made_under_inference_mode():
    graph = Graph.from_edge_index(random_edges(9, 12, undirected=True), 9)
    with torch.inference_mode():
        part = drop_links(graph, graph.edge_index[:, :2])
        part.gcn_norm()
    assert_same(pickle.loads(pickle.dumps(part)), part)
    assert part.to("meta").gcn_norm().shape == (9, 9)
    assert not part.gcn_norm().values.is_inference()
    assert repr(part) == f"Graph(num_nodes=9, num_edges={part.num_edges})"


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (torch.ones(2), "bool, got torch.float32"),
        (torch.ones(3, dtype=torch.bool), r"\[2\].*\[3\]"),
        (torch.ones(2, dtype=torch.bool, device="meta"), "meta"),
    ],
)
def test_bad_masks_are_named(keep, message):
    with pytest.raises(ValueError, match=message):
        keep_entries(Graph.from_edge_index(torch.tensor([[0, 1], [1, 2]])), keep)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (torch.tensor([[0, 7], [1, 2]]), r"node 7.*\[0, 3\)"),
        (torch.tensor([[0, -1], [1, 2]]), r"node -1.*\[0, 3\)"),
        (torch.zeros(4, 2, dtype=torch.long), r"\[2, num_pairs\], got \[4, 2\]"),
        (torch.zeros(2, 2), "integers, got torch.float32"),
        (torch.zeros(2, 2, dtype=torch.bool), "integers, got torch.bool"),
        (torch.zeros(2, 2, dtype=torch.long, device="meta"), "meta"),
    ],
)
def test_bad_pairs_are_named(pairs, message):
    with pytest.raises(ValueError, match=message):
        drop_links(Graph.from_edge_index(torch.tensor([[0, 1], [1, 2]])), pairs)


@pytest.mark.parametrize("undirected", [True, False])
def test_what_a_step_made_goes_with_its_graph_at_once(undirected):
    """Not when the garbage collector comes by: it counts objects, and these are few and large."""
    edges = random_edges(30, 80, undirected=undirected)
    graph = Graph.from_edge_index(edges, 30)
    gc.disable()
    try:
        made = []
        for _ in range(3):
            part = keep_entries(graph, torch.rand(graph.num_edges) < 0.7)
            x = torch.randn(30, 2, requires_grad=True)
            for matrix in (part.gcn_norm(), part.mean_norm(), part.matrix()):
                spmm(matrix, x).sum().backward()
                made += [weakref.ref(matrix), weakref.ref(matrix.csr)]
            made += [weakref.ref(part), weakref.ref(part.csr)]
            del part, matrix
        assert not any(reference() is not None for reference in made)
    finally:
        gc.enable()
