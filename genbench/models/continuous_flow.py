r"""Densities that are the flow of a normal one along a field: continuous normalizing flows.

    dx_t/dt = f(x_t, t),  x_0 a real image at t = 0,  x_1 ~ N(0, s^2 I) at t = 1
    log p(x_0) = log N(x_1; 0, s^2 I) + int_0^1 tr(df/dx) dt  along the same curve                         (Chen et al., theorem 1)

Images are scored by uniform dequantisation (`models/dequantised.py`), which is a bound for the exact
p. The error of the solver and the noise of the random trace go either way, so the declared kind is
an estimate: with the exact trace and enough steps it is the bound, and with random probes its mean
is (for K = 1).

References:
    Chen, Rubanova, Bettencourt, Duvenaud (2018), Neural ordinary differential equations.
    arXiv:1806.07366
    Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud (2019), FFJORD. arXiv:1810.01367
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from genbench.formulas.likelihood import gaussian_log_density, sum_dims
from genbench.formulas.solvers import (
    TOLERANCE,
    Field,
    Solver,
    Trace,
    check_solver,
    check_trace,
    grid,
    integrate_with_divergence,
    trace_probes,
)
from genbench.models.dequantised import Dequantised
from genbench.records.parts import LikelihoodKind
from genbench.rng import Rng

__all__ = ["ContinuousFlow"]


class ContinuousFlow(Dequantised):
    """A field whose flow carries noise to images; a leaf writes the field, and how it is learnt.

    Attributes:
        noise_scale: s, the standard deviation of x_1.
    """

    likelihood: LikelihoodKind | None = "estimate"
    interval = (-1.0, 1.0)
    noise_scale = 1.0

    @abstractmethod
    def field(self, y: Tensor | None) -> Field:
        """f, from images at t = 0 to noise at t = 1. y: int64 (B,) labels of a model of p(x | y)."""

    def terms(
        self,
        x: Tensor,
        y: Tensor | None = None,
        rng: Rng | None = None,
        K: int = 1,
        trace: Trace = "exact",
        probes: int = 1,
        solver: Solver = "heun",
        steps: int = 50,
        power: float = 1.0,
        tolerance: float | None = None,
    ) -> dict[str, Tensor]:
        """Prior, divergence and cell volume (K = 1), or the estimate by K noises. (B,) nats each.

        Args:
            x: integers (B, C, H, W).
            y: int64 (B,) labels of a model of p(x | y).
            rng: One stream per image.
            K: Dequantisation noises per image.
            trace: By D derivatives, or by random probes, which stay the same along a curve.
            probes: Probes of a random trace, one derivative each.
            solver: Euler, midpoint, Heun, Runge-Kutta, or adaptive dopri5.
            steps: Fixed steps.
            power: Spacing of the steps, `solvers.grid`: 1 is even, 2 refines towards the data,
                whose cells are small.
            tolerance: Absolute and relative tolerance of dopri5.
        """
        check_solver(solver, tolerance)
        check_trace(trace, probes)
        times = grid(steps, power)
        rng = rng or self.fixed_rng(x)
        if solver == "dopri5":
            times = [0.0, 1.0]

        def density(v: Tensor, k: int) -> dict[str, Tensor]:
            vectors = trace_probes(rng.split("trace", k), self.spec.shape, trace, probes)
            prior, change = self.density_parts(v, y, vectors, times, solver, tolerance)
            return {"prior": -prior, "divergence": -change}

        return self.bound(x, y, rng, K, density)

    def density_terms(self, v: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Prior and divergence by the exact trace and fifty steps of Heun, (B,) nats each."""
        vectors = trace_probes(self.fixed_rng(v), self.spec.shape, "exact", 1)
        prior, change = self.density_parts(v, y, vectors, grid(50))
        return {"prior": -prior, "divergence": -change}

    def finer(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Steps, and twice as many; for dopri5 ten times the tolerance, and the tolerance, as a
        smaller one may be out of reach.
        """
        every = {**self.defaults("log_prob"), **options}
        if every["solver"] == "dopri5":
            return {**options, "tolerance": 10 * (every["tolerance"] or TOLERANCE)}, options
        return options, {**options, "steps": 2 * every["steps"]}

    @torch.no_grad()
    def density_parts(
        self,
        x_0: Tensor,
        y: Tensor | None,
        probes: Tensor,
        times: list[float],
        solver: Solver = "heun",
        tolerance: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """log N(x_1; 0, s^2 I) and int_0^1 tr(df/dx) dt, whose sum is log p(x_0). (B,) nats each.

        Args:
            x_0: Reals (B, C, H, W).
            y: int64 (B,) labels of a model of p(x | y).
            probes: Probes of `divergence`.
            times: Grid of times from 0 to 1.
            solver: Solver of `solvers.integrate`.
            tolerance: Absolute and relative tolerance of dopri5.
        """
        # This is theorem 1 of Chen et al.
        x_1, change = integrate_with_divergence(
            self.field(y), x_0, probes, times, solver, tolerance
        )
        zero = torch.zeros_like(x_1)
        log_s = zero + math.log(self.noise_scale)
        return sum_dims(gaussian_log_density(x_1, zero, log_s)), change
