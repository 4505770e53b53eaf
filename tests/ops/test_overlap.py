"""Overlaps equal the dense ones, with every back-end."""

import gc
import sys
import tracemalloc
import weakref

import pytest
import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from gnnzoo.ops import (
    CSR,
    Bags,
    Graph,
    backends,
    drop_links,
    keep_entries,
    neighbor_overlap,
    pool_bags,
)
from gnnzoo.ops.overlap import _plan
from tests.reference.graphs import kinds, random_edges
from tests.reference.overlap import dense_bags, dense_overlap

F64 = torch.float64
overlap_module = sys.modules["gnnzoo.ops.overlap"]
interpreted = pytest.mark.skipif(
    not backends.has_triton() or torch.cuda.is_available(),
    reason="Triton's interpreter is not there; on a CUDA device tests/test_cuda.py runs the kernel",
)
BACKENDS = ["scipy", "torch", "dense", pytest.param("triton", marks=interpreted)]


@pytest.fixture(params=BACKENDS)
def backend(request):
    with backends.use(request.param):
        yield request.param


def bags_of(overlap):
    return [overlap.common, overlap.first_only, overlap.second_only]


def hub_edges(num_nodes=40):
    """A hub that knows nearly everybody, in a sparse graph; the last node is isolated."""
    hub = torch.stack(
        [torch.zeros(num_nodes - 3, dtype=torch.long), torch.arange(1, num_nodes - 2)]
    )
    edges = torch.cat([hub, hub.flip(0), random_edges(num_nodes, 60, undirected=True)], dim=1)
    return edges.unique(dim=1)


GRAPHS = {
    **kinds(),
    "hub": (hub_edges(), 40),
    "larger": (random_edges(200, 1500, undirected=True), 200),
    "no_self": (hub_edges()[:, hub_edges()[0] != hub_edges()[1]], 40),
    "complete": (torch.ones(7, 7).nonzero().t(), 7),
}


def graph_and_pairs(kind, num_pairs=150):
    edges, n = GRAPHS[kind]
    torch.manual_seed(0)
    graph = Graph.from_edge_index(edges, n)
    pairs = torch.cat([torch.randint(n, (2, num_pairs)), graph.edge_index[:, :50]], dim=1)
    return graph, pairs[:, torch.randperm(pairs.size(1))]


def check(overlap, want, num_nodes):
    for bags, dense in zip(bags_of(overlap), want, strict=True):
        assert bags.offsets.dtype == bags.node.dtype == torch.int64
        assert (bags.offsets[0], bags.offsets[-1]) == (0, bags.num_items)
        assert torch.equal(dense_bags(bags.offsets, bags.node, num_nodes), dense)
        key = bags.owner() * num_nodes + bags.node
        assert (key[1:] > key[:-1]).all()  # by pair, then by node


@pytest.mark.parametrize("kind", GRAPHS)
def test_overlaps_equal_the_dense_ones(kind, backend):
    graph, pairs = graph_and_pairs(kind)
    want = dense_overlap(graph.edge_index, graph.num_nodes, pairs)
    check(neighbor_overlap(graph, pairs, differences=True), want, graph.num_nodes)
    alone = neighbor_overlap(graph, pairs)
    check_common = dense_bags(alone.common.offsets, alone.common.node, graph.num_nodes)
    assert torch.equal(check_common, want[0])
    assert alone.first_only is alone.second_only is None


def test_pooled_overlaps_and_their_gradients_equal_dense_products(backend):
    graph, pairs = graph_and_pairs("hub", num_pairs=20)
    want = dense_overlap(graph.edge_index, graph.num_nodes, pairs)
    x = torch.randn(graph.num_nodes, 3, dtype=F64, requires_grad=True)
    for bags, dense in zip(bags_of(neighbor_overlap(graph, pairs, True)), want, strict=True):
        weight = torch.randn(bags.num_items, dtype=F64, requires_grad=True)
        weighted = dense_bags(bags.offsets, bags.node, graph.num_nodes, weight)
        ours, theirs = pool_bags(x, bags, weight), weighted @ x
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(pool_bags(x, bags), dense @ x)
        goal = torch.randn_like(ours)
        torch.testing.assert_close(
            torch.autograd.grad((ours * goal).sum(), (x, weight)),
            torch.autograd.grad((theirs * goal).sum(), (x, weight)),
        )


