r"""Explicit Runge-Kutta methods of fixed step size for :math:`\dot x = f(t, x)`."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

Dynamics = Callable[[float, Tensor], Tensor]

ADAPTIVE = ("dopri5", "dopri8", "bosh3", "adaptive_heun")


def _euler(f: Dynamics, t: float, x: Tensor, h: float) -> Tensor:
    return x + h * f(t, x)


def _midpoint(f: Dynamics, t: float, x: Tensor, h: float) -> Tensor:
    half = 0.5 * h
    return x + h * f(t + half, x + half * f(t, x))


def _rk4(f: Dynamics, t: float, x: Tensor, h: float) -> Tensor:
    half = 0.5 * h
    first = f(t, x)
    second = f(t + half, x + half * first)
    third = f(t + half, x + half * second)
    fourth = f(t + h, x + h * third)
    return x + (h / 6.0) * (first + 2.0 * (second + third) + fourth)


STEPS = {"euler": _euler, "midpoint": _midpoint, "rk4": _rk4}  # orders 1, 2 and 4


def integrate(
    f: Dynamics, x: Tensor, t: float, method: str = "rk4", step_size: float = 0.25
) -> Tensor:
    r"""State at time `t` from the state at time 0.

    Steps have the given size except for the last one, which is shortened to land on `t`. Gradients
    go through all steps by autograd: memory grows with their number, and they are those of what was
    computed.

    Args:
        f: The right-hand side, called with the time as a number and the state.
        x: State at time 0, floating point, of any shape.
        t: Final time, at least 0; 0 gives `x` back.
        method: ``euler``, ``midpoint`` or ``rk4``, with errors of order 1, 2 and 4 in the step size
            and as many evaluations of `f` for each step.
        step_size: Length of a step, positive.

    Shapes:
        returns: as `x`.

    Raises:
        ValueError: If the time, the step size or the method is out of range.
    """
    if method not in STEPS:
        more = "; integrate_adaptively knows it" if method in ADAPTIVE else ""
        raise ValueError(f"method must be one of {_listed(STEPS)}, got {method!r}{more}")
    _check_time(t)
    for start, length in _steps(t, step_size):
        x = STEPS[method](f, start, x, length)
    return x


def integrate_adaptively(
    f: Dynamics,
    x: Tensor,
    t: float,
    method: str = "dopri5",
    rtol: float = 1e-5,
    atol: float = 1e-7,
) -> Tensor:
    """As `integrate`, with steps that torchdiffeq chooses to keep the error within bounds.

    Args:
        f, x, t: As for `integrate`, but the time comes as a tensor.
        method: ``dopri5``, ``dopri8``, ``bosh3`` or ``adaptive_heun``.
        rtol: Error allowed relative to the state.
        atol: Error allowed beside that.

    Raises:
        ValueError: If the time or the method is out of range.
        ImportError: If torchdiffeq is not installed.
    """
    if method not in ADAPTIVE:
        more = "; integrate knows it" if method in STEPS else ""
        raise ValueError(f"method must be one of {_listed(ADAPTIVE)}, got {method!r}{more}")
    _check_time(t)
    try:
        from torchdiffeq import odeint
    except ImportError as error:
        raise ImportError(
            f'method {method!r} needs torchdiffeq: pip install "gnnzoo[ode]"; or take a fixed '
            f"step size, with method 'rk4'"
        ) from error
    if t == 0:
        return x
    times = torch.tensor([0.0, t], dtype=x.dtype, device=x.device)
    return odeint(f, x, times, rtol=rtol, atol=atol, method=method)[-1]


def _steps(t: float, step_size: float) -> list[tuple[float, float]]:
    """Start and length of every step."""
    if not 0.0 < step_size < math.inf:
        raise ValueError(f"step_size must be positive and finite, got {step_size}")
    # A remainder of rounding size is no step of its own: the last whole step takes it in.
    count = math.ceil(t / step_size * (1.0 - 1e-12))
    bounds = [*(k * step_size for k in range(count)), t]
    return [(start, end - start) for start, end in pairwise(bounds)]


def _check_time(t: float) -> None:
    if not 0.0 <= t < math.inf:
        raise ValueError(f"t must be at least 0 and finite, got {t}")


def _listed(names: object) -> str:
    return ", ".join(map(repr, names))
