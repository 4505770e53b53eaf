"""Statistics against numbers worked out by hand."""

import math

import pytest

from gnnzoo.results.statistics import mean_and_std, paired, verdict


def test_the_standard_deviation_is_the_sample_one():
    mean, std = mean_and_std([0.80, 0.82, 0.84])
    assert mean == pytest.approx(0.82)
    assert std == pytest.approx(0.02)  # sqrt((0.02^2 + 0 + 0.02^2) / 2)


def test_few_values_have_no_spread():
    assert mean_and_std([]) == (None, None)
    assert mean_and_std([0.5]) == (0.5, None)


# 20 runs of std 0.004 and 100 of 0.006: sqrt(8e-7 + 3.6e-7) = 0.00107703, twice it 0.00215407
@pytest.mark.parametrize(
    ("mean", "word", "errors"),
    [
        (0.8460, "holds", None),
        (0.8419, "holds", None),
        (0.8462, "above", 2.0427),
        (0.8400, "below", 3.7139),
    ],
)
def test_a_verdict_goes_both_ways(mean, word, errors):
    found = verdict(mean, 0.004, 20, (0.844, 0.006, 100))
    assert found.word == word
    assert found.difference == pytest.approx(mean - 0.844)
    assert found.errors == (None if errors is None else pytest.approx(errors, abs=1e-3))
    assert not found.at_least


# ours alone: 0.004 / sqrt(16) = 0.001; with one reported run of 0.003: sqrt(1e-6 + 9e-6) = 0.00316
@pytest.mark.parametrize(
    ("difference", "word"),
    [(0.0019, "holds"), (-0.004, "undecided"), (0.0064, "above"), (-0.0064, "below")],
)
def test_an_unknown_number_of_reported_runs_leaves_only_what_is_sure(difference, word):
    found = verdict(0.8 + difference, 0.004, 16, (0.8, 0.003, None))
    assert found.word == word
    if word in ("above", "below"):
        assert found.at_least
        assert found.errors == pytest.approx(0.0064 / math.sqrt(1e-5))


def test_an_unknown_spread_never_gives_above_or_below():
    assert verdict(0.9, 0.004, 16, (0.8, None, 10)).word == "undecided"
    assert verdict(0.8, 0.004, 16, (0.8, None, 10)).word == "holds"


def test_fewer_than_three_runs_leave_it_undecided():
    assert verdict(0.9, None, 1, (0.8, 0.01, 10)).word == "undecided"
    assert verdict(0.8, 0.02, 2, (0.8, 0.01, 10)).word == "undecided"
    assert verdict(0.8, 0.02, 3, (0.8, 0.01, 10)).word == "holds"


def test_no_spread_on_either_side_means_equal_or_not():
    assert verdict(0.8, 0.0, 5, (0.8, 0.0, 5)).word == "holds"
    found = verdict(0.7, 0.0, 5, (0.8, 0.0, 5))
    assert (found.word, found.errors) == ("below", math.inf)


def test_the_paired_interval_is_the_t_interval():
    # differences 0.01, 0.02, 0.03: mean 0.02, std 0.01, t(0.975, 2) = 4.302653
    baseline = {0: 0.70, 1: 0.71, 2: 0.72, 9: 0.1}
    found = paired({0: 0.71, 1: 0.73, 2: 0.75, 8: 0.9}, baseline)
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert (found.word, found.n) == ("no difference", 3)
    assert found.mean == pytest.approx(0.02)
    assert (found.low, found.high) == (pytest.approx(0.02 - half), pytest.approx(0.02 + half))


@pytest.mark.parametrize(("sign", "mode", "word"), [
    (1, "max", "beats"), (-1, "max", "loses to"), (1, "min", "loses to"), (-1, "min", "beats"),
])  # fmt: skip
def test_the_mode_says_which_direction_is_better(sign, mode, word):
    ours = {seed: sign * (0.1 + 0.001 * seed) for seed in range(5)}
    assert paired(ours, dict.fromkeys(range(5), 0.0), mode).word == word


@pytest.mark.parametrize(("shift", "word"), [
    (0.0, "no difference"), (0.01, "beats"), (-0.01, "loses to"),
])  # fmt: skip
def test_equal_differences_give_an_interval_of_no_width(shift, word):
    baseline = {0: 0.70, 1: 0.75, 2: 0.80}
    found = paired({seed: score + shift for seed, score in baseline.items()}, baseline)
    assert found.word == word
    assert found.low == found.high == pytest.approx(shift)


def test_two_pairs_are_too_few():
    assert paired({0: 0.5}, {0: 0.4}).word == "too few pairs"
    found = paired({0: 0.5, 1: 0.5}, {0: 0.4, 1: 0.4})
    assert (found.word, found.n, found.low) == ("too few pairs", 2, None)
    assert paired({0: 0.5}, {1: 0.4}).mean is None
