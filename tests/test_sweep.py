"""What a sweep does before its jobs start and after they end."""

from hydra.plugins.sweeper import Sweeper

from gnnzoo.sweep import (
    ledger,
    report_job,
    seeds_composed_once,
    summarise,
    without_other_seeds,
)


def test_of_jobs_that_differ_in_their_seed_the_first_is_composed():
    jobs = [["model=gcn", f"seed={seed}", f"lr={lr}"] for lr in (1, 2) for seed in range(3)]
    assert without_other_seeds(jobs) == [jobs[0], jobs[3]]


def test_a_seed_that_is_no_number_is_still_composed():
    jobs = [["seed=0"], ["seed=1"], ["seed=one"], ["seed=0", "protocol.seed=1"]]
    assert without_other_seeds(jobs) == [jobs[0], jobs[2], jobs[3]]


def test_hydra_is_asked_for_fewer_jobs_and_put_back_afterwards(monkeypatch):
    composed = []
    monkeypatch.setattr(
        Sweeper, "validate_batch_is_legal", lambda self, batch: composed.append(batch)
    )
    before = Sweeper.validate_batch_is_legal
    with seeds_composed_once():
        Sweeper.validate_batch_is_legal(None, [["seed=0"], ["seed=1"]])
    assert composed == [[["seed=0"]]]
    assert Sweeper.validate_batch_is_legal is before


def summary(capsys, *jobs: str) -> str:
    with ledger() as path:
        for job in jobs:
            report_job(tuple(job.split()), "finished", metric="accuracy", test=0.5)
        assert summarise(path) == 0
    return capsys.readouterr().out


def test_a_summary_names_what_differs_and_says_that_scores_are_of_the_test(capsys):
    jobs = [f"model={m} dataset=cora seed={s}" for m in ("gcn", "mlp") for s in (0, 1)]
    assert summary(capsys, *jobs) == (
        "model=gcn  test accuracy 0.5000 ± 0.0000  (2 seeds)\n"
        "model=mlp  test accuracy 0.5000 ± 0.0000  (2 seeds)\n"
    )


def test_a_summary_of_seeds_alone_needs_no_name(capsys):
    jobs = [f"model=gcn dataset=cora seed={s}" for s in (0, 1)]
    assert summary(capsys, *jobs) == "test accuracy 0.5000 ± 0.0000  (2 seeds)\n"
