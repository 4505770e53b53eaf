"""What a sweep does before its jobs start and after they end."""

from hydra.plugins.sweeper import Sweeper

from gnnzoo.sweep import seeds_composed_once, without_other_seeds


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
