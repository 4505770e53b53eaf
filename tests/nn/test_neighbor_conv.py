import pytest
import torch

from gnnzoo.nn import GCNConv, NeighborConv
from gnnzoo.nn.neighbor_conv import AGGREGATIONS
from gnnzoo.ops import Block, Graph, SparseFeatures
from tests.reference import ncn
from tests.reference.dense import adjacency
from tests.reference.graphs import kinds, random_edges

F64 = torch.float64
NO_LOOPS = {name: kind for name, kind in kinds().items() if name in ("no_loops", "empty")}


@pytest.mark.parametrize("aggr", AGGREGATIONS)
@pytest.mark.parametrize("kind", NO_LOOPS)
@pytest.mark.parametrize("pure", [True, False])
def test_equals_the_dense_formula(aggr, kind, pure):
    edge_index, n = NO_LOOPS[kind]
    conv = NeighborConv(aggr) if pure else NeighborConv(aggr, 5, 3)
    x = torch.randn(n, 5, dtype=F64)
    conv = conv.double()
    for weight in (None, torch.rand(edge_index.size(1), dtype=F64) + 0.1):
        a = adjacency(edge_index, n, weight)
        h = x if pure else x @ conv.weight.T
        want = ncn.smoothed(aggr, a, h)
        torch.testing.assert_close(conv(x, edge_index, weight), want if pure else want + conv.bias)


def test_gcn_is_gcn():
    ours, theirs = NeighborConv("gcn", 5, 3), GCNConv(5, 3)
    ours.weight, ours.bias = theirs.lin.weight, theirs.bias
    x, edges = torch.randn(9, 5), random_edges(9, 24)
    torch.testing.assert_close(ours(x, edges), theirs(x, edges))


def test_a_node_alone_keeps_its_features_under_gcn_and_gets_zero_otherwise():
    x = torch.randn(1, 4)
    empty = torch.empty(2, 0).long()
    assert torch.equal(NeighborConv("gcn")(x, empty), x)
    for aggr in ("mean", "sum", "max"):
        assert torch.equal(NeighborConv(aggr)(x, empty), torch.zeros(1, 4))


def test_one_edge_carries_its_source_to_its_target():
    x = torch.tensor([[-1.0], [-2.0], [-4.0]])
    for aggr in ("mean", "sum", "max"):
        out = NeighborConv(aggr)(x, torch.tensor([[2], [0]]))
        assert out.tolist() == [[-4.0], [0.0], [0.0]]


@pytest.mark.parametrize("aggr", AGGREGATIONS)
def test_gradcheck(aggr):
    conv = NeighborConv(aggr, 3, 2).double()
    edges = random_edges(6, 12)
    x = torch.randn(6, 3, dtype=F64, requires_grad=True)
    weight = (torch.rand(edges.size(1), dtype=F64) + 0.5).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w: conv(x, edges, w), (x, weight))


@pytest.mark.parametrize("aggr", AGGREGATIONS)
def test_edge_dropout_is_that_of_a_smaller_graph(aggr):
    """Every draw equals the dense formula on some set of edges, each direction for itself."""
    edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    x, p = torch.randn(3, 2, dtype=F64), 0.5
    scale = 1.0 if aggr in ("mean", "max") else 1 / (1 - p)
    subsets = torch.tensor([[bool(i & 1 << k) for k in range(4)] for i in range(16)])
    results = [ncn.smoothed(aggr, adjacency(edges, 3, s.double() * scale), x) for s in subsets]
    conv, seen = NeighborConv(aggr, edge_dropout=p), set()
    for _ in range(200):
        out = conv(x, edges)
        match = [k for k, want in enumerate(results) if torch.allclose(out, want, atol=1e-6)]
        assert match
        seen.add(match[0])
    assert len(seen) > 8  # alone the pairs of directions would give 4
    torch.testing.assert_close(conv.eval()(x, edges), ncn.smoothed(aggr, adjacency(edges, 3), x))


@pytest.mark.parametrize("aggr", AGGREGATIONS)
def test_reads_a_graph_a_block_and_sparse_features(aggr):
    edges = random_edges(9, 24)
    x = torch.randn(9, 5) * (torch.rand(9, 5) < 0.5)
    graph = Graph.from_edge_index(edges, 9)
    for conv in (NeighborConv(aggr), NeighborConv(aggr, 5, 3)):
        want = conv(x, edges)
        torch.testing.assert_close(conv(x, graph), want)
        block = Block(graph, 2, 5)
        torch.testing.assert_close(conv(x[block.nodes], block)[block.targets], want[2:5])
    torch.testing.assert_close(conv(SparseFeatures.from_dense(x), graph), want)


def test_what_a_graph_keeps_is_not_made_again(monkeypatch):
    graph = Graph.from_edge_index(random_edges(9, 24), 9)
    convs = [NeighborConv(aggr) for aggr in ("gcn", "mean", "sum")]
    x = torch.randn(9, 2)
    for conv in convs:
        conv(x, graph)
    monkeypatch.setattr(Graph, "_make_kept", None)
    for conv in convs:
        conv(x, graph)


def test_bad_settings_are_named_and_the_name_shows_the_widths():
    with pytest.raises(ValueError, match=r"aggr must be one of 'gcn'.*got 'median'"):
        NeighborConv("median")
    with pytest.raises(ValueError, match=r"edge_dropout.*got 2"):
        NeighborConv("sum", edge_dropout=2)
    with pytest.raises(ValueError, match="in_channels must be an integer of at least 1, got None"):
        NeighborConv("sum", out_channels=3)
    assert repr(NeighborConv("sum", 5, 3)) == "NeighborConv('sum', 5, 3)"
    assert repr(NeighborConv("max")) == "NeighborConv('max')"
