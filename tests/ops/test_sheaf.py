"""Sheaf Laplacians: equal to the dense ones, and with the properties that theory promises."""

import math
from importlib import import_module

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from gnnzoo.ops import Graph, SheafLaplacian, as_sheaf_graph, backends, sheaf_laplacian
from tests.reference import sheaf as reference
from tests.reference.graphs import random_edges

F64 = torch.float64
BACKENDS = ["csr", "torch"]
FAMILIES = ["diag", "orthogonal", "full"]


def both(*pairs):
    edges = torch.tensor(pairs).t()
    return torch.cat([edges, edges.flip(0)], dim=1)


GRAPHS = {
    "random": (random_edges(9, 14, undirected=True, loops=False), 9),
    "path": (both((0, 1), (1, 2), (2, 3)), 4),
    "cycle": (both((0, 1), (1, 2), (2, 3), (3, 0)), 4),
    "star": (both(*((0, leaf) for leaf in range(1, 8))), 9),  # the last node is isolated
    "two_components": (both((0, 1), (2, 3), (3, 4), (4, 2)), 5),
    "no_edges": (torch.empty(2, 0, dtype=torch.long), 3),
    "one_node": (torch.empty(2, 0, dtype=torch.long), 1),
}


def make_maps(family, num_edges, dim, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (num_edges, dim) if family == "diag" else (num_edges, dim, dim)
    maps = torch.randn(shape, dtype=F64, generator=generator)
    return torch.linalg.qr(maps)[0] if family == "orthogonal" and num_edges else maps


def laplacian(graph, maps, **settings):
    edges, n = GRAPHS[graph] if isinstance(graph, str) else graph
    made = as_sheaf_graph(edges, n)
    return SheafLaplacian.from_maps(made.arrange(maps), made, **settings)


def symmetric_weight(edges, seed=0):
    """One for each edge, the same for both of its directions."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.rand(20, 20, dtype=F64, generator=generator) + 0.1
    return table[edges.amin(0), edges.amax(0)]


SHAPES = [("random", 1, ()), ("random", 2, ("lp",)), ("random", 5, ("lp", "hp"))]
SHAPES += [(graph, 3, ("hp",)) for graph in GRAPHS]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("norm", ["sym", "chol", None])
@pytest.mark.parametrize(("graph", "dim", "fixed"), SHAPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_the_dense_laplacian(family, graph, dim, fixed, norm, backend):
    edges, n = GRAPHS[graph]
    maps = make_maps(family, edges.size(1), dim)
    made = as_sheaf_graph(edges, n)
    weight, edge_weight = torch.rand(made.num_pairs, dtype=F64), symmetric_weight(edges)
    inner = torch.cat([weight, weight])[made.half] * edge_weight
    want = reference.laplacian(edges, maps, n, inner, fixed, edge_weight)
    with backends.use(backend):
        found = SheafLaplacian.from_maps(
            made.arrange(maps), made, norm=norm, weight=weight, edge_weight=edge_weight,
            fixed=fixed, orthogonal=family == "orthogonal",
        ).to_dense()  # fmt: skip
    torch.testing.assert_close(found, reference.normalized(*want, norm), atol=1e-10, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_not_augmented_it_uses_the_pseudo_inverse(family):
    for edges, n in GRAPHS.values():
        maps = make_maps(family, edges.size(1), 3)
        maps[: edges.size(1) // 2] *= 0 if family == "diag" else 1
        found = laplacian((edges, n), maps, augmented=False, orthogonal=family == "orthogonal")
        want = reference.normalized(*reference.laplacian(edges, maps, n), "sym", augmented=False)
        torch.testing.assert_close(found.to_dense(), want, atol=1e-8, rtol=0)


def test_a_pseudo_inverse_of_blocks_has_no_gradient():
    maps = make_maps("full", 6, 2).requires_grad_()
    with pytest.raises(RuntimeError, match="augmented=False has no gradient for full maps"):
        laplacian("path", maps, augmented=False)


def test_float32_is_close():
    edges, _ = GRAPHS["random"]
    maps = make_maps("full", edges.size(1), 3)
    want = laplacian("random", maps).to_dense().float()
    found = laplacian("random", maps.float()).to_dense()
    torch.testing.assert_close(found, want, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_symmetric_and_a_sum_of_squares(family):
    edges, n = GRAPHS["random"]
    maps = make_maps(family, edges.size(1), 3)
    delta = laplacian("random", maps, orthogonal=family == "orthogonal")
    x, y = torch.randn(2, n, 3, 4, dtype=F64)
    torch.testing.assert_close((y * delta(x)).sum(), (delta(y) * x).sum())
    full = torch.diag_embed(maps) if family == "diag" else maps
    _, blocks = reference.laplacian(edges, maps, n)
    scaled = torch.stack([reference.inverse_root(b + torch.eye(3)) @ x[v]
                          for v, b in enumerate(blocks.double())])  # fmt: skip
    energy = x.new_zeros(())
    for k, other in enumerate(reference.reverse(edges)):
        source, target = edges[:, k].tolist()
        step = full[k] @ scaled[target] - full[other] @ scaled[source]
        energy = energy + step.square().sum() / 2  # every pair is met twice
    torch.testing.assert_close((x * delta(x)).sum(), energy)


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("norm", ["sym", "chol"])
def test_spectrum_is_in_0_2_even_for_opposing_maps(norm, scale):
    for edges, n in GRAPHS.values():
        num_edges = edges.size(1)
        opposing = torch.where(edges[0] < edges[1], scale, -scale).to(F64)
        for maps in (
            opposing[:, None].expand(num_edges, 2).contiguous(),
            opposing[:, None, None].expand(num_edges, 2, 2).contiguous(),
            scale * make_maps("full", num_edges, 3),
        ):
            delta = laplacian((edges, n), maps, norm=norm, fixed=("lp", "hp"))
            values = torch.linalg.eigvalsh(delta.to_dense())
            assert values.min() > -1e-10
            assert values.max() < 2


def test_normalised_by_degree_maps_with_bounded_entries_stay_below_2():
    edges, _ = GRAPHS["star"]
    opposing = torch.where(edges[0] < edges[1], 1.0, -1.0).to(F64)
    full = opposing[:, None, None].expand(-1, 4, 4).contiguous()
    for maps in (opposing[:, None].expand(-1, 4).contiguous(), full):
        values = torch.linalg.eigvalsh(laplacian("star", maps, norm="deg").to_dense())
        assert 1 < values.max() < 2


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("family", ["diag", "full"])
def test_the_trivial_sheaf_is_gcn_for_every_stalk_dimension(family, dim):
    edges, n = GRAPHS["random"]
    ones = torch.ones(edges.size(1), dim, dtype=F64)
    found = laplacian("random", ones if family == "diag" else torch.diag_embed(ones)).to_dense()
    index, weight = gcn_norm(edges, num_nodes=n, dtype=F64)
    adjacency = torch.zeros(n, n, dtype=F64).index_put((index[1], index[0]), weight)
    want = torch.kron(torch.eye(n, dtype=F64) - adjacency, torch.eye(dim, dtype=F64))
    torch.testing.assert_close(found, want)


@pytest.mark.parametrize("augmented", [True, False])
def test_kernel_of_the_trivial_sheaf_is_the_root_of_the_degree(augmented):
    edges, n = GRAPHS["cycle"]
    edges = torch.cat([edges, both((0, 2))], dim=1)
    maps = torch.ones(edges.size(1), 1, dtype=F64)
    delta = laplacian((edges, n), maps, augmented=augmented)
    degree = torch.bincount(edges[0]).to(F64) + augmented
    assert delta(degree.sqrt().view(n, 1, 1)).abs().max() < 1e-15
    assert (torch.linalg.eigvalsh(delta.to_dense()) < 1e-10).sum() == 1


def rotation(angle):
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[cos, -sin], [sin, cos]], dtype=F64)


def test_harmonic_signals_of_a_flat_bundle_follow_the_frames():
    edges, n = GRAPHS["two_components"]
    frames = make_maps("orthogonal", n, 3)
    delta = laplacian("two_components", frames[edges[1]], orthogonal=True)
    degree = torch.bincount(edges[0], minlength=n).to(F64)
    a = torch.randn(3, 2, dtype=F64)
    x = (degree + 1).sqrt()[:, None, None] * (frames.mT @ a)
    assert delta(x).abs().max() < 1e-12
    assert (torch.linalg.eigvalsh(delta.to_dense()) < 1e-10).sum() == 2 * 3


def test_a_cycle_with_holonomy_has_no_harmonic_signal():
    edges, _ = GRAPHS["cycle"]
    maps = torch.eye(2, dtype=F64).repeat(edges.size(1), 1, 1)
    assert (torch.linalg.eigvalsh(laplacian("cycle", maps).to_dense()) < 1e-10).sum() == 2
    maps[0] = rotation(0.7)
    values = torch.linalg.eigvalsh(laplacian("cycle", maps).to_dense())
    assert values.min() > 1e-3


def test_signs_separate_the_sides_of_a_bipartite_graph():
    edges, n = GRAPHS["star"]
    sign = torch.ones(n, dtype=F64)
    sign[1:] = -1
    delta = laplacian("star", sign[edges[1]].unsqueeze(1))
    degree = torch.bincount(edges[0], minlength=n).to(F64)
    assert delta((sign * (degree + 1).sqrt()).view(n, 1, 1)).abs().max() < 1e-15
    assert delta((degree + 1).sqrt().view(n, 1, 1)).abs().max() > 0.1


def test_the_low_pass_dimension_is_degree_plus_adjacency():
    edges, n = GRAPHS["random"]
    dense = laplacian("random", make_maps("diag", edges.size(1), 2), fixed=("lp",)).to_dense()
    adjacency = torch.zeros(n, n, dtype=F64).index_put((edges[1], edges[0]), torch.ones(1).double())
    degree = adjacency.sum(1)
    root = torch.diag((degree + 1).rsqrt())
    want = root @ (torch.diag(degree) + adjacency) @ root
    torch.testing.assert_close(dense.view(n, 3, n, 3)[:, 2, :, 2], want)
    assert dense.view(n, 3, n, 3)[:, 2, :, :2].abs().max() == 0


def test_long_diffusion_ends_in_the_kernel_and_never_gains_energy():
    edges, n = GRAPHS["two_components"]
    frames = make_maps("orthogonal", n, 2)
    delta = laplacian("two_components", frames[edges[1]], orthogonal=True)
    values, vectors = torch.linalg.eigh(delta.to_dense())
    kernel = vectors[:, values < 1e-10]
    x = torch.randn(n, 2, 1, dtype=F64)
    want = kernel @ (kernel.T @ x.flatten())
    energy = math.inf
    for _ in range(300):
        x = x - 0.5 * delta(x)
        new = float((x * delta(x)).sum())
        assert new <= energy + 1e-14
        energy = new
    torch.testing.assert_close(x.flatten(), want, atol=1e-10, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_relabelling_nodes_permutes_and_the_order_of_edges_does_not_matter(family):
    edges, n = GRAPHS["random"]
    maps = make_maps(family, edges.size(1), 3)
    x = torch.randn(n, 9, dtype=F64)
    want = sheaf_laplacian(x, maps, edges)
    order, shuffle = torch.randperm(n), torch.randperm(edges.size(1))
    moved = sheaf_laplacian(x[order], maps, order.argsort()[edges])
    torch.testing.assert_close(moved, want[order], atol=1e-10, rtol=0)
    shuffled = sheaf_laplacian(x, maps[shuffle], edges[:, shuffle])
    torch.testing.assert_close(shuffled, want, atol=1e-10, rtol=0)


def test_bases_of_nodes_turn_the_result_and_bases_of_edges_do_not_matter():
    edges, n = GRAPHS["random"]
    maps, x = make_maps("full", edges.size(1), 3), torch.randn(n, 3, 4, dtype=F64)
    want = sheaf_laplacian(x, maps, edges)
    at_nodes = make_maps("orthogonal", n, 3, seed=1)
    turned = sheaf_laplacian(at_nodes @ x, maps @ at_nodes[edges[1]].mT, edges)
    torch.testing.assert_close(turned, at_nodes @ want)
    at_edges = make_maps("orthogonal", n * n, 3, seed=2)[edges.amin(0) * n + edges.amax(0)]
    torch.testing.assert_close(sheaf_laplacian(x, at_edges @ maps, edges), want)


@pytest.mark.parametrize("norm", ["sym", "chol", "deg", None])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_are_exact(backend, family, norm):
    edges, n = GRAPHS["star"]
    made = as_sheaf_graph(edges, n)
    inputs = (
        torch.randn(n, 8, dtype=F64),
        make_maps(family, edges.size(1), 2),
        torch.rand(made.num_pairs, dtype=F64) + 0.5,
        torch.rand(made.num_pairs, dtype=F64) + 0.5,
    )

    def run(x, maps, weight, outer):
        both_ways = torch.cat([outer, outer])[made.half]
        return sheaf_laplacian(
            x, maps, edges, norm=norm, fixed=("hp", "lp"), weight=weight, edge_weight=both_ways
        )

    with backends.use(backend):
        inputs = tuple(t.requires_grad_() for t in inputs)
        assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


@pytest.mark.parametrize("norm", ["sym", "chol"])
def test_gradients_are_exact_where_eigenvalues_repeat(norm):
    edges, n = GRAPHS["path"]
    maps = torch.eye(3, dtype=F64).repeat(edges.size(1), 1, 1).requires_grad_()
    x = torch.randn(n, 6, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, m: sheaf_laplacian(x, m, edges, norm=norm), (x, maps))


@pytest.mark.parametrize("orthogonal", [True, False])
def test_maps_whose_entries_come_first_give_the_same(orthogonal):
    edges, n = GRAPHS["random"]
    maps = make_maps("orthogonal", edges.size(1), 3).requires_grad_()
    first = maps.detach().permute(1, 2, 0).contiguous().permute(2, 0, 1).requires_grad_()
    made, grads = as_sheaf_graph(edges, n), []
    x = torch.randn(n, 6, dtype=F64)
    for given in (maps, first):
        out = SheafLaplacian.from_maps(given, made, orthogonal=orthogonal)(x)
        grads.append(torch.autograd.grad(out.square().sum(), given)[0])
    torch.testing.assert_close(grads[0], grads[1])


@pytest.mark.parametrize("fixed", [(), ("lp", "hp")])
@pytest.mark.parametrize("family", FAMILIES)
def test_back_ends_agree_also_over_many_chunks(family, fixed, monkeypatch):
    edges = torch.cat([both(*((0, leaf) for leaf in range(1, 300))), both((5, 7), (6, 9))], dim=1)
    maps = make_maps(family, edges.size(1), 3).requires_grad_()
    x = torch.randn(301, 3 + len(fixed), 4, dtype=F64, requires_grad=True)
    monkeypatch.setattr(import_module("gnnzoo.ops.sheaf_blocks"), "CHUNK_ELEMENTS", 600)
    found = []
    for backend in BACKENDS:
        with backends.use(backend):
            out = sheaf_laplacian(x, maps, edges, fixed=fixed, orthogonal=family == "orthogonal")
            found.append((out, *torch.autograd.grad(out.square().sum(), (x, maps))))
    torch.testing.assert_close(found[0], found[1])


class Largest(TorchDispatchMode):
    """The largest number of elements of any tensor made."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for item in out if isinstance(out, tuple | list) else [out]:
            if isinstance(item, torch.Tensor) and item.layout == torch.strided:
                self.elements = max(self.elements, item.numel())
        return out


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_no_tensor_of_edges_times_channels_is_made(family, backend, monkeypatch):
    n, dim, channels = 60, 4, 32
    edges = random_edges(n, 1500, undirected=True, loops=False)
    monkeypatch.setattr(import_module("gnnzoo.ops.sheaf_blocks"), "CHUNK_ELEMENTS", 8192)
    maps = make_maps(family, edges.size(1), dim).requires_grad_()
    x = torch.randn(n, dim, channels, dtype=F64, requires_grad=True)
    graph = Graph.from_edge_index(edges, n)
    made = as_sheaf_graph(graph, n)
    with backends.use(backend), torch.no_grad():
        sheaf_laplacian(x, maps, graph)  # patterns are made here
    given = made.arrange(maps)
    with backends.use(backend), Largest() as largest:
        SheafLaplacian.from_maps(given, made, orthogonal=family == "orthogonal")(x).sum().backward()
    entries = edges.size(1) * (dim if family == "diag" else dim * dim)
    assert largest.elements <= max(entries, 2 * x.numel(), 8192 * dim)
    assert largest.elements < edges.size(1) * dim * channels / 4


def test_isolated_nodes_get_zeros_and_finite_gradients():
    edges, n = GRAPHS["star"]
    for family in FAMILIES:
        maps = make_maps(family, edges.size(1), 2).requires_grad_()
        x = torch.randn(n, 4, dtype=F64, requires_grad=True)
        out = sheaf_laplacian(x, maps, edges)
        assert out[-1].abs().max() == 0
        out.square().sum().backward()
        assert maps.grad.isfinite().all()
        assert x.grad.isfinite().all()


def test_half_precision_is_computed_in_float32():
    edges, n = GRAPHS["random"]
    maps, x = make_maps("full", edges.size(1), 2).bfloat16(), torch.randn(n, 6).bfloat16()
    want = sheaf_laplacian(x.float(), maps.float(), edges)
    assert sheaf_laplacian(x, maps, edges).dtype == torch.bfloat16
    for backend in BACKENDS:
        with torch.autocast("cpu", torch.bfloat16), backends.use(backend):
            torch.testing.assert_close(sheaf_laplacian(x, maps, edges), want)


@pytest.mark.parametrize("family", FAMILIES)
def test_compiles_without_a_break(family):
    edges, n = GRAPHS["random"]
    made = as_sheaf_graph(edges, n)
    maps = made.arrange(make_maps(family, edges.size(1), 2)).requires_grad_()
    x = torch.randn(n, 2, 3, dtype=F64, requires_grad=True)

    def step(x, maps):
        weight = maps.flatten(1).sum(1).view(2, -1).prod(0).sigmoid()
        orthogonal = family == "orthogonal"
        delta = SheafLaplacian.from_maps(maps, made, weight=weight, orthogonal=orthogonal)
        return delta(x).relu()

    want = torch.autograd.grad(step(x, maps).square().sum(), (x, maps))
    compiled = torch.compile(step, backend="aot_eager", fullgraph=True)
    found = torch.autograd.grad(compiled(x, maps).square().sum(), (x, maps))
    torch.testing.assert_close(found, want)


def test_second_derivative_is_refused():
    edges, n = GRAPHS["random"]
    x = torch.randn(n, 4, dtype=F64, requires_grad=True)
    out = sheaf_laplacian(x, make_maps("diag", edges.size(1), 2), edges)
    (grad,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative"):
        grad.sum().backward()


MAPS = torch.ones(6, 2)


@pytest.mark.parametrize(
    ("x", "maps", "settings", "message"),
    [
        (torch.ones(4, 5), MAPS, {}, r"\[4, 2, channels\] or \[4, 2 \* channels\], got \[4, 5\]"),
        (torch.ones(4, 4), MAPS, {"fixed": ("lp",)}, r"\[4, 3, channels\].*got \[4, 4\]"),
        (torch.ones(4, 4), MAPS, {"fixed": ("bp",)}, "'lp' and 'hp', got 'bp'"),
        (torch.ones(4, 4), MAPS, {"norm": "rw"}, "norm must be one of 'sym'.*got 'rw'"),
        (torch.ones(4, 4), torch.ones(6, 2, 3), {}, r"\[6, stalk_dim\].*got \[6, 2, 3\]"),
        (torch.ones(4, 4), MAPS.long(), {}, "maps must be floating point"),
        (torch.ones(4, 4, device="meta"), MAPS, {}, "x is on meta, the graph on cpu"),
    ],
)
def test_what_does_not_fit_is_named(x, maps, settings, message):
    with pytest.raises(ValueError, match=message):
        sheaf_laplacian(x, maps, GRAPHS["path"][0], **settings)


def test_it_shows_itself():
    text = repr(laplacian("path", MAPS, fixed=("lp",)))
    assert text == "SheafLaplacian(4 nodes, stalk_dim=2, num_fixed=1, full=False)"
