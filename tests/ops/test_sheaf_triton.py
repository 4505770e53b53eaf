"""The fused kernels give what the portable back-end gives; on a CPU through the interpreter."""

import pytest
import torch
from torch_geometric.utils import to_undirected

from gnnzoo.ops import Graph, backends
from gnnzoo.ops.backends import has_triton
from gnnzoo.ops.sheaf_blocks import SheafBlocks
from gnnzoo.ops.sheaf_graph import SheafGraph

pytestmark = pytest.mark.skipif(not has_triton(), reason="Triton is not installed")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# learned and fixed stalk dimensions, channels, whether coupled, values per node
CASES = [
    (1, 0, 3, False, "number"),
    (3, 2, 5, False, "stalk"),
    (2, 1, 7, True, "number"),
    (3, 1, 20, True, "stalk"),
    (3, 2, 5, True, "block"),
    (4, 0, 16, True, "block"),
    (8, 0, 2, True, "block"),
]


def hub_graph(num_nodes: int = 12) -> SheafGraph:
    """A hub, some more edges, an isolated node."""
    torch.manual_seed(0)
    star = torch.stack([torch.zeros(8, dtype=torch.long), torch.arange(1, 9)])
    more = torch.randint(num_nodes - 1, (2, 14))
    edges = torch.cat([star, more[:, more[0] != more[1]]], dim=1)
    edges = to_undirected(edges, num_nodes=num_nodes).to(DEVICE)
    return SheafGraph.from_graph(Graph.from_edge_index(edges, num_nodes))


def operands(graph, stalk_dim, num_fixed, channels, full, values, dtype=torch.float64):
    stalks = stalk_dim + num_fixed
    stored = (stalk_dim**2 if full else stalk_dim) + num_fixed
    width = {"number": 1, "stalk": stalks, "block": stored}[values]
    shape = (stored, graph.num_pairs) if full else (graph.num_pairs, stalks)
    shapes = [(graph.num_nodes, stalks, channels)] * 2 + [shape, (graph.num_nodes, width)]
    return [torch.randn(s, dtype=dtype, device=DEVICE) for s in shapes]


def blocks_of(graph, stalk_dim, num_fixed, full, fused) -> SheafBlocks:
    pattern = graph.pattern(stalk_dim, full, num_fixed)
    blocks = SheafBlocks(pattern, stalk_dim + num_fixed, stalk_dim, full)
    blocks.fused = fused
    return blocks


@pytest.mark.parametrize("segment", [3, 256])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_fused_blocks_equal_the_portable_ones(case, segment, monkeypatch):
    from gnnzoo.ops import sheaf_triton

    monkeypatch.setattr(sheaf_triton, "SEGMENT", segment)
    stalk_dim, num_fixed, channels, full, values = case
    graph = hub_graph()
    z, h, off, degree = operands(graph, stalk_dim, num_fixed, channels, full, values)
    with backends.use("torch"):
        portable = blocks_of(graph, stalk_dim, num_fixed, full, fused=False)
        want = portable.laplacian(z, off, degree)
        dots = portable.dots_of_pairs(h, z, off.shape)
    fused = blocks_of(graph, stalk_dim, num_fixed, full, fused=True)
    torch.testing.assert_close(fused.laplacian(z, off, degree), want)
    torch.testing.assert_close(fused.dots_of_pairs(h, z, off.shape), dots)


def test_hubs_are_cut_into_segments_once_per_graph(monkeypatch):
    from gnnzoo.ops import sheaf_triton

    monkeypatch.setattr(sheaf_triton, "SEGMENT", 3)
    pattern = hub_graph().pattern(2, True, 1)
    segments = sheaf_triton.segments_of(pattern.rowptr, 3, 2)
    assert segments is sheaf_triton.segments_of(pattern.rowptr, 3, 2)
    assert 0 in segments.hubs.tolist()
    assert (segments.last - segments.first).max() <= 3
    assert int((segments.last - segments.first).sum()) == 2 * pattern.ends.size(1)


def test_no_edges_and_no_channels():
    empty = torch.empty(2, 0, dtype=torch.long, device=DEVICE)
    graph = SheafGraph.from_graph(Graph.from_edge_index(empty, 4))
    z, h, off, degree = operands(graph, 2, 0, 3, True, "block")
    fused = blocks_of(graph, 2, 0, True, fused=True)
    with backends.use("torch"):
        want = blocks_of(graph, 2, 0, True, fused=False).laplacian(z, off, degree)
    torch.testing.assert_close(fused.laplacian(z, off, degree), want)
    assert fused.dots_of_pairs(h, z, off.shape).shape == off.shape
    assert fused.laplacian(z[:, :, :0], off, degree).shape == (4, 2, 0)
