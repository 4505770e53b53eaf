"""GCN beside the same network on stock PyG."""

from functools import partial

from gnnzoo.bench.cases import Case, Recipe, Settings, planetoid
from gnnzoo.bench.harness import Contestant
from gnnzoo.bench.report import Row, rows
from gnnzoo.bench.stock import CachedGCN, StockGCN
from gnnzoo.models import GCN

RECIPE = Recipe(0, 0.5, 5e-4)


def gcn(settings: Settings) -> list[Case]:
    """Training step, with and without dropout on the input, and evaluation."""
    return [(name, partial(_citation, name, settings)) for name in ("Cora", "CiteSeer")]


def _citation(name: str, settings: Settings) -> list[Row]:
    subject = planetoid(name, settings)
    num_features, num_classes = subject.channels
    found = []
    for what, share in (("training step", 0.5), ("training step, no input dropout", 0.0)):
        contestants = []
        for title, kind, fields in (
            ("PyG GCN", StockGCN, subject.dense),
            ("GCN, torch CSR", CachedGCN, subject.cached),
            ("GCN, gnnzoo", GCN, None),
        ):
            model = kind(
                num_features,
                RECIPE.hidden_channels,
                num_classes,
                dropout=RECIPE.dropout,
                input_dropout=share,
            )
            contestants.append((title, model, fields))
        steps = [Contestant(t, subject.train(m, fields, RECIPE)) for t, m, fields in contestants]
        found += rows(name, what, settings.race(steps))
    # Without training the dropout on the input makes no difference: the last models will do.
    passes = [Contestant(t, subject.evaluate(m, fields)) for t, m, fields in contestants]
    return found + rows(name, "evaluation", settings.race(passes))
