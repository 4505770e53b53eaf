import pytest
import torch

from gnnzoo.ops import local_pca_maps
from gnnzoo.ops.local_pca import _generic, local_frames
from tests.reference import local_pca as slow
from tests.reference.graphs import kinds, random_edges

F64 = torch.float64
DIMS = pytest.mark.parametrize("dim", [1, 2, 3])


def some(num_nodes=9, channels=6, dtype=F64):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(num_nodes, channels, dtype=dtype, generator=generator)


def map_of(maps, edge_index, source, target):
    """The map of the edge's target; every copy has the same."""
    columns = ((edge_index[0] == source) & (edge_index[1] == target)).nonzero().squeeze(1)
    first = maps[columns[0]]
    assert all(torch.equal(first, maps[c]) for c in columns)
    return first


@DIMS
@pytest.mark.parametrize("channels", [4, 12])  # fewer than the neighbours of a hub, and more
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_transports_equal_those_found_one_at_a_time(dim, channels, dtype):
    edge_index = random_edges(9, 14, undirected=True, loops=False)
    hub = torch.stack([torch.arange(1, 8), torch.zeros(7, dtype=torch.long)])
    edge_index = torch.cat([edge_index, hub, hub.flip(0)], dim=1).unique(dim=1)
    x = some(9, channels)
    frames = slow.frames(x, edge_index, dim, _generic(dim, x)[0])
    maps = local_pca_maps(x.to(dtype), edge_index, dim)
    assert maps.dtype == dtype
    tight = {"rtol": 0, "atol": 2e-5 if dtype == torch.float32 else 1e-9}
    for u, v in edge_index.t().tolist():
        found = map_of(maps, edge_index, u, v).T @ map_of(maps, edge_index, v, u)
        torch.testing.assert_close(found.double(), slow.transport(frames, v, u), **tight)


@DIMS
@pytest.mark.parametrize("kind", kinds())
def test_awkward_graphs_give_orthogonal_maps(dim, kind):
    edge_index, n = kinds()[kind]
    maps = local_pca_maps(some(n), edge_index, dim)
    eye = torch.eye(dim, dtype=F64).expand(edge_index.size(1), dim, dim)
    torch.testing.assert_close(maps.mT @ maps, eye)


@pytest.mark.parametrize("dim", [2, 3])
def test_frames_are_orthonormal_where_differences_vanish_or_are_too_few(dim):
    edge_index = torch.tensor([[0, 1], [1, 0]])
    for x in (torch.ones(4, 3), torch.zeros(4, 3), some(2, 3, torch.float32), torch.ones(2, 3)):
        frames = local_frames(x, edge_index, dim)
        eye = torch.eye(dim).expand(x.size(0), dim, dim)
        torch.testing.assert_close(frames @ frames.mT, eye, rtol=0, atol=1e-6)
    same = local_pca_maps(torch.ones(4, 3), edge_index, dim)  # no direction differs
    torch.testing.assert_close(same, torch.eye(dim).expand(2, dim, dim))


def test_frames_span_the_plane_that_the_differences_lie_in():
    plane = torch.linalg.qr(some(6, 2))[0]  # [6, 2], orthonormal columns
    x = some(9, 2) @ plane.T + 5.0
    frames = local_frames(x, random_edges(9, 30, undirected=True, loops=False), 2)
    want = (plane @ plane.T).expand(9, 6, 6)
    torch.testing.assert_close(frames.mT @ frames, want)


def test_where_all_directions_count_frames_of_neighbours_agree_after_transport():
    """With as many dimensions as features O_v^T O_u is orthogonal itself: no curvature is left."""
    x, edge_index = some(9, 3), random_edges(9, 40, undirected=True, loops=False)
    frames = local_frames(x, edge_index, 3)
    maps = local_pca_maps(x, edge_index, 3)
    for u, v in edge_index.t().tolist():
        transport = map_of(maps, edge_index, u, v).T @ map_of(maps, edge_index, v, u)
        torch.testing.assert_close(transport, frames[v] @ frames[u].T)


