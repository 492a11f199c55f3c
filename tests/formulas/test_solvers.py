"""Solvers: the order that each declares, exact solutions, both directions."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from genbench.formulas.solvers import FIXED, grid, integrate

X = torch.tensor([[0.7, -0.2], [1.5, 0.4]], dtype=torch.float64)


def field(x, t):
    """dx/dt = -2 t x^2, by entries."""
    return -2 * t * x**2


def solution(x, t):
    return x / (1 + x * t**2)


def end(*given, **options):
    *_, x = integrate(*given, **options)
    return x


@pytest.mark.parametrize("solver", FIXED)
def test_order_of_convergence_is_the_declared_one(solver):
    errors = [
        float((end(field, X, grid(n), solver) - solution(X, 1.0)).abs().max())
        for n in (40, 80, 160)
    ]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(FIXED[solver].order, abs=0.15)


@pytest.mark.parametrize("solver", FIXED)
def test_evaluations_per_step_are_the_declared_ones(solver):
    calls = []
    states = list(integrate(lambda x, t: calls.append(t) or field(x, t), X, grid(7), solver))
    assert len(states) == 7 and len(calls) == 7 * FIXED[solver].evaluations


@pytest.mark.parametrize("solver", [*FIXED, "dopri5"])
def test_there_and_back(solver):
    """From t = 1 down to 0 is the inverse of the way up; states lie at the times of the grid."""
    times = grid(200)
    up = list(integrate(field, X, times, solver))
    tolerance = 2e-2 if solver == "euler" else 1e-4
    for t, x in list(zip(times[1:], up))[::50]:
        torch.testing.assert_close(x, solution(X, t), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(
        end(field, up[-1], times[::-1], solver), X, rtol=tolerance, atol=tolerance
    )


def test_dopri5_keeps_its_tolerance():
    errors = [
        float((end(field, X, [0.0, 1.0], "dopri5", tolerance=t) - solution(X, 1.0)).abs().max())
        for t in (1e-4, 1e-9)
    ]
    assert errors[0] < 1e-3 and errors[1] < 1e-8 and errors[1] < errors[0] / 100


def test_fixed_steps_agree_with_torchdiffeq():
    from torchdiffeq import odeint

    times = grid(9, 2.0)
    for ours, theirs in (("euler", "euler"), ("midpoint", "midpoint"), ("heun", "heun2")):
        expected = odeint(
            lambda t, x: field(x, t), X, torch.tensor(times, dtype=torch.float64), method=theirs
        )[1:]
        torch.testing.assert_close(
            torch.stack(list(integrate(field, X, times, ours))), expected, rtol=1e-12, atol=0
        )


def test_grid_is_denser_towards_zero():
    assert grid(4) == [0, 0.25, 0.5, 0.75, 1]
    steps = torch.tensor(grid(10, 2.0), dtype=torch.float64).diff()
    assert (
        (steps.diff() > 0).all()
        and float(steps.sum()) == pytest.approx(1)
        and float(steps[0]) == pytest.approx(0.01)
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: grid(0),
        lambda: grid(3, 0.5),
        lambda: end(field, X, grid(3), "no-such-word"),
        lambda: end(field, X, grid(3), "heun", tolerance=1e-3),
        lambda: end(field, X, grid(3), "dopri5", tolerance=0.0),
        lambda: end(lambda x, t: x / (0.5 - t) ** 2, X, grid(1), "dopri5"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(call):
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        call()
