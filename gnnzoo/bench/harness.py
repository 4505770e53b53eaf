"""Race contestants against each other: interleaved, in medians and paired ratios.

Other work on the machine makes single timings worthless. Here every round times all contestants
one after the other, so that a slow moment hits them alike; a ratio is the median of the rounds'
ratios to the first contestant.

Peak memory is measured apart from the timing, over one step of each contestant: on CUDA what torch
allocated, on a CPU the high-water mark of resident memory, reset at the start; what was there
before is taken off in both cases.
"""

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil
import torch

from gnnzoo.ops import spare
from gnnzoo.train.memory import PeakMemory

BURST_SECONDS = 0.02  # a contestant runs at least this long in each round
LONG_SECONDS = 10.0  # a step that takes longer needs no second look to know that once is enough
MAX_ROUNDS = 300
LEVEL_TOLERANCE_MIB = 8.0


@dataclass(frozen=True)
class Contestant:
    """One way to do the work.

    Args:
        name: As the table shows it.
        step: Does the work once.
        time_goal: Largest share of the first contestant's time it should take, if there is a goal.
        memory_goal: The same for the peak extra memory.
    """

    name: str
    step: Callable[[], object]
    time_goal: float | None = None
    memory_goal: float | None = None


@dataclass(frozen=True)
class Result:
    """What was measured for one contestant.

    Attributes:
        contestant: Who ran.
        seconds: Median time of a step.
        ratio: Median over the rounds of the time divided by that of the first contestant.
        ratio_low, ratio_high: Quartiles of the same.
        rounds: Number of rounds.
        peak_mib: Peak memory of a step above what was there before, MiB; None where the system
            does not tell.
        memory_ratio: ``peak_mib`` divided by that of the first contestant.
    """

    contestant: Contestant
    seconds: float
    ratio: float
    ratio_low: float
    ratio_high: float
    rounds: int
    peak_mib: float | None
    memory_ratio: float | None


def race(
    contestants: Sequence[Contestant],
    device: torch.device,
    budget_seconds: float = 10.0,
    min_rounds: int = 3,
    commands: bool = False,
) -> list[Result]:
    """Time all contestants, the first being the reference.

    Args:
        contestants: At least one.
        device: Where they run; CUDA is synchronised around every timing.
        budget_seconds: New rounds begin until this much time has passed.
        min_rounds: Rounds to do in any case.
        commands: Steps are processes of their own: each is timed once per round with nothing to
            warm up, and memory is not measured.
    """
    repeats = [1 if commands else _repeats(contestant, device) for contestant in contestants]
    rounds: list[list[float]] = []
    end = time.perf_counter() + budget_seconds
    while len(rounds) < min_rounds or (time.perf_counter() < end and len(rounds) < MAX_ROUNDS):
        rounds.append(
            [
                _seconds(contestant.step, times, device)
                for contestant, times in zip(contestants, repeats, strict=True)
            ]
        )
    gc.collect()
    peaks = [
        None if commands else peak_extra_mib(contestant.step, device) for contestant in contestants
    ]
    return [
        _result(contestant, [(row[i], row[i] / row[0]) for row in rounds], peaks[i], peaks[0])
        for i, contestant in enumerate(contestants)
    ]


def _repeats(contestant: Contestant, device: torch.device) -> int:
    """How often to run a contestant in a round; warms it up on the way."""
    once = _seconds(contestant.step, 1, device)
    if once > LONG_SECONDS:
        return 1
    once = _seconds(contestant.step, 1, device)  # the first step may have compiled or allocated
    return min(max(round(BURST_SECONDS / max(once, 1e-9)), 1), 1000)


def _seconds(step: Callable[[], object], times: int, device: torch.device) -> float:
    """Mean time of a step over ``times`` in a row."""
    _synchronize(device)
    began = time.perf_counter()
    for _ in range(times):
        step()
    _synchronize(device)
    return (time.perf_counter() - began) / times


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _result(
    contestant: Contestant,
    timings: list[tuple[float, float]],
    peak: float | None,
    reference_peak: float | None,
) -> Result:
    seconds, ratios = zip(*timings, strict=True)
    low, middle, high = (
        statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    )
    return Result(
        contestant=contestant,
        seconds=statistics.median(seconds),
        ratio=middle,
        ratio_low=low,
        ratio_high=high,
        rounds=len(ratios),
        peak_mib=peak,
        memory_ratio=peak / reference_peak if peak is not None and reference_peak else None,
    )


def peak_extra_mib(step: Callable[[], object], device: torch.device) -> float | None:
    """Peak memory of one step above the level before it, in MiB; None where it cannot be told."""
    if device.type == "cpu":
        _give_back_free_memory()
    memory = PeakMemory(device)
    memory.start()
    before = memory.mib()
    if device.type == "cpu":
        resident = psutil.Process().memory_info().rss / 2**20
        if before > resident + LEVEL_TOLERANCE_MIB:
            return None  # the mark could not be reset and spans the life of the process
    step()
    _synchronize(device)
    return max(memory.mib() - before, 0.0)


def _give_back_free_memory() -> None:
    """Let go of what is kept for later, by us and by the allocator where it has a call (glibc).

    Memory that an earlier contestant freed would otherwise serve the next one unseen.
    """
    spare.release()
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return
    trim(0)
