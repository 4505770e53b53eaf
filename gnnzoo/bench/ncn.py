"""Training epochs and tests of NCN and NCNC on Cora, counted in steps of a stock GCN.

The published code took 5.8 (NCN) and 10.1 (NCNC) such steps for an epoch and 8.2 for a test of NCNC
on a quiet machine with two cores; the goals are a fourth of the former and a tenth of the latter.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from gnnzoo.assemble import Parts, build_parts
from gnnzoo.bench.cases import Case, Settings, planetoid
from gnnzoo.bench.harness import Contestant
from gnnzoo.bench.report import Row, rows
from gnnzoo.bench.stock import StockGCN
from gnnzoo.config import compose
from gnnzoo.models import inputs

STOCK_SECONDS = 0.073  # one step of the stock GCN, in the run that timed the published code
EPOCH_SECONDS = {"ncn": 0.42, "ncnc": 0.74}
TEST_SECONDS = {"ncn": None, "ncnc": 0.6}
EPOCH_SHARE, TEST_SHARE = 1 / 4, 1 / 10
HIDDEN = 256


def ncn(settings: Settings) -> list[Case]:
    """NCN and NCNC with their published settings."""
    return [("Cora", partial(_cora, settings))]


def _cora(settings: Settings) -> list[Row]:
    contestants = [Contestant("gcn, PyG, one step", _stock_step(settings))]
    for head in ("ncn", "ncnc"):
        parts = _parts(head, settings)
        epoch_goal = EPOCH_SECONDS[head] * EPOCH_SHARE / STOCK_SECONDS
        contestants.append(Contestant(f"{head}, epoch", _epoch(parts), epoch_goal))
        seconds = TEST_SECONDS[head]
        test_goal = None if seconds is None else seconds * TEST_SHARE / STOCK_SECONDS
        test = partial(parts.head.test, parts.encoder, parts.task.test)
        contestants.append(Contestant(f"{head}, test", test, test_goal))
    return rows("Cora", "link prediction", settings.race(contestants, budgets=3))


def _parts(head: str, settings: Settings) -> Parts:
    overrides = ["model=ncn_mpnn", f"head={head}", "dataset=cora"]
    if settings.quick:
        overrides = [*overrides[:2], "dataset=digits", "head.predictor.in_channels=8"]
    return build_parts(compose(overrides), settings.device)


def _stock_step(settings: Settings) -> Callable[[], Any]:
    subject = planetoid("Cora", settings)
    torch.manual_seed(0)
    model = StockGCN(subject.channels[0], HIDDEN, subject.channels[1]).to(settings.device)
    optimizer = torch.optim.Adam(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        h = model(**subject.dense)
        cross_entropy(h[subject.nodes], subject.labels).backward()
        optimizer.step()

    return step


def _epoch(parts: Parts) -> Callable[[], Any]:
    """Every training link once, as `gnnzoo.train.Backprop` goes through them."""
    encoder, head = parts.encoder, parts.head
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], 1e-3, fused=True)

    def epoch() -> None:
        encoder.train()
        head.train()
        for batch in head.batches("train"):
            optimizer.zero_grad()
            h = encoder(**inputs(encoder, batch.data))
            head.loss(h, batch).backward()
            optimizer.step()

    return epoch
