"""DAGNN beside a stock GCN and beside DAGNN on stock PyG."""

from functools import partial

from gnnzoo.bench.cases import Case, Recipe, Settings, Subject, planetoid, size_name, synthetic
from gnnzoo.bench.harness import Contestant
from gnnzoo.bench.report import Row, rows
from gnnzoo.bench.stock import CachedDAGNN, GatherScatterDAGNN, StockGCN
from gnnzoo.models import DAGNN

RECIPES = {"Cora": Recipe(10, 0.8, 5e-3), "CiteSeer": Recipe(10, 0.5, 2e-2)}
STEP_GOALS = {"Cora": 0.10, "CiteSeer": 0.06}
EVALUATION_GOAL = 0.3
SYNTHETIC_GOAL, SYNTHETIC_MEMORY_GOAL = 1 / 12, 0.5
STOCK = Recipe(0, 0.5, 5e-4)  # of the stock GCN on every data set


def dagnn(settings: Settings) -> list[Case]:
    """Training step and evaluation on two citation graphs and on a large random graph."""
    cases: list[Case] = [(name, partial(_citation, name, settings)) for name in RECIPES]
    return [*cases, ("synthetic", partial(_synthetic, settings))]


def make(kind: type, subject: Subject, recipe: Recipe, **extra: str):
    """A DAGNN of one kind for a subject's sizes."""
    num_features, num_classes = subject.channels
    return kind(
        num_features,
        recipe.hidden_channels,
        num_classes,
        num_hops=recipe.num_hops,
        dropout=recipe.dropout,
        **extra,
    )


def _citation(name: str, settings: Settings) -> list[Row]:
    subject, recipe = planetoid(name, settings), RECIPES[name]
    num_features, num_classes = subject.channels
    gcn = partial(StockGCN, num_features, recipe.hidden_channels, num_classes)
    contestants = [
        ("PyG GCN", gcn(), subject.dense, STOCK),
        ("PyG GCN, no input dropout", gcn(input_dropout=0.0), subject.dense, STOCK),
        ("DAGNN, gather-scatter", make(GatherScatterDAGNN, subject, recipe), subject.dense, recipe),
        ("DAGNN, torch CSR", make(CachedDAGNN, subject, recipe), subject.cached, recipe),
        ("DAGNN, gnnzoo", make(DAGNN, subject, recipe), None, recipe),
    ]
    steps = [
        Contestant(title, subject.train(model, fields, settings_), _goal(title, STEP_GOALS[name]))
        for title, model, fields, settings_ in contestants
    ]
    trained = settings.race(steps)
    passes = [
        Contestant(title, subject.evaluate(model, fields), _goal(title, EVALUATION_GOAL))
        for title, model, fields, _ in contestants
        if title != "PyG GCN, no input dropout"  # the same as the first without training
    ]
    evaluated = settings.race(passes)
    return rows(name, "training step", trained) + rows(name, "evaluation", evaluated)


def _goal(title: str, goal: float) -> float | None:
    return goal if title == "DAGNN, gnnzoo" else None


def _synthetic(settings: Settings) -> list[Row]:
    sizes = (300, 900, 16, 5) if settings.quick else (100_000, 600_000, 128, 40)
    subject, recipe = Subject(synthetic(*sizes), settings.device), Recipe(16, 0.5, 0.0)
    case = size_name(*sizes[:2])
    stock = make(GatherScatterDAGNN, subject, recipe)
    plain = make(CachedDAGNN, subject, recipe)
    ours, frugal = make(DAGNN, subject, recipe), make(DAGNN, subject, recipe, memory="recompute")
    steps = [
        Contestant("DAGNN, gather-scatter", subject.train(stock, subject.dense, recipe)),
        Contestant("DAGNN, torch CSR", subject.train(plain, subject.cached, recipe)),
        Contestant(
            "DAGNN, gnnzoo",
            subject.train(ours, None, recipe),
            SYNTHETIC_GOAL,
            SYNTHETIC_MEMORY_GOAL,
        ),
        Contestant("DAGNN, gnnzoo, recompute", subject.train(frugal, None, recipe)),
    ]
    trained = settings.race(steps, budgets=4)
    passes = [
        Contestant("DAGNN, gather-scatter", subject.evaluate(stock, subject.dense)),
        Contestant("DAGNN, torch CSR", subject.evaluate(plain, subject.cached)),
        Contestant("DAGNN, gnnzoo", subject.evaluate(ours, None)),
    ]
    evaluated = settings.race(passes, budgets=2)
    return rows(case, "training step", trained) + rows(case, "evaluation", evaluated)
