"""Common neighbours of many pairs beside the way of published link predictors."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from gnnzoo.bench.cases import Case, Settings
from gnnzoo.bench.harness import Contestant
from gnnzoo.bench.report import Row, rows
from gnnzoo.bench.stock_overlap import stock_overlap, stock_without_links
from gnnzoo.ops import Graph, backends, drop_links, neighbor_overlap, pool_bags

SIZES = ((200_000, 2_000_000, 65_536), (50_000, 1_000_000, 8_192))  # nodes, arcs, pairs
QUICK_SIZES = ((300, 2_000, 64),)
CHANNELS = 64
SMALL_BUDGET = 2**19
TIME_GOAL, MEMORY_GOAL = 1 / 8, 1 / 4


def overlap(settings: Settings) -> list[Case]:
    """Pairs that are edges of a graph in which few nodes have many neighbours."""
    cases: list[Case] = []
    for sizes in QUICK_SIZES if settings.quick else SIZES:
        case = f"{sizes[0] / 1e3:g}k nodes, {sizes[1] / 1e6:g}M arcs"
        cases.append((case, partial(_size, case, *sizes, settings)))
    return cases


def _size(
    case: str, num_nodes: int, num_arcs: int, num_pairs: int, settings: Settings
) -> list[Row]:
    links = power_law_links(num_nodes, num_arcs // 2).to(settings.device)
    graph = Graph.from_edge_index(torch.cat([links, links.flip(0)], dim=1), num_nodes)
    pairs = links[:, :num_pairs]
    found = []
    for what, differences in (("common neighbours", False), ("with differences", True)):
        theirs = partial(stock_overlap, graph.csr.rowptr, graph.csr.col, pairs, differences)
        ours = partial(neighbor_overlap, graph, pairs, differences)
        memory_goal = None if differences else MEMORY_GOAL  # lists of differences are long
        small = partial(ours, max_items=SMALL_BUDGET)
        contestants = [
            Contestant("coordinates", theirs),
            Contestant("gnnzoo", ours, TIME_GOAL),
            Contestant(f"gnnzoo, {SMALL_BUDGET // 1024}k items", small, memory_goal=memory_goal),
        ]
        contestants += [Contestant(f"gnnzoo, {n}", _forced(n, ours)) for n in _others(settings)]
        found += rows(case, what, settings.race(contestants, budgets=0.5))
    found += _pooled(case, graph, pairs, settings)
    return found + _removal(case, links, graph, num_pairs, settings)


def _others(settings: Settings) -> list[str]:
    """Back-ends that are not the usual one; a mask would have too many cells."""
    usual = backends.choose("overlap", settings.device)
    return [name for name in ("torch",) if name != usual]


def _forced(name: str, step: Callable[[], object]) -> Callable[[], object]:
    def run() -> object:
        with backends.use(name):
            return step()

    return run


def _pooled(case: str, graph: Graph, pairs: Tensor, settings: Settings) -> list[Row]:
    x = torch.randn(graph.num_nodes, CHANNELS, device=settings.device)

    def theirs() -> Tensor:
        return stock_overlap(graph.csr.rowptr, graph.csr.col, pairs)[0] @ x

    def ours() -> Tensor:
        return pool_bags(x, neighbor_overlap(graph, pairs).common)

    contestants = [Contestant("coordinates", theirs), Contestant("gnnzoo", ours, TIME_GOAL)]
    return rows(case, "summed features", settings.race(contestants, budgets=0.5))


def _removal(
    case: str, links: Tensor, graph: Graph, num_pairs: int, settings: Settings
) -> list[Row]:
    keep = torch.arange(links.size(1), device=links.device) >= num_pairs
    contestants = [
        Contestant("sorted anew", partial(stock_without_links, links, keep, graph.num_nodes)),
        Contestant("gnnzoo", partial(drop_links, graph, links[:, :num_pairs])),
    ]
    return rows(case, "links removed", settings.race(contestants, budgets=0.5))


def power_law_links(num_nodes: int, num_links: int) -> Tensor:
    r"""``[2, num_links]``: random different links, each once, in random order.

    The node of rank r is an end with probability proportional to :math:`r^{-1/2}`, which gives
    degrees a power law with exponent 3.
    """
    generator = torch.Generator().manual_seed(0)
    weight = torch.arange(1, num_nodes + 1, dtype=torch.float64).rsqrt().cumsum(0)
    share = torch.rand(2, num_links * 3 // 2, generator=generator, dtype=torch.float64)
    ends = torch.searchsorted(weight / weight[-1], share).clamp_(max=num_nodes - 1)
    ends = torch.randperm(num_nodes, generator=generator)[ends]
    low, high = ends.amin(0), ends.amax(0)
    key = (low * num_nodes + high)[low < high].unique()
    key = key[torch.randperm(key.numel(), generator=generator)[:num_links]]
    return torch.stack([key // num_nodes, key % num_nodes])