def test_gradcheck(backend):
    graph = Graph.from_edge_index(random_edges(9, 14, undirected=True), 9)
    pairs = torch.randint(9, (2, 12))
    x = torch.randn(9, 2, dtype=F64, requires_grad=True)
    for bags in bags_of(neighbor_overlap(graph, pairs, differences=True)):
        weight = torch.randn(bags.num_items, dtype=F64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda x, w, b=bags: pool_bags(x, b, w), (x, weight))


@pytest.mark.parametrize("kind", GRAPHS)
def test_the_other_order_within_pairs_swaps_the_differences(kind, backend):
    graph, pairs = graph_and_pairs(kind)
    there, back = (neighbor_overlap(graph, p, differences=True) for p in (pairs, pairs.flip(0)))
    assert_equal(there.common, back.common)
    assert_equal(there.first_only, back.second_only)
    assert_equal(there.second_only, back.first_only)


def assert_equal(ours: Bags, theirs: Bags):
    assert torch.equal(ours.offsets, theirs.offsets)
    assert torch.equal(ours.node, theirs.node)


@pytest.mark.parametrize("kind", ["directed", "hub", "larger"])
def test_relabelled_nodes_come_back_relabelled(kind, backend):
    graph, pairs = graph_and_pairs(kind)
    label = torch.randperm(graph.num_nodes)
    other = Graph.from_edge_index(label[graph.edge_index], graph.num_nodes)
    before = bags_of(neighbor_overlap(graph, pairs, differences=True))
    after = bags_of(neighbor_overlap(other, label[pairs], differences=True))
    for bags, relabelled in zip(before, after, strict=True):
        dense = dense_bags(bags.offsets, bags.node, graph.num_nodes)
        moved = dense_bags(relabelled.offsets, relabelled.node, graph.num_nodes)
        assert torch.equal(moved[:, label], dense)


def test_pairs_in_another_order_give_bags_in_that_order(backend):
    graph, pairs = graph_and_pairs("hub")
    order = torch.randperm(pairs.size(1))
    before = bags_of(neighbor_overlap(graph, pairs, differences=True))
    after = bags_of(neighbor_overlap(graph, pairs[:, order], differences=True))
    for bags, moved in zip(before, after, strict=True):
        dense = dense_bags(bags.offsets, bags.node, graph.num_nodes)
        assert torch.equal(dense_bags(moved.offsets, moved.node, graph.num_nodes), dense[order])


def test_pooled_node_weights_are_the_heuristics(backend):
    graph, pairs = graph_and_pairs("no_self")
    pairs = pairs[:, pairs[0] != pairs[1]]
    degree = graph.in_degree().to(F64)
    i, j = pairs
    lists = [set(graph.csr.col[graph.csr.row == u].tolist()) for u in range(graph.num_nodes)]
    overlap = neighbor_overlap(graph, pairs, differences=True)
    for weight in (torch.ones_like(degree), 1 / degree.log(), 1 / degree):
        want = [sum(weight[u].item() for u in lists[a] & lists[b]) for a, b in pairs.t().tolist()]
        found = pool_bags(weight.unsqueeze(1), overlap.common).squeeze(1)
        torch.testing.assert_close(found, torch.tensor(want, dtype=F64))
    common = overlap.common.counts()
    assert torch.equal(overlap.first_only.counts(), graph.in_degree()[i] - common)
    assert torch.equal(overlap.second_only.counts(), graph.in_degree()[j] - common)


def test_masked_edges_do_not_count_whatever_their_reverses_do(backend):
    graph, pairs = graph_and_pairs("hub")
    keep = torch.rand(graph.num_edges) < 0.6
    part = keep_entries(graph, keep)
    want = dense_overlap(graph.edge_index[:, keep], graph.num_nodes, pairs)
    check(neighbor_overlap(part, pairs, differences=True), want, graph.num_nodes)


def test_links_that_were_dropped_are_in_nobodys_lists(backend):
    graph = Graph.from_edge_index(random_edges(30, 90, undirected=True, loops=False), 30)
    pairs = graph.edge_index[:, ::4]
    overlap = neighbor_overlap(drop_links(graph, pairs), pairs, differences=True)
    for bags, other in ((overlap.first_only, pairs[1]), (overlap.second_only, pairs[0])):
        assert bags.num_items
        assert (bags.node != other[bags.owner()]).all()


