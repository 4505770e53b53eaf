"""A small search, and runs that are invented."""

import pytest

SPACE = {
    "trainer.lr": [0.001, 0.1],
    "model.dropout": {"low": 0.1, "high": 0.6},
    "model.norm": [None],
}


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk():
    """What has been written outlives a killed process; only a power cut needs it on the disk."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    hurry = lambda connection, _: connection.execute("PRAGMA synchronous=OFF")  # noqa: E731
    event.listen(Engine, "connect", hurry)
    yield
    event.remove(Engine, "connect", hurry)


@pytest.fixture
def search(workspace, toy_graph):
    from gnnzoo import tune

    fixed = ("model=mlp", "dataset=file", f"dataset.path={toy_graph}", "trainer.epochs=4")
    return tune.Search(fixed, SPACE, num_trials=4, seeds=(5, 6))


@pytest.fixture
def invented(monkeypatch):
    """Runs that train nothing: their score is told by a function of trial and seed."""
    from gnnzoo.tune import study
    from gnnzoo.tune.trials import Score

    def use(score):
        monkeypatch.setattr(study, "scores", lambda jobs, n: ((j, told(j)) for j in jobs))

        def told(job):
            val = score(job.trial, job.seed)
            return val if isinstance(val, Score) else Score(val, seconds=2.0, epochs=10)

    return use
