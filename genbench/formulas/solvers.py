r"""Solvers of ordinary differential equations dx/dt = f(x, t), forwards or backwards in t.

A step goes from t to s = t + h; with k_1 = f(x, t):

    euler       x + h k_1
    midpoint    x + h f(x + h/2 k_1, t + h/2)
    heun        x + h/2 (k_1 + k_2),                    k_2 = f(x + h k_1, s)             the explicit trapezoid
    rk4         x + h/6 (k_1 + 2 k_2 + 2 k_3 + k_4),    k_2 = f(x + h/2 k_1, t + h/2),  k_3 = f(x + h/2 k_2, t + h/2),
                                                        k_4 = f(x + h k_3, s)
    dopri5      embedded formulas of order 5 and 4, whose difference chooses h          (torchdiffeq; Dormand & Prince 1980)

The log density of x along a curve changes by the divergence of the field, so that from its start to its end

    log p_start(x_start) = log p_end(x_end) + int_start^end tr(df/dx) dt                       (Chen et al., theorem 1)
    tr(J) = sum_i b_i^T J b_i over the D basis vectors, or  E e^T J e over e in {-1, 1}^D      (Hutchinson; FFJORD)

The error of n steps of order p is O(n^-p). With fixed steps, a row of x sees no other row; dopri5
takes one h for the whole batch, so that a row depends on its batch within the tolerance.

References:
    Hairer, Noersett, Wanner (1993), Solving ordinary differential equations I, chapter II
    Dormand, Prince (1980), A family of embedded Runge-Kutta formulae.
    doi:10.1016/0771-050X(80)90013-3
    Chen, Rubanova, Bettencourt, Duvenaud (2018), Neural ordinary differential equations.
    arXiv:1806.07366
    Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud (2019), FFJORD. arXiv:1810.01367
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from genbench.formulas.likelihood import sum_dims
from genbench.rng import Rng

__all__ = [
    "FIXED",
    "TOLERANCE",
    "Field",
    "FixedStep",
    "Solver",
    "Trace",
    "check_solver",
    "check_trace",
    "divergence",
    "dopri5",
    "euler",
    "grid",
    "heun",
    "integrate",
    "integrate_with_divergence",
    "midpoint",
    "rk4",
    "trace_probes",
]

# A `Field` maps x and t to dx/dt, which has the shape of x.
Field = Callable[[Tensor, float], Tensor]
Solver = Literal["euler", "midpoint", "heun", "rk4", "dopri5"]
Trace = Literal["exact", "hutchinson"]
TOLERANCE = 1e-5


def euler(field: Field, x: Tensor, t: float, s: float) -> Tensor:
    """x at s from x at t."""
    return x + (s - t) * field(x, t)


def midpoint(field: Field, x: Tensor, t: float, s: float) -> Tensor:
    """x at s from x at t."""
    h = s - t
    return x + h * field(x + h / 2 * field(x, t), t + h / 2)


def heun(field: Field, x: Tensor, t: float, s: float) -> Tensor:
    """x at s from x at t."""
    h = s - t
    k_1 = field(x, t)
    k_2 = field(x + h * k_1, s)
    return x + h / 2 * (k_1 + k_2)


def rk4(field: Field, x: Tensor, t: float, s: float) -> Tensor:
    """x at s from x at t."""
    h = s - t
    k_1 = field(x, t)
    k_2 = field(x + h / 2 * k_1, t + h / 2)
    k_3 = field(x + h / 2 * k_2, t + h / 2)
    k_4 = field(x + h * k_3, s)
    return x + h / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)


class FixedStep(NamedTuple):
    """A step, its order p, and how often it evaluates the field."""

    step: Callable[[Field, Tensor, float, float], Tensor]
    order: int
    evaluations: int


FIXED = {
    "euler": FixedStep(euler, order=1, evaluations=1),
    "midpoint": FixedStep(midpoint, order=2, evaluations=2),
    "heun": FixedStep(heun, order=2, evaluations=2),
    "rk4": FixedStep(rk4, order=4, evaluations=4),
}


def dopri5(
    field: Field, x: Tensor, times: Sequence[float], tolerance: float = TOLERANCE
) -> Iterator[Tensor]:
    """x at every time after the first; steps are chosen such that an error is below tolerance (1 +
    |x|), root mean square.
    """
    from torchdiffeq import odeint

    points = torch.tensor(times, dtype=x.dtype, device=x.device)
    try:
        states = odeint(
            lambda t, x: field(x, float(t)),
            x,
            points,
            rtol=tolerance,
            atol=tolerance,
            method="dopri5",
        )
    except AssertionError as error:  # The step has become too small.
        raise ValueError(
            f"dopri5 does not reach tolerance {tolerance:g} in {x.dtype}: {error}"
        ) from None
    yield from states[1:]


def integrate(
    field: Field,
    x: Tensor,
    times: Sequence[float],
    solver: Solver = "heun",
    tolerance: float | None = None,
) -> Iterator[Tensor]:
    """x at every time after the first: the steps of a fixed-step solver go from one to the next.

    Args:
        field: f.
        x: At the first of the times, (B, ...).
        times: Increasing or decreasing.
        solver: One of `FIXED`, or dopri5.
        tolerance: Absolute and relative tolerance of dopri5; no other solver takes one. Default:
            1e-5.

    Examples:
        dx/dt = x from x(0) = 1: in one step x(1) = e = 2.71828... is the Taylor polynomial of the
        solver's order.

        >>> for solver in ("euler", "heun", "rk4"):
        ...     *_, x = integrate(lambda x, t: x, torch.ones(1), [0.0, 1.0], solver)
        ...     print(solver, round(x.item(), 5))
        euler 2.0
        heun 2.5
        rk4 2.70833
    """
    check_solver(solver, tolerance)
    if solver == "dopri5":
        yield from dopri5(field, x, times, TOLERANCE if tolerance is None else tolerance)
        return
    for t, s in pairwise(times):
        x = FIXED[solver].step(field, x, t, s)
        yield x


def check_solver(solver: Solver, tolerance: float | None = None) -> None:
    """Refuse a solver that does not exist, and a tolerance that it does not take.

    Args:
        solver: Its name.
        tolerance: Tolerance of dopri5.

    Raises:
        ValueError: There is no such solver, the tolerance is not above 0, or the solver has fixed
            steps and takes none.
    """
    if solver != "dopri5" and solver not in FIXED:
        raise ValueError(f"solver is one of {', '.join(FIXED)} or dopri5, not {solver!r}")
    if tolerance is None:
        return
    if solver != "dopri5":
        raise ValueError(
            f"tolerance is an option of solver = 'dopri5', not of {solver!r}, whose steps are fixed"
        )
    if not tolerance > 0:
        raise ValueError(f"tolerance is above 0, not {tolerance}")


def grid(steps: int, power: float = 1.0) -> list[float]:
    """steps + 1 times from 0 to 1, t = (i / steps)^power: even, or denser towards 0 where power > 1.

    Examples:
        >>> grid(4)
        [0.0, 0.25, 0.5, 0.75, 1.0]
        >>> grid(4, power=2)
        [0.0, 0.0625, 0.25, 0.5625, 1.0]
    """
    if steps < 1 or power < 1:
        raise ValueError(f"steps and power are at least 1, not {steps} and {power}")
    return [(i / steps) ** power for i in range(steps + 1)]


@torch.no_grad()
def integrate_with_divergence(
    field: Field,
    x: Tensor,
    probes: Tensor,
    times: Sequence[float],
    solver: Solver = "heun",
    tolerance: float | None = None,
) -> tuple[Tensor, Tensor]:
    """x at the last of the times, (B, ...), and int tr(df/dx) dt from the first to the last, (B,)
    nats.

    Args:
        field: f, which maps each row of x by itself.
        x: At the first of the times, (B, ...).
        probes: Probes of `divergence`.
        times: Increasing or decreasing.
        solver: Solver of `integrate`.
        tolerance: Absolute and relative tolerance of dopri5.
    """
    shape = x.shape[1:]

    def joint(state: Tensor, t: float) -> Tensor:
        x = state[:, :-1].unflatten(1, shape)
        v, trace = divergence(lambda x: field(x, t), x, probes)
        return torch.cat((v.flatten(1), trace[:, None]), dim=1)

    start = torch.cat((x.flatten(1), x.new_zeros(len(x), 1)), dim=1)
    end = deque(integrate(joint, start, times, solver, tolerance), maxlen=1).pop()
    return end[:, :-1].unflatten(1, shape), end[:, -1]


def divergence(v: Callable[[Tensor], Tensor], x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor]:
    """v(x) and sum_p e_p^T (dv/dx) e_p, (B,), for a field that maps each row by itself.

    Args:
        v: (B, ...) -> (B, ...).
        x: (B, ...).
        probes: e, (P, B, ...): the basis gives the trace; random signs over sqrt(P) an unbiased
            estimate of it.

    Examples:
        The derivative of x^2, entry by entry, has the trace 2 (x_1 + x_2):

        >>> x = torch.tensor([[1.0, 3.0]])
        >>> value, trace = divergence(lambda x: x**2, x, trace_probes(Rng(0, [0]), (2,)))
        >>> value.tolist(), trace.tolist()
        ([[1.0, 9.0]], [8.0])
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        out = v(x)
        total = x.new_zeros(len(x))
        for e in probes:
            (e_J,) = torch.autograd.grad(out, x, e, retain_graph=True)
            total = total + sum_dims(e_J * e)
    return out.detach(), total.detach()