@pytest.mark.parametrize("kind", ["hub", "larger", "empty", "directed"])
@pytest.mark.parametrize("max_items", [1, 7, 300])
def test_chunks_make_no_difference(kind, max_items, backend):
    graph, pairs = graph_and_pairs(kind, num_pairs=30)
    for differences in (False, True):
        whole = neighbor_overlap(graph, pairs, differences, max_items=10**9)
        parts = neighbor_overlap(graph, pairs, differences, max_items=max_items)
        for ours, theirs in zip(bags_of(parts), bags_of(whole), strict=True):
            if ours is not None or theirs is not None:
                assert_equal(ours, theirs)


def test_a_node_paired_with_itself_shares_everything(backend):
    graph, _ = graph_and_pairs("directed")
    nodes = torch.arange(graph.num_nodes)
    overlap = neighbor_overlap(graph, torch.stack([nodes, nodes]), differences=True)
    proper = graph.csr.row != graph.csr.col
    assert overlap.common.node.tolist() == graph.csr.col[proper].tolist()
    assert overlap.first_only.num_items == overlap.second_only.num_items == 0


def test_the_ends_of_an_edge_are_in_the_differences(backend):
    graph = Graph.from_edge_index(torch.tensor([[0, 1, 1, 2, 0, 2, 1], [1, 0, 2, 1, 2, 0, 1]]), 4)
    overlap = neighbor_overlap(graph, torch.tensor([[0, 0], [1, 3]]), differences=True)
    assert [bags.node.tolist() for bags in bags_of(overlap)] == [[2], [1, 1, 2], [0]]
    assert [bags.offsets.tolist() for bags in bags_of(overlap)] == [[0, 1, 1], [0, 1, 3], [0, 1, 1]]


def test_neighbours_are_those_that_a_node_hears_from(backend):
    graph = Graph.from_edge_index(torch.tensor([[3, 3, 0], [0, 1, 3]]), 4)  # 3 -> 0, 3 -> 1
    assert neighbor_overlap(graph, torch.tensor([[0], [1]])).common.node.tolist() == [3]


def test_repeated_pairs_get_a_bag_each(backend):
    graph, pairs = graph_and_pairs("hub", num_pairs=5)
    once = neighbor_overlap(graph, pairs, differences=True)
    thrice = neighbor_overlap(graph, pairs.repeat(1, 3), differences=True)
    for ours, theirs in zip(bags_of(thrice), bags_of(once), strict=True):
        assert torch.equal(ours.node, theirs.node.repeat(3))
        assert torch.equal(ours.counts(), theirs.counts().repeat(3))


def test_wide_indices_give_the_same(backend):
    graph, pairs = graph_and_pairs("hub")
    csr = CSR(graph.csr.rowptr.long(), graph.csr.col.long(), 40, 40)
    wide, row = Graph(csr, graph.slot), csr.row.clone()
    for ours, theirs in zip(
        bags_of(neighbor_overlap(wide, pairs, differences=True)),
        bags_of(neighbor_overlap(graph, pairs, differences=True)),
        strict=True,
    ):
        assert_equal(ours, theirs)
    part = drop_links(wide, graph.edge_index[:, ::3])
    assert torch.equal(part.edge_index, drop_links(graph, graph.edge_index[:, ::3]).edge_index)
    assert torch.equal(csr.row, row)  # the graph's own arrays are left alone


@pytest.mark.parametrize("kind", GRAPHS)
def test_no_pairs_give_no_bags(kind, backend):
    graph, _ = graph_and_pairs(kind)
    none = torch.empty(2, 0, dtype=torch.int32)
    for bags in bags_of(neighbor_overlap(graph, none, differences=True)):
        assert (bags.num_bags, bags.num_items, bags.offsets.tolist()) == (0, 0, [0])
    nobody = Graph.from_edge_index(torch.empty(2, 0, dtype=torch.long), 0)
    assert neighbor_overlap(nobody, none).common.num_bags == 0


def test_what_is_made_under_inference_mode_can_be_trained_with(backend):
    graph, pairs = graph_and_pairs("hub")
    with torch.inference_mode():
        bags = neighbor_overlap(graph, pairs).common
    x = torch.randn(graph.num_nodes, 2, requires_grad=True)
    pool_bags(x, bags).sum().backward()
    assert x.grad.sum() == 2 * bags.num_items


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (torch.tensor([[0, 7], [1, 2]]), r"node 7.*\[0, 3\)"),
        (torch.tensor([[0, -1], [1, 2]]), r"node -1.*\[0, 3\)"),
        (torch.zeros(4, 2, dtype=torch.long), r"\[2, num_pairs\], got \[4, 2\]"),
        (torch.zeros(2, 2), "integers, got torch.float32"),
    ],
)
def test_bad_pairs_are_named(pairs, message, backend):
    graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 2]]))
    with pytest.raises(ValueError, match=message):
        neighbor_overlap(graph, pairs)


