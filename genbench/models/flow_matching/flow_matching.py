r"""Flow matching with the path of optimal transport between a standard normal and each image.

    x   integer image, D entries of L levels      u   uniform noise, one per entry      x_1 = 2 (x + u) / L - 1 in (-1, 1)
    x_t = (1 - (1 - sigma_min) t) x_0 + t x_1,    x_0 ~ N(0, I),  t in [0, 1]            (Lipman et al., eq. 20 and 22)

    loss      E_{t, x_0, x_1} |v(x_t, t) - (x_1 - (1 - sigma_min) x_0)|^2 / D,  t ~ U(0, 1)                          (eq. 23)
    sample    dx/dt = v(x, t) from x_0 at t = 0 to t = 1, then the cell that x_1 lies in                              (eq. 1)
    density   along the same curve, from t = 1 back to 0                                     (`models.continuous_flow`)

sigma_min = 0 is the straight path of rectified flow (Liu et al.). Its paths of different images
cross, so the field, a mean over them, is curved. Reflow trains again on pairs that the learned flow
Z of a teacher has made, whose paths hardly cross: one Euler step goes further along them, with the
same marginals and no larger transport cost.

    reflow    x_1 = Z_1(x_0),  dZ/dt = v_teacher(Z, t),  Z_0 = x_0, in place of an independent image (Liu et al., section 2.2, k = 2)

The conditional model of f(x_1 | y) adds a linear map of the one-hot y to the features of t.

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
from torch import Tensor, nn

from genbench.capabilities import Latent
from genbench.errors import InputError
from genbench.formulas.priors import Normal
from genbench.formulas.solvers import Field, Solver, grid, integrate
from genbench.model import GenerativeModel
from genbench.models.continuous_flow import ContinuousFlow
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


class FlowMatching(ContinuousFlow):
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
        self.latent = Latent((spec.dims,), Normal())
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
        x_1 = self.carried(x_0, y) if self.reflow else self.dequantise(x, y, rng, 0)[0]
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
        yield from integrate(self.field(y), x, grid(steps, power), solver, tolerance)

    def encode(
        self, x: Tensor, y: Tensor | None = None, solver: Solver = "heun", steps: int = 50
    ) -> Tensor:
        """Integer images -> latents x_0, (B, D), of the centres of their cells."""
        x_1 = self.to_centre(x)
        with torch.no_grad():
            states = integrate(self.field(y), x_1, grid(steps)[::-1], solver)
            return deque(states, maxlen=1).pop().flatten(1)

    def decode(
        self, z: Tensor, y: Tensor | None = None, solver: Solver = "heun", steps: int = 50
    ) -> Tensor:
        """Latents (B, D) -> integer images, uint8.

        Inverse of `encode`, up to the error of the solver.
        """
        images = self.trajectory(z.unflatten(1, self.spec.shape), None, y, solver, steps)
        return self.to_pixels(deque(images, maxlen=1).pop())

    def field(self, y: Tensor | None) -> Field:
        """v by its time. y: int64 (B,) labels of a model of p(x | y)."""
        cond = self.condition(y)
        return lambda x, t: self.velocity(x, x.new_full((len(x),), t), cond)
