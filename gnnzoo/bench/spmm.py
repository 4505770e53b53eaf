"""The back-ends of the sparse product beside gather and scatter."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from gnnzoo.bench.cases import Case, Settings, random_edges, size_name
from gnnzoo.bench.harness import Contestant
from gnnzoo.bench.report import Row, rows
from gnnzoo.bench.stock import WeightedSum, normalized_adjacency
from gnnzoo.ops import Graph, backends
from gnnzoo.ops import spmm as product

SIZES = ((3_000, 5_000, 16), (3_000, 5_000, 64), (100_000, 600_000, 16), (100_000, 600_000, 64))
QUICK_SIZES = ((200, 500, 8),)


def spmm(settings: Settings) -> list[Case]:
    """Normalised adjacency times features; with and without the gradient to the features."""
    cases: list[Case] = []
    for num_nodes, num_pairs, channels in QUICK_SIZES if settings.quick else SIZES:
        case = f"{size_name(num_nodes, num_pairs)}, width {channels}"
        cases.append((case, partial(_products, case, num_nodes, num_pairs, channels, settings)))
    return cases


def _products(
    case: str, num_nodes: int, num_pairs: int, channels: int, settings: Settings
) -> list[Row]:
    edge_index = random_edges(num_nodes, num_pairs).to(settings.device)
    x = torch.randn(num_nodes, channels, device=settings.device)
    looped, weight = gcn_norm(edge_index, None, num_nodes)
    gather_scatter, adjacency = WeightedSum(), normalized_adjacency(edge_index, num_nodes)
    matrix = Graph.from_edge_index(edge_index, num_nodes).gcn_norm()
    installed = [n for n in backends.PREFERENCE["spmm"] if n != "scatter" or backends.has_scatter()]
    found = []
    for what, make in (("product", _forward), ("product and gradient", _with_gradient)):
        contestants = [
            Contestant("PyG gather-scatter", make(lambda x: gather_scatter(x, looped, weight), x)),
            Contestant("torch CSR", make(lambda x: adjacency @ x, x)),
        ]
        for name in installed:
            step = make(partial(product, matrix), x)
            contestants.append(Contestant(f"spmm, {name}", _forced(name, step)))
        results = settings.race(contestants, budgets=0.5)
        found += rows(case, what, results)
        if "scatter" not in installed:
            found.append(Row(case, what, note="spmm, scatter not run: torch-scatter is missing"))
    return found


def _forward(way: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], Tensor]:
    return torch.inference_mode()(lambda: way(x))


def _with_gradient(way: Callable[[Tensor], Tensor], x: Tensor) -> Callable[[], Tensor]:
    leaf = x.clone().requires_grad_()

    def step() -> Tensor:
        out = way(leaf)
        return torch.autograd.grad(out, leaf, torch.ones_like(out))[0]

    return step


def _forced(name: str, step: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The step with one back-end of the product, forwards and backwards."""

    def run() -> Tensor:
        with backends.use(name):
            return step()

    return run
