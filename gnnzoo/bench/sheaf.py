"""Sheaf layers beside a block-sparse product in coordinates, and NSD beside a stock GCN."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from gnnzoo.bench.cases import Case, Recipe, Settings, Subject, size_name, synthetic
from gnnzoo.bench.classics import load
from gnnzoo.bench.harness import Contestant
from gnnzoo.bench.report import Row, rows
from gnnzoo.bench.stock import StockGCN
from gnnzoo.bench.stock_sheaf import StockNSD, StockSheafConv
from gnnzoo.models import NSD
from gnnzoo.nn import SheafConv
from gnnzoo.ops import SheafGraph, as_sheaf_graph
from gnnzoo.registry import UnknownName

RECIPE = Recipe(0, 0.5, 5e-4)
GRAPHS = {"Texas": "texas", "Chameleon": "chameleon", "Squirrel": "squirrel", "Actor": "actor"}
LARGE = (100_000, 600_000, 16, 5)  # nodes, pairs, features, classes
MAPS = ("diag", "bundle", "general")
STALK_DIM, CHANNELS, NUM_LAYERS = 3, 20, 4
#: Shares of a stock GCN's training step, in the order of MAPS: half of what published code took on
#: Texas; on the others a third of it for diagonal maps and a fifth for the rest.
STEP_GOALS = {
    "Texas": (0.74, 1.30, 1.20),
    "Chameleon": (0.77, 2.26, 1.63),
    "Actor": (0.58, 1.60, 1.14),
}
LAYER_MEMORY_GOAL = {"Squirrel": 1 / 3}


def sheaf(settings: Settings) -> list[Case]:
    """One layer forwards and backwards, and training steps of whole models."""
    cases: list[Case] = [(title, partial(_named, title, settings)) for title in GRAPHS]
    return [*cases, ("synthetic", partial(_large, settings))]


def _named(title: str, settings: Settings) -> list[Row]:
    try:
        subject = load(GRAPHS[title], settings)
    except UnknownName as error:
        return [Row(title, note=f"not run: {str(error).split(';')[0]}")]
    return _layers(title, subject, settings, MAPS) + _models(title, subject, settings)


def _large(settings: Settings) -> list[Row]:
    sizes = (300, 900, 16, 5) if settings.quick else LARGE
    subject = Subject(synthetic(*sizes), settings.device)
    return _layers(size_name(*sizes[:2]), subject, settings, MAPS[:2])


def edges_and_reverse(graph: SheafGraph) -> dict[str, Tensor]:
    """Both directions of each pair, and for each the place of the other."""
    half_edges = torch.arange(graph.num_half_edges, device=graph.device)
    return {"edge_index": graph.edge_index, "reverse": half_edges.roll(graph.num_pairs)}


def _layers(
    title: str, subject: Subject, settings: Settings, families: tuple[str, ...]
) -> list[Row]:
    graph = as_sheaf_graph(subject.task.data.graph, subject.x.size(0))
    fields, found = edges_and_reverse(graph), []
    x = torch.randn(subject.x.size(0), STALK_DIM * CHANNELS, device=settings.device)
    for maps in families:
        weights = {"edge_weights": maps == "bundle"}
        theirs = StockSheafConv(CHANNELS, STALK_DIM, maps).to(settings.device)
        ours = SheafConv(CHANNELS, CHANNELS, STALK_DIM, maps, **weights).to(settings.device)
        contestants = [
            Contestant("COO blocks", _both_ways(theirs, x, fields)),
            Contestant(
                "gnnzoo",
                _both_ways(ours, x, {"edge_index": graph}),
                memory_goal=LAYER_MEMORY_GOAL.get(title),
            ),
        ]
        results = settings.race(contestants, budgets=0.5)
        found += rows(title, f"{maps} layer", results)
    return found


def _both_ways(layer: nn.Module, x: Tensor, fields: dict) -> Callable[[], None]:
    x = x.clone().requires_grad_()

    def step() -> None:
        layer(x, **fields).sum().backward()
        x.grad = None
        layer.zero_grad()

    return step


def _models(title: str, subject: Subject, settings: Settings) -> list[Row]:
    num_features, num_classes = subject.channels
    gcn = StockGCN(num_features, RECIPE.hidden_channels, num_classes)
    graph = as_sheaf_graph(subject.task.data.graph, subject.x.size(0))
    theirs_reads = {"x": subject.x, **edges_and_reverse(graph)}
    steps = [Contestant("PyG GCN", subject.train(gcn, subject.dense, RECIPE))]
    for maps, goal in zip(MAPS, STEP_GOALS.get(title, (None,) * 3), strict=True):
        sizes = (num_features, CHANNELS, num_classes, NUM_LAYERS, STALK_DIM, maps)
        theirs = StockNSD(*sizes, dropout=RECIPE.dropout)
        ours = NSD(*sizes, dropout=RECIPE.dropout)
        name = f"{maps} NSD, COO blocks"
        steps.append(Contestant(name, subject.train(theirs, theirs_reads, RECIPE)))
        steps.append(Contestant(f"{maps} NSD, gnnzoo", subject.train(ours, None, RECIPE), goal))
    return rows(title, "training step", settings.race(steps, budgets=2))
