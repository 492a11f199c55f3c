r"""Flow matching along a path between images and normal noise, such as the straight one of optimal transport.

    x     an image of L levels, uniform in the cells of its pixels, in (-1, 1)                (`models.dequantised`)
    x_t = alpha_t x + sigma_t eps,    eps ~ N(0, I),  t in [0, 1] from data (0) to noise (1)       (`formulas.noise`)
    straight: alpha_t = 1 - t,  sigma_t = sigma_min + (1 - sigma_min) t             (Lipman et al., eq. 20 and 22, at 1 - t)

    loss      E_{t, x, eps} |v(x_t, t) - (alpha_t' x + sigma_t' eps)|^2 / D,  t ~ U(0, 1)                      (eq. 23)
    sample    dx/dt = v(x, t) from sigma_1 eps at t = 1 down to t = 0, then the cell that x_0 lies in                   (eq. 1)
    density   along the same curve, from t = 0 up to 1                                       (`models.continuous_flow`)

The network gives -v, which points to the image, at the time 1 - t of the papers.

sigma_min = 0 is the straight path of rectified flow (Liu et al.). Its paths of different images
cross, so the field, a mean over them, is curved. Reflow trains again on pairs that the learned flow
Z of a teacher has made, whose paths hardly cross: one Euler step goes further along them, with the
same marginals and no larger transport cost.

    reflow    x = Z_0(eps),  dZ/dt = v_teacher(Z, t),  Z_1 = sigma_1 eps, in place of an independent image  (Liu et al., section 2.2, k = 2)

The conditional model of f(x | y) adds a linear map of the one-hot y to the features of t.

References:
    Lipman, Chen, Ben-Hamu, Nickel, Le (2023), Flow matching for generative modeling.
    arXiv:2210.02747
    Liu, Gong, Liu (2023), Flow straight and fast: learning to generate and
    transfer data with rectified flow. arXiv:2209.03003
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor

from genbench.capabilities import Latent, Transports, described
from genbench.formulas.noise import Schedule
from genbench.formulas.noise_end import check_end
from genbench.formulas.priors import Normal
from genbench.formulas.solvers import Field, Solver, check_solver, grid, integrate
from genbench.models.continuous_flow import ContinuousFlow
from genbench.nets.denoiser import TimedNet
from genbench.nets.net import NetFactory
from genbench.nets.time import Sinusoidal
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory

__all__ = ["FlowMatching"]

# The fastest feature of time turns by this many radians while t goes from 0 to 1, and the slowest
# by about one. With faster features, the field could be so rough in t that samplers need more steps
# than the data ask for.
_TURNS = 100.0


class FlowMatching(ContinuousFlow):
    """A velocity field learned by regression; it samples, and scores, by an ordinary differential
    equation.

    Args:
        spec: Shape and levels of the images.
        net: x_t -> -v, conditioned on features of t, and of y.
        optimizer: Optimizer of all parameters.
        schedule: The path. It ends with noise (`noise_end.check_end`), and at t = 0 its velocity is
            finite.
        cond_width: Length of the conditioning vector made from t, even.
        conditional: Model p(x | y) of the data's labels in place of p(x).
        reflow: Steps of Heun by which the teacher makes x of eps; 0: x is an image of the data.
        teacher: A finished model of the paths that reflow makes straight.
    """

    training_needs = ("teacher",)
    schedule: Schedule

    def __init__(
        self,
        spec: Spec,
        net: NetFactory,
        optimizer: OptimizerFactory,
        schedule: Schedule,
        cond_width: int = 128,
        conditional: bool = False,
        reflow: int = 0,
        teacher: Transports | None = None,
    ) -> None:
        super().__init__(spec, optimizer, conditional)
        if reflow < 0:
            raise ValueError(f"reflow is at least 0, not {reflow}")
        if reflow and teacher is None:
            raise ValueError(
                f"reflow={reflow} learns from a finished run: needs.teacher names the recipe of one"
                f" that {described(Transports)}"
            )
        if teacher is not None and not reflow:
            raise ValueError("reflow=0 learns from no other run, and has no needs.teacher")
        if teacher is not None and conditional and not teacher.conditional:
            raise ValueError(
                "model.conditional is true, but the teacher is a model of p(x); "
                "--needs.teacher.model.conditional=true"
            )
        self.reflow = reflow
        self.teacher = teacher
        start = torch.zeros(1, dtype=torch.float64)
        if not all(bool(rate.isfinite()) for rate in schedule.rates(start)):
            raise ValueError(
                f"the velocity of the schedule {type(schedule).__name__} is not finite at t = 0"
            )
        end = schedule.level(1.0)
        check_end(end, schedule)
        self.schedule = schedule
        self.noise_scale = end.sigma
        self.latent = Latent((spec.dims,), Normal())
        features = Sinusoidal(cond_width, period=_TURNS)
        self.network = TimedNet(net, spec.shape, features, cond_width, self.classes)

    # --- training ---------------------------------------------------------------------------------

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """Eq. 23, a mean square without unit."""
        # In float64, 1 - t gives back exactly the number that was drawn, and this is what the
        # network sees.
        t = 1 - rng.uniform().double()
        eps = rng.normal(self.spec.shape)
        if self.teacher is None:
            image, _ = self.dequantise(x, y, rng, 0)
        else:
            # Reflow makes the image of a pair: it is the point to which the teacher carries eps.
            image = self.teacher.transport(eps, y, self.reflow)
        x_t = self.schedule.diffuse(image, eps, t)
        v = self.velocity(x_t, t, self.condition(y))
        return {"loss": ((v - self.schedule.velocity(image, eps, t)) ** 2).mean()}

    def velocity(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """v(x_t, t), shape of x_t. t: float64 (B,). cond: y as `condition` gives it."""
        return -self.network(x_t, _TURNS * (1 - t).to(x_t.dtype), cond)

    def denoise(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """E[x | x_t] from E[v | x_t]. t: float64 (B,). y: int64 (B,) of a model of p(x | y)."""
        return self.schedule.from_velocity(self.velocity(x_t, t, self.condition(y)), x_t, t)

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
        """From sigma_1 eps along the field, x_t at every time of the grid, the last of which is a real
        image. No noise is drawn.

        dopri5 chooses its own steps, and interpolates at the times of the grid.

        Args:
            x: eps, (B, C, H, W).
            rng: Not used.
            y: int64 (B,) labels of a model of p(x | y).
            solver: Euler, midpoint, Heun, Runge-Kutta, or adaptive dopri5, with which an image
                depends on its batch within the tolerance.
            steps: Fixed steps; Heun and midpoint evaluate the network twice in each, Runge-Kutta
                four times.
            power: Spacing of the steps, `solvers.grid`.
            tolerance: Absolute and relative tolerance of dopri5. Default: 1e-5.
        """
        check_solver(solver, tolerance)
        times = grid(steps, power)[::-1]
        x_1 = self.noise_scale * x
        yield from integrate(self.field(y), x_1, times, solver, tolerance)

    def transport(self, eps: Tensor, y: Tensor | None = None, steps: int = 50) -> Tensor:
        """Z_0 of the flow from Z_1 = eps, by steps of Heun: reals, of the shape of eps."""
        return deque(self.trajectory(eps, y=y, steps=steps), maxlen=1).pop()

    def encode(
        self, x: Tensor, y: Tensor | None = None, solver: Solver = "heun", steps: int = 50
    ) -> Tensor:
        """Integer images -> latents x_1 / sigma_1, (B, D), of the centres of their cells."""
        centre = self.to_centre(x)
        with torch.no_grad():
            states = integrate(self.field(y), centre, grid(steps), solver)
            return deque(states, maxlen=1).pop().flatten(1) / self.noise_scale

    def decode(
        self, z: Tensor, y: Tensor | None = None, solver: Solver = "heun", steps: int = 50
    ) -> Tensor:
        """Latents (B, D) -> integer images.

        Inverse of `encode`, up to the error of the solver.
        """
        images = self.trajectory(z.unflatten(1, self.spec.shape), None, y, solver, steps)
        return self.to_pixels(deque(images, maxlen=1).pop())

    def field(self, y: Tensor | None) -> Field:
        """v by its time. y: int64 (B,) labels of a model of p(x | y)."""
        cond = self.condition(y)

        def field(x: Tensor, t: float) -> Tensor:
            times = torch.full((len(x),), t, dtype=torch.float64, device=x.device)
            return self.velocity(x, times, cond)

        return field
