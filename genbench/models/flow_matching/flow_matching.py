r"""Flow matching with the path of optimal transport between a standard normal and each image.

    x   integer image, D entries of L levels      u   uniform noise, one per entry      x_1 = 2 (x + u) / L - 1 in (-1, 1)
    x_t = (1 - (1 - sigma_min) t) x_0 + t x_1,    x_0 ~ N(0, I),  t in [0, 1]            (Lipman et al., eq. 20 and 22)

    loss      E_{t, x_0, x_1} |v(x_t, t) - (x_1 - (1 - sigma_min) x_0)|^2 / D,  t ~ U(0, 1)                          (eq. 23)
    sample    dx/dt = v(x, t) from x_0 at t = 0 to t = 1, then the cell that x_1 lies in                              (eq. 1)
    density   log f(x_1) = log N(x_0; 0, I) - int_0^1 tr(dv/dx) dt  along the same curve, from t = 1 back to 0
                                                                                                   (Chen
                                                                                                   et
                                                                                                   al.,
                                                                                                   theorem
                                                                                                   1)
    trace     tr(J) = sum_i b_i^T J b_i over the D basis vectors, or  E e^T J e over e in {-1, 1}^D       (Hutchinson; FFJORD)

sigma_min = 0 is the straight path of rectified flow (Liu et al.). Its paths of different images
cross, so the field, a mean over them, is curved. Reflow trains again on pairs that the learned flow
Z of a teacher has made, whose paths hardly cross: one Euler step goes further along them, with the
same marginals and no larger transport cost.

    reflow    x_1 = Z_1(x_0),  dZ/dt = v_teacher(Z, t),  Z_0 = x_0, in place of an independent image (Liu et al., section 2.2, k = 2)

Images are scored by uniform dequantisation:

    log P(x) >= E_u [ log mean_{k <= K} f(x_1(u_k)) ] - D log(L / 2)          (K = 1: Theis et al. 2016, arXiv:1511.01844)

which is a bound for the exact f. The error of the solver and the noise of the random trace go
either way, so the declared kind is an estimate: with the exact trace and enough steps it is the
bound, and with random probes its mean is (for K = 1).

The conditional model of f(x_1 | y) adds a linear map of the one-hot y to the features of t.

References:
    Lipman, Chen, Ben-Hamu, Nickel, Le (2023), Flow matching for generative modeling.
    arXiv:2210.02747 Liu, Gong, Liu (2023), Flow straight and fast: learning to generate and
    transfer data with rectified flow. arXiv:2209.03003 Chen, Rubanova, Bettencourt, Duvenaud
    (2018), Neural ordinary differential equations. arXiv:1806.07366 Grathwohl, Chen, Bettencourt,
    Sutskever, Duvenaud (2019), FFJORD. arXiv:1810.01367
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from genbench.errors import InputError
from genbench.formulas.likelihood import gaussian_log_density, importance_weighted, sum_dims
from genbench.formulas.pixels import dequantise, quantise
from genbench.formulas.solvers import (
    TOLERANCE,
    Solver,
    Trace,
    grid,
    integrate,
    integrate_with_divergence,
    trace_probes,
)
from genbench.model import GenerativeModel
from genbench.nets.net import NetFactory
from genbench.nets.time import Sinusoidal
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory

__all__ = ["FlowMatching"]

# radians that the fastest feature of time turns while t goes from 0 to 1; the slowest turns one. A
# field that is rough in t
# would need more steps than the data do
_TURNS = 100.0


class FlowMatching(GenerativeModel):
    """A velocity field learned by regression; it samples, and scores, by an ordinary differential
    equation.

    Args:
        spec: Shape and levels of the images.
        net: x_t -> v, conditioned on features of t, and of y.
        optimizer: Optimizer of all parameters.
        sigma_min: Standard deviation that the path leaves around an image at t = 1, 0 <= sigma_min
            < 1.
        cond_width: Length of the conditioning vector made from t, even.
        conditional: Model p(x | y) of the data's labels in place of p(x).
        reflow: Steps of Heun by which the needed `teacher`, another flow matching, makes x_1 of
            x_0; 0: x_1 is an image.
    """

    likelihood = "estimate"
    dequantisation = "uniform"

    def __init__(
        self,
        spec: Spec,
        net: NetFactory,
        optimizer: OptimizerFactory,
        sigma_min: float = 0.0,
        cond_width: int = 128,
        conditional: bool = False,
        reflow: int = 0,
    ) -> None:
        super().__init__(spec, optimizer, conditional)
        if reflow < 0:
            raise ValueError(f"reflow is at least 0, not {reflow}")
        self.reflow = reflow
        self.needs = {"teacher": FlowMatching} if reflow else {}
        if not 0 <= sigma_min < 1:
            raise ValueError(f"sigma_min is at least 0 and below 1, not {sigma_min}")
        self.sigma_min = sigma_min
        features = Sinusoidal(cond_width, period=_TURNS)
        self.time = nn.Sequential(
            features,
            nn.Linear(cond_width, cond_width),
            nn.SiLU(),
            nn.Linear(cond_width, cond_width),
        )
        self.label = nn.Linear(self.classes, cond_width, bias=False) if conditional else None
        self.net = net(spec.shape, spec.shape, cond_width)

    # --- training ---------------------------------------------------------------------------------

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """Eq. 23, a mean square without unit."""
        t = rng.uniform()
        x_0 = rng.normal(self.spec.shape)
        x_1 = self.carried(x_0, y) if self.reflow else self.to_cell(x, rng.split("dequantise"))
        v = self.velocity(self.interpolate(x_0, x_1, t), t, self.condition(y))
        return {"loss": ((v - (x_1 - (1 - self.sigma_min) * x_0)) ** 2).mean()}

    def carried(self, x_0: Tensor, y: Tensor | None) -> Tensor:
        """The other end of a pair of reflow, Z_1(x_0) of the teacher: reals, of the shape of x_0."""
        teacher = self.needed("teacher")
        assert isinstance(teacher, FlowMatching)
        return deque(teacher.trajectory(x_0, y=y, steps=self.reflow), maxlen=1).pop()

    def needed(self, name: str) -> GenerativeModel:
        """The teacher, frozen. Training asks for it before it writes anything.

        Raises:
            InputError: It is missing or not finished; or this is a model of p(x | y), and the teacher is one of p(x).
        """
        teacher = super().needed(name)
        if self.conditional and not teacher.conditional:
            raise InputError(
                f"model.conditional is true, but the {name} is a model of p(x); --needs.{name}.model.conditional=true"
            )
        return teacher

    def interpolate(self, x_0: Tensor, x_1: Tensor, t: Tensor) -> Tensor:
        """x_t, eq. 22. t: (B,)."""
        t = t.view(-1, *(1,) * len(self.spec.shape))
        return (1 - (1 - self.sigma_min) * t) * x_0 + t * x_1

    def velocity(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """v(x_t, t), shape of x_t. t: (B,). cond: y as `condition` gives it."""
        features = self.time(_TURNS * t.to(x_t.dtype))
        return self.net(
            x_t, features if self.label is None or cond is None else features + self.label(cond)
        )

    def to_cell(self, x: Tensor, rng: Rng) -> Tensor:
        """Integer images -> x_1, uniform in their cells of (-1, 1)."""
        return 2 * dequantise(x, self.spec.levels, rng) - 1

    # --- the density ------------------------------------------------------------------------------

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
            x: uint8 (B, C, H, W).
            y: int64 (B,) labels of a model of p(x | y).
            rng: One stream per image.
            K: Dequantisation noises per image.
            trace: By D derivatives, or by random probes, which stay the same along a curve.
            probes: Probes of a random trace, one derivative each.
            solver: Euler, midpoint, Heun, Runge-Kutta, or adaptive dopri5.
            steps: Fixed steps.
            power: Spacing of the steps, `solvers.grid`: 1 is even, 2 refines towards the data,
                whose cells are small.
            tolerance: Of dopri5.
        """
        rng = rng or self.fixed_rng(x)
        times = grid(steps, power)[::-1]
        if solver == "dopri5":
            times = [1.0, 0.0]
        cell = self.spec.dims * math.log(self.spec.levels / 2)

        def parts(k: int) -> tuple[Tensor, Tensor]:
            some = trace_probes(rng.split("trace", k), self.spec.shape, trace, probes)
            x_1 = self.to_cell(x, rng.split("dequantise", k))
            return self.density_parts(x_1, y, some, times, solver, tolerance)

        if K == 1:
            prior, change = parts(0)
            return {"prior": -prior, "divergence": -change, "cell": torch.full_like(prior, cell)}
        return {
            "importance-weighted": cell - importance_weighted(K, lambda k: torch.add(*parts(k)))
        }

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
        x_1: Tensor,
        y: Tensor | None,
        probes: Tensor,
        times: list[float],
        solver: Solver = "heun",
        tolerance: float | None = None,
    ) -> tuple[Tensor, Tensor]:
        """log N(x_0; 0, I) and -int_0^1 tr(dv/dx) dt, whose sum is log f(x_1). (B,) nats each.

        Args:
            x_1: Reals (B, C, H, W).
            y: int64 (B,) labels of a model of p(x | y).
            probes: Of `divergence`.
            times: From 1 down to 0.
            solver: Of `solvers.integrate`.
            tolerance: Of dopri5.
        """
        # theorem 1; from 1 back to 0, int tr dt has the sign that log f asks for
        x_0, change = integrate_with_divergence(
            self._field(y), x_1, probes, times, solver, tolerance
        )
        zero = torch.zeros_like(x_0)
        return sum_dims(gaussian_log_density(x_0, zero, zero)), change

    # --- sampling ---------------------------------------------------------------------------------

    @torch.no_grad()
    def trajectory(
        self,
        x: Tensor,
        rng: Rng | None = None,
        y: Tensor | None = None,
        solver: Solver = "heun",
        steps: int = 50,
        power: float = 1.0,
        tolerance: float | None = None,
    ) -> Iterator[Tensor]:
        """From x_0 along the field, the real images at every time of the grid, the last of which is
        x_1. No noise is drawn.

        dopri5 chooses its own steps, and interpolates at the times of the grid.

        Args:
            x: x_0, (B, C, H, W).
            rng: Not used.
            y: int64 (B,) labels of a model of p(x | y).
            solver: Euler, midpoint, Heun, Runge-Kutta, or adaptive dopri5, with which an image
                depends on its batch within the tolerance.
            steps: Fixed steps; Heun and midpoint evaluate the network twice in each, Runge-Kutta
                four times.
            power: Spacing of the steps, `solvers.grid`.
            tolerance: Of dopri5, absolute and relative. Default: 1e-5.
        """
        yield from integrate(self._field(y), x, grid(steps, power), solver, tolerance)

    def encode(
        self, x: Tensor, y: Tensor | None = None, solver: Solver = "heun", steps: int = 50
    ) -> Tensor:
        """Integer images -> latents x_0, (B, D), of the centres of their cells."""
        x_1 = 2 * (x.to(self.dtype) + 0.5) / self.spec.levels - 1
        with torch.no_grad():
            return (
                deque(integrate(self._field(y), x_1, grid(steps)[::-1], solver), maxlen=1)
                .pop()
                .flatten(1)
            )

    def decode(
        self, z: Tensor, y: Tensor | None = None, solver: Solver = "heun", steps: int = 50
    ) -> Tensor:
        """Latents (B, D) -> integer images, uint8.

        Inverse of `encode`, up to the error of the solver.
        """
        images = self.trajectory(z.unflatten(1, self.spec.shape), None, y, solver, steps)
        return self.to_pixels(deque(images, maxlen=1).pop())

    def to_pixels(self, v: Tensor) -> Tensor:
        """Reals in [-1, 1] -> the pixel in whose cell they lie, uint8. Inverse of `to_cell`."""
        return quantise((v + 1) / 2, self.spec.levels)

    def _field(self, y: Tensor | None) -> Callable[[Tensor, float], Tensor]:
        cond = self.condition(y)
        return lambda x, t: self.velocity(x, x.new_full((len(x),), t), cond)
