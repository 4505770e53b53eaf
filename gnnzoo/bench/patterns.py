"""Propagation along directed patterns, and steps of ADPA counted in steps of a stock GCN.

The published code took 2.6 s for a training step and 8.2 s for an evaluation on directed Cora_ML,
and 7.6 GB, on a quiet machine with two cores whose stock GCN took 125 ms in the same run. The goals
are 0.15 s and 0.1 s at that speed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from gnnzoo.assemble import Parts, build_parts
from gnnzoo.bench.cases import Case, Settings
from gnnzoo.bench.harness import Contestant
from gnnzoo.bench.report import Row, rows
from gnnzoo.bench.stock import StockGCN
from gnnzoo.bench.stock_patterns import materialised_patterns
from gnnzoo.config import compose
from gnnzoo.models import inputs
from gnnzoo.ops import Graph, PatternSettings, SparseFeatures, fill_patterns

PROPAGATION_GOAL = 1 / 5
STOCK_SECONDS, STEP_SECONDS, EVALUATION_SECONDS = 0.125, 0.15, 0.1
NUM_HOPS, HIDDEN = 2, 64


def patterns(settings: Settings) -> list[Case]:
    """All patterns of up to two letters on Squirrel, and ADPA on Cora_ML."""
    return [
        ("Squirrel, directed", partial(_propagation, settings)),
        ("Cora_ML, directed", partial(_adpa, settings)),
    ]


def _propagation(settings: Settings) -> list[Row]:
    data = _parts("mlp", "squirrel_directed", settings).task.data
    x = _dense(data.x)
    edges = data.edge_index.unique(dim=1)
    edges = edges[:, edges[0] != edges[1]]
    words = PatternSettings(num_hops=NUM_HOPS)
    out = x.new_empty(x.size(0), words.num_rows, x.size(1))
    theirs = partial(materialised_patterns, x, edges, NUM_HOPS)

    def ours(features: Tensor | SparseFeatures) -> None:
        # A graph of its own every time: transposing and degrees are part of the work.
        fill_patterns(out, features, Graph.from_edge_index(edges, x.size(0)), words)

    contestants = [
        Contestant("sparse-sparse products", theirs),
        Contestant("gnnzoo, sparse features", partial(ours, data.x), PROPAGATION_GOAL),
        Contestant("gnnzoo, dense features", partial(ours, x)),
    ]
    what = f"{NUM_HOPS} hops of {len(words.words)} patterns"
    return rows("Squirrel, directed", what, settings.race(contestants))


def _adpa(settings: Settings) -> list[Row]:
    parts = _parts("adpa", "cora_ml_directed", settings)
    contestants = [
        Contestant("gcn, PyG, one step", _stock_step(parts)),
        Contestant("adpa, one step", _step(parts), STEP_SECONDS / STOCK_SECONDS),
        Contestant("adpa, evaluation", _evaluation(parts), EVALUATION_SECONDS / STOCK_SECONDS),
    ]
    return rows("Cora_ML, directed", "node classification", settings.race(contestants))


def _parts(model: str, dataset: str, settings: Settings) -> Parts:
    overrides = [f"model={model}", f"dataset={'digits' if settings.quick else dataset}"]
    return build_parts(compose([*overrides, "tuned=none"]), settings.device)


def _dense(x: Tensor | SparseFeatures) -> Tensor:
    return x.to_dense() if isinstance(x, SparseFeatures) else x


def _stock_step(parts: Parts) -> Callable[[], Any]:
    data, (batch,) = parts.task.data, parts.head.batches("train")
    x = _dense(data.x)
    torch.manual_seed(0)
    model = StockGCN(x.size(1), HIDDEN, parts.task.num_classes).to(x.device)
    optimizer = torch.optim.Adam(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        h = model(x, data.edge_index)
        cross_entropy(h[batch.nodes], batch.labels).backward()
        optimizer.step()

    return step


def _step(parts: Parts) -> Callable[[], Any]:
    encoder, (batch,) = parts.encoder, parts.head.batches("train")
    optimizer = torch.optim.Adam(encoder.parameters(), fused=True)

    def step() -> None:
        encoder.train()
        optimizer.zero_grad()
        parts.head.loss(encoder(**inputs(encoder, batch.data)), batch).backward()
        optimizer.step()

    return step


def _evaluation(parts: Parts) -> Callable[[], Any]:
    return partial(parts.head.evaluate, parts.encoder, ("train", "val"))