def trace_probes(rng: Rng, shape: Sequence[int], trace: Trace = "exact", probes: int = 1) -> Tensor:
    """The vectors of `divergence`, (P, B, *shape), scaled such that e^T J e is summed over them.

    Args:
        rng: One stream per row.
        shape: Shape of a row.
        trace: Whether the probes are the D basis vectors or random vectors.
        probes: Number of random ones.
    """
    check_trace(trace, probes)
    if trace == "exact":
        dims = math.prod(shape)
        basis = torch.eye(dims, dtype=rng.dtype, device=rng.device).view(-1, 1, *shape)
        return basis.expand(-1, len(rng), *shape)
    signs = 1 - 2 * (rng.bits((probes, *shape)) & 1)
    return signs.transpose(0, 1).to(rng.dtype) / math.sqrt(probes)


def check_trace(trace: Trace, probes: int) -> None:
    """Refuse a trace that does not exist, and a number of probes below 1.

    Args:
        trace: Its name.
        probes: Number of random probes.

    Raises:
        ValueError: There is no such trace, or there is no probe.
    """
    if trace not in ("exact", "hutchinson"):
        raise ValueError(f"trace is 'exact' or 'hutchinson', not {trace!r}")
    if probes < 1:
        raise ValueError(f"probes is at least 1, not {probes}")
