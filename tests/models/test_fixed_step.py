import importlib.util
import math
import sys
import types
from itertools import pairwise

import pytest
import torch

from gnnzoo.models.fixed_step import ADAPTIVE, STEPS, integrate, integrate_adaptively

F64 = torch.float64
ORDERS = {"euler": 1, "midpoint": 2, "rk4": 4}
METHOD = pytest.mark.parametrize("method", STEPS)


def linear(num=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(num, num, dtype=F64, generator=generator) / num


@METHOD
def test_error_shrinks_with_the_order_of_the_method(method):
    a, x = linear(), torch.ones(4, 2, dtype=F64)
    exact = torch.linalg.matrix_exp(a * 1.5) @ x
    errors = [
        (integrate(lambda t, x: a @ x, x, 1.5, method, 1.5 / n) - exact).abs().max().item()
        for n in (16, 32, 64)
    ]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(ORDERS[method], abs=0.15)


@METHOD
def test_time_reaches_the_right_hand_side(method):
    """x' = p t^(p - 1) is integrated exactly up to the order of the method."""
    p = ORDERS[method]
    x = integrate(lambda t, x: torch.full_like(x, p * t ** (p - 1)), torch.zeros(1, dtype=F64), 1.3,
                  method, 0.4)  # fmt: skip
    assert x.item() == pytest.approx(1.3**p, rel=1e-12)


@METHOD
def test_last_step_is_shortened_to_land_on_the_time(method):
    seen = []
    x = torch.zeros(1, dtype=F64)

    def f(t, x):
        seen.append(t)
        return torch.ones_like(x)

    assert integrate(f, x, 1.1, method, 0.5).item() == pytest.approx(1.1, rel=1e-14)
    assert max(seen) <= 1.1
    assert len(seen) == 3 * ORDERS[method]


@pytest.mark.parametrize(
    ("t", "step", "count"),
    [
        (0.3, 0.1, 3),
        (1.0, 0.1, 10),
        (0.7, 0.1, 7),
        (1e6, 1e5, 10),
        (0.05, 0.1, 1),
        (0.30001, 0.1, 4),
    ],
)
def test_rounding_makes_no_step_of_its_own(t, step, count):
    calls = []
    integrate(lambda t, x: calls.append(t) or x, torch.zeros(1), t, "euler", step)
    assert len(calls) == count


@METHOD
def test_one_step_equals_the_polynomial_of_the_method(method):
    a, x = linear(), torch.ones(4, 2, dtype=F64)
    terms = [
        torch.linalg.matrix_power(a * 0.5, k) / math.factorial(k) for k in range(ORDERS[method] + 1)
    ]
    torch.testing.assert_close(integrate(lambda t, x: a @ x, x, 0.5, method, 0.5), sum(terms) @ x)


@METHOD
def test_gradcheck(method):
    a, x = linear().requires_grad_(), torch.randn(4, 2, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda a, x: integrate(lambda t, x: (a @ x).tanh() * (1 + t), x, 0.7, method, 0.3), (a, x)
    )


@METHOD
def test_no_time_gives_the_state_back(method):
    x = torch.randn(3)
    assert integrate(lambda t, x: x / 0, x, 0.0, method) is x
    assert integrate(lambda t, x: x, torch.empty(0, 3), 1.0, method).shape == (0, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"t": -1.0}, "t must be at least 0 and finite, got -1.0"),
        ({"t": math.nan}, "got nan"),
        ({"t": 1.0, "step_size": 0.0}, "step_size must be positive and finite, got 0.0"),
        ({"t": 1.0, "step_size": math.inf}, "got inf"),
        ({"t": 1.0, "method": "leap"}, "'euler', 'midpoint', 'rk4', got 'leap'$"),
        ({"t": 1.0, "method": "dopri5"}, "integrate_adaptively knows it"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        integrate(lambda t, x: x, torch.zeros(1), **settings)


def test_without_torchdiffeq_one_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    with pytest.raises(ImportError, match=r"torchdiffeq: pip install \"gnnzoo\[ode\]\"; or take"):
        integrate_adaptively(lambda t, x: x, torch.zeros(1), 1.0)
    with pytest.raises(ValueError, match="integrate knows it"):
        integrate_adaptively(lambda t, x: x, torch.zeros(1), 1.0, "rk4")


def test_torchdiffeq_is_asked_for_the_state_at_the_time(monkeypatch):
    asked = {}

    def odeint(f, x, times, **settings):
        asked.update(settings, times=times.tolist())
        return torch.stack([x, f(times[1], x)])

    monkeypatch.setitem(sys.modules, "torchdiffeq", types.SimpleNamespace(odeint=odeint))
    x = torch.ones(2)
    out = integrate_adaptively(lambda t, x: x * t, x, 3.0, "bosh3", rtol=1e-3)
    assert torch.equal(out, x * 3)
    assert asked == {"times": [0.0, 3.0], "method": "bosh3", "rtol": 1e-3, "atol": 1e-7}
    assert integrate_adaptively(lambda t, x: x, x, 0.0) is x


@pytest.mark.skipif(importlib.util.find_spec("torchdiffeq") is None, reason="no torchdiffeq")
@pytest.mark.parametrize("method", ADAPTIVE)
def test_adaptive_steps_reach_the_exact_solution(method):
    a, x = linear(), torch.ones(4, 2, dtype=F64)
    exact = torch.linalg.matrix_exp(a * 1.5) @ x
    found = integrate_adaptively(lambda t, x: a @ x, x, 1.5, method, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-6)
