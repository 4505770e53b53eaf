"""Means, the verdict on a reproduction, and paired comparison: numbers in, numbers out."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FEWEST = 3  # runs, or pairs, that a word is founded on
_ROUNDING = 1e-12


def mean_and_std(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation (n - 1); ``None`` where there are too few values."""
    mean = statistics.fmean(values) if values else None
    return mean, statistics.stdev(values) if len(values) > 1 else None


@dataclass(frozen=True)
class Verdict:
    """Whether a reproduction agrees with the reported value.

    Attributes:
        word: ``holds``, ``above``, ``below`` or ``undecided``.
        difference: Ours minus reported.
        errors: How many combined standard errors lie between them; ``inf`` if both spreads are 0.
        at_least: ``errors`` is a lower bound, as the source does not tell its spread or its runs.
    """

    word: str
    difference: float
    errors: float | None = None
    at_least: bool = False


def verdict(
    mean: float, std: float | None, n: int, reported: tuple[float, float | None, int | None]
) -> Verdict:
    r"""Compare a mean of ``n`` runs with a reported one, in both directions.

    It holds when :math:`|m - m_r| \le 2 \sqrt{s_r^2 / n_r + s^2 / n}`. A source that does not tell
    how many runs it averaged (or their spread) leaves that root between two ends: the reported mean
    exact, and a mean of one single run. A word is given only when both ends agree on it, and there
    are at least three runs.

    Args:
        mean: Our mean.
        std: Our sample standard deviation.
        n: Our number of runs.
        reported: Mean, standard deviation and number of runs of the source; the last two may be
            unknown.
    """
    reported_mean, reported_std, reported_n = reported
    difference = mean - reported_mean
    if n < FEWEST or std is None:
        return Verdict("undecided", difference)
    own = std**2 / n
    if reported_std is not None and reported_n is not None:
        least = most = math.sqrt(own + reported_std**2 / reported_n)
    else:
        least = math.sqrt(own)
        most = math.inf if reported_std is None else math.sqrt(own + reported_std**2)
    distance = abs(difference)
    if distance <= 2 * least + _ROUNDING:
        return Verdict("holds", difference)
    if distance <= 2 * most + _ROUNDING:
        return Verdict("undecided", difference)
    errors = distance / most if most > 0 else math.inf
    return Verdict("above" if difference > 0 else "below", difference, errors, least != most)


@dataclass(frozen=True)
class Paired:
    """Paired difference between two methods.

    Attributes:
        word: ``beats``, ``loses to``, ``no difference`` or ``too few pairs``.
        n: Number of pairs.
        mean: Mean difference, ``None`` without pairs.
        low: Lower end of the 95 % confidence interval, ``None`` with fewer than three pairs.
        high: Upper end.
    """

    word: str
    n: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None


def paired(ours: Mapping[Any, float], baseline: Mapping[Any, float], mode: str = "max") -> Paired:
    """Compare over the keys that both have, by a 95 % t-interval of the mean difference.

    Args:
        ours: Score per key; a key names all that a pair must share, such as seed and split.
        baseline: Score per key.
        mode: ``max`` if higher is better, ``min`` if lower is.
    """
    differences = [ours[key] - baseline[key] for key in ours if key in baseline]
    mean, std = mean_and_std(differences)
    if len(differences) < FEWEST or std is None:
        return Paired("too few pairs", len(differences), mean)
    half = 0.0
    if std > _ROUNDING:  # else all differences are equal and the interval is a point
        from scipy.stats import t

        n = len(differences)
        half = float(t.ppf(0.975, n - 1)) * std / math.sqrt(n)
    low, high = mean - half, mean + half
    if low <= _ROUNDING and high >= -_ROUNDING:
        word = "no difference"
    else:
        word = "beats" if (mean > 0) == (mode == "max") else "loses to"
    return Paired(word, len(differences), mean, low, high)