def test_the_nearest_other_nodes_stand_in_for_missing_neighbours():
    x = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 3, 0], [0, 0, 2], [9, 9, 9]], dtype=F64)
    edge_index = torch.tensor([[0, 2], [2, 0]])
    frames = local_frames(x, edge_index, 2)
    spanned = frames[0].T @ frames[0]  # 2 by its edge, and 1, nearer than 3
    torch.testing.assert_close(spanned, torch.diag(torch.tensor([1.0, 1.0, 0.0], dtype=F64)))


def test_of_equally_near_nodes_the_first_stands_in():
    x = torch.tensor([[0.0, 0, 0], [0, 0.1, 0], [0.1, 0, 0], [0, 0, 0.1]], dtype=F64)
    frames = local_frames(x, torch.empty(2, 0, dtype=torch.long), 1)
    torch.testing.assert_close(frames[0, 0].abs(), torch.tensor([0.0, 1.0, 0.0], dtype=F64))


def test_copies_of_edges_and_loops_change_nothing_but_add_their_rows():
    edge_index = random_edges(9, 20, undirected=True, loops=False)
    x = some()
    maps = local_pca_maps(x, edge_index, 2)
    more = torch.cat([edge_index, edge_index[:, :3], torch.tensor([[4], [4]])], dim=1)
    found = local_pca_maps(x, more, 2)
    torch.testing.assert_close(found[: maps.size(0)], maps)
    assert torch.equal(found[maps.size(0) : -1], found[:3])
    torch.testing.assert_close(found[-1], torch.eye(2, dtype=F64))


def test_order_of_edges_permutes_maps_and_of_nodes_keeps_transports():
    edge_index, x = random_edges(9, 20, undirected=True, loops=False), some()
    maps = local_pca_maps(x, edge_index, 2)
    order = torch.randperm(edge_index.size(1))
    torch.testing.assert_close(local_pca_maps(x, edge_index[:, order], 2), maps[order])
    nodes = torch.randperm(9)
    moved_edges = nodes.argsort()[edge_index]
    moved = local_pca_maps(x[nodes], moved_edges, 2)
    for k, (u, v) in enumerate(edge_index.t().tolist()):
        new_u, new_v = moved_edges[:, k].tolist()
        found = moved[k].T @ map_of(moved, moved_edges, new_v, new_u)
        torch.testing.assert_close(found, maps[k].T @ map_of(maps, edge_index, v, u))


def test_one_direction_of_an_edge_is_enough_to_be_a_neighbour():
    edge_index, x = random_edges(9, 20, undirected=True, loops=False), some()
    once = edge_index[:, edge_index[0] < edge_index[1]]
    torch.testing.assert_close(local_frames(x, once, 2), local_frames(x, edge_index, 2))


def test_chunks_change_nothing(monkeypatch):
    edge_index, x = random_edges(9, 20, undirected=True), some()
    whole = local_pca_maps(x, edge_index, 2)
    monkeypatch.setattr("gnnzoo.ops.local_pca.CHUNK_ELEMENTS", 1)
    torch.testing.assert_close(local_pca_maps(x, edge_index, 2), whole)


def test_no_gradient_and_no_reduced_precision():
    x, edge_index = some(dtype=torch.float32).requires_grad_(), random_edges(9, 20)
    want = local_pca_maps(x, edge_index, 2)
    assert not want.requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(local_pca_maps(x, edge_index, 2), want)
    assert local_pca_maps(x.bfloat16(), edge_index, 2).dtype == torch.float32


@pytest.mark.parametrize(
    ("x", "dim", "message"),
    [
        (torch.zeros(9, 6), 0, "at least 1, got 0"),
        (torch.zeros(9, 2), 3, "at least 3 features per node, got 2"),
        (torch.zeros(9, 6, dtype=torch.long), 2, r"torch.int64 of shape \[9, 6\]"),
        (torch.full((9, 6), torch.nan), 2, "finite"),
        (torch.zeros(3, 6), 2, r"must be in \[0, 3\)"),
    ],
)
def test_bad_input_is_named(x, dim, message):
    with pytest.raises(ValueError, match=message):
        local_pca_maps(x, random_edges(9, 20), dim)