def test_a_bad_budget_is_named():
    graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 2]]))
    with pytest.raises(ValueError, match="max_items must be at least 1, got 0"):
        neighbor_overlap(graph, torch.tensor([[0], [1]]), max_items=0)


def plan(edges, num_nodes, pairs, differences=False):
    graph = Graph.from_edge_index(edges, num_nodes)
    return _plan(graph.csr, torch.tensor(pairs), differences)


def test_long_lists_beside_short_ones_are_searched_and_dense_graphs_are_not():
    nodes = torch.arange(1, 1001)
    star = torch.stack([torch.cat([nodes * 0, nodes]), torch.cat([nodes, nodes * 0])])
    assert plan(star, 1001, [[0, 0], [1, 2]])[0] == "torch"
    assert plan(star, 1001, [[0, 0], [1, 2]])[1].tolist() == [1, 1]
    assert plan(star, 1001, [[0, 0], [1, 2]], differences=True)[0] == "scipy"
    assert plan(star, 1001, [[0, 0], [1, 2]], differences=True)[1].tolist() == [1001, 1001]
    assert plan(star, 1001, [[1, 1], [3, 2]])[0] == "scipy"
    full = torch.ones(30, 30).nonzero().t()
    pairs = [[0, 1], [1, 2]]
    assert plan(full, 30, pairs)[0] == "scipy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "has_scipy", lambda: False)
        assert plan(full, 30, pairs)[0] == "dense"
        assert plan(full, 30, pairs)[1].tolist() == [30, 30]
        assert plan(star, 1001, [[1, 1], [3, 2]])[0] == "torch"
        patch.setattr(overlap_module, "MAX_MASK_NODES", 29)
        assert plan(full, 30, pairs)[0] == "torch"
    for name in BACKENDS[:3]:
        with backends.use(name):
            assert plan(full, 30, pairs)[0] == plan(star, 1001, [[0], [1]])[0] == name


class LargestTensor(TorchDispatchMode):
    """Elements of the largest tensor made inside the block."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        found = [t.numel() for t in pytree.tree_leaves(out) if isinstance(t, torch.Tensor)]
        self.elements = max([self.elements, *found])
        return out


@pytest.mark.parametrize("backend", BACKENDS[:3])  # the interpreter makes tensors of its own
@pytest.mark.parametrize("differences", [False, True])
def test_memory_is_bounded_by_the_budget_and_the_result(differences, backend):
    num_nodes, num_pairs = 2000, 20_000
    budget = 200_000 if backend == "dense" else 5000
    edges = random_edges(num_nodes, 8000, undirected=True, loops=False)
    graph = Graph.from_edge_index(edges, num_nodes)
    pairs = torch.randint(num_nodes, (2, num_pairs))
    cells, most = num_pairs * num_nodes, max(graph.num_edges, 2 * num_pairs) + budget
    if backend == "dense":
        most = num_nodes**2  # the mask
    with backends.use(backend):
        neighbor_overlap(graph, pairs[:, :1])  # what is made once per graph
    tracemalloc.start()
    with backends.use(backend), LargestTensor() as largest:
        overlap = neighbor_overlap(graph, pairs, differences, max_items=budget)
    _, peak = tracemalloc.get_traced_memory()  # NumPy's arrays count, torch's do not
    tracemalloc.stop()
    result = [bags.num_items for bags in bags_of(overlap) if bags is not None]
    assert largest.elements <= max(most, *result) < cells
    if backend == "scipy":
        assert peak < graph.num_edges + 40 * budget + 1_000_000 < cells


def test_patterns_are_let_go_with_their_graphs():
    graph, pairs = graph_and_pairs("hub")
    neighbor_overlap(graph, pairs)
    neighbor_overlap(keep_entries(graph, torch.rand(graph.num_edges) < 0.5), pairs)
    pattern = weakref.ref(graph.csr)
    del graph
    gc.collect()
    assert pattern() is None
