import time

import pytest
import torch

from gnnzoo.bench.harness import Contestant, peak_extra_mib, race

CPU = torch.device("cpu")


def test_the_ratio_of_two_sleeps_is_that_of_their_lengths():
    short = Contestant("short", lambda: time.sleep(0.001))
    long = Contestant("long", lambda: time.sleep(0.002))
    first, second = race([short, long], CPU, budget_seconds=0.5)
    assert first.ratio == first.ratio_low == first.ratio_high == 1.0
    assert second.ratio == pytest.approx(2.0, rel=0.25)
    assert second.ratio_low <= second.ratio <= second.ratio_high
    assert first.seconds >= 0.001


def test_contestants_take_turns_within_a_round():
    calls = []

    def call(name):
        calls.append(name)
        time.sleep(0.02)  # one call fills its share of a round

    race([Contestant(n, lambda n=n: call(n)) for n in "abc"], CPU, 0.0, min_rounds=3)
    rounds = calls[6:-3]  # without warm-up, calibration and the memory measurement
    assert rounds == list("abc") * 3


def test_rounds_fit_the_budget_but_are_never_fewer_than_asked_for():
    slow = Contestant("slow", lambda: time.sleep(0.02))
    assert race([slow], CPU, budget_seconds=0.0, min_rounds=4)[0].rounds == 4
    assert race([slow], CPU, budget_seconds=0.3, min_rounds=1)[0].rounds > 4


def test_peak_memory_sees_what_a_step_frees_again():
    peak = peak_extra_mib(lambda: torch.ones(64, 2**18).sum().item(), CPU)
    if peak is None:
        pytest.skip("this system does not reset the high-water mark")
    assert peak == pytest.approx(64, abs=6)


def test_peak_memory_does_not_hide_in_what_another_contestant_freed():
    def step():
        return [torch.ones(2**14) for _ in range(400)]  # 25 MiB in small pieces

    first, second = peak_extra_mib(step, CPU), peak_extra_mib(step, CPU)
    if first is None:
        pytest.skip("this system does not reset the high-water mark")
    assert second == pytest.approx(first, rel=0.3)


def test_commands_are_run_once_per_round_and_never_beside_it():
    calls = []
    contestants = [Contestant(name, lambda name=name: calls.append(name)) for name in "ab"]
    results = race(contestants, CPU, budget_seconds=0.0, min_rounds=3, commands=True)
    assert calls == ["a", "b"] * 3
    assert [result.peak_mib for result in results] == [None, None]
