r"""EDM: a preconditioned denoiser, trained and sampled as Karras et al. do.

    v         an image x, uniform in the cells of its pixels;   v_s = v + s eps,  eps ~ N(0, I)
    loss      E lambda(s) |D(v_s; s) - v|^2 / D,  log s ~ N(P_mean, P_std^2)      (eq. 2, table 1)
    sample    dv/ds = (v - D(v; s)) / s, from the noise at t = 1 down to 0      (algorithms 1 and 2)
    density   by the same equation, from t = 0 up to t = 1              (`models.continuous_flow`)

Samplers and densities walk along any schedule, x_t = alpha_t v + sigma_t eps, by v = x_t / alpha_t, s = sigma_t / alpha_t; that of
the paper is `Karras`.

References:
    Karras, Aittala, Aila, Laine (2022), Elucidating the design space of diffusion-based
    generative models. arXiv:2206.00364
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from genbench.formulas.noise import Schedule, expand
from genbench.formulas.noise_end import check_end
from genbench.formulas.samplers import CHURN, Sampler, probability_flow, sampler_of_karras, walk
from genbench.formulas.solvers import Field
from genbench.models.continuous_flow import ContinuousFlow
from genbench.nets.denoiser import Denoiser
from genbench.nets.net import NetFactory
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory

__all__ = ["EDM"]


class EDM(ContinuousFlow):
    """A denoiser at every noise level; it samples, and scores, by the probability-flow equation.

    Args:
        spec: The images.
        net: F of the preconditioned D, conditioned on features of the noise level, and of y.
        optimizer: Optimizer of all parameters.
        schedule: Levels of samplers, with noise at t = 0, from where the last step goes to none. It
            ends with noise (`noise_end.check_end`).
        sigma_data: Root mean square of the images as reals in (-1, 1).
        P_mean: Mean of log s in training.
        P_std: Standard deviation of log s in training.
        cond_width: Length of the conditioning vector, even.
        conditional: Model p(x | y) of the data's labels in place of p(x).
    """

    schedule: Schedule

    def __init__(
        self,
        spec: Spec,
        net: NetFactory,
        optimizer: OptimizerFactory,
        schedule: Schedule,
        sigma_data: float = 0.5,
        P_mean: float = -1.2,
        P_std: float = 1.2,
        cond_width: int = 128,
        conditional: bool = False,
    ) -> None:
        super().__init__(spec, optimizer, conditional)
        if P_std <= 0:
            raise ValueError(f"P_std is above 0, not {P_std}")
        self.log_noise = (P_mean, P_std)
        if not schedule.level(0.0).sigma > 0:
            raise ValueError(f"the schedule {type(schedule).__name__} has no noise at t = 0")
        end = schedule.level(1.0)
        check_end(end, schedule)
        self.schedule = schedule
        self.noise_scale = end.sigma
        self.denoiser = Denoiser(net, spec.shape, sigma_data, cond_width, self.classes)

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """Eq. 2 with the weights of table 1, without unit."""
        mean, deviation = self.log_noise
        s = (mean + deviation * rng.normal()).exp()
        v, _ = self.dequantise(x, y, rng, 0)
        noisy = v + expand(s, v) * rng.normal(self.spec.shape)
        square = (self.denoiser(noisy, s, self.condition(y)) - v) ** 2
        return {"loss": (expand(self.denoiser.weight(s), v) * square).mean()}

    def denoise(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """D at times of the schedule. t: float64 (B,). y: int64 (B,) of a model of p(x | y)."""
        alpha = self.schedule.alpha(t)
        s = (self.schedule.sigma(t) / alpha).to(x_t.dtype)
        return self.denoiser(x_t / expand(alpha, x_t), s, self.condition(y))

    def field(self, y: Tensor | None) -> Field:
        """dx_t/dt (eq. 4): grids of `Karras` are even in the root of eq. 5."""
        return probability_flow(self.denoiser.at_levels(self.condition(y)), self.schedule)

    @torch.no_grad()
    def trajectory(
        self,
        x: Tensor,
        rng: Rng,
        y: Tensor | None = None,
        sampler: Sampler | Literal["heun", "stochastic"] = "heun",
        steps: int = 18,
        churn: float = CHURN,
    ) -> Iterator[Tensor]:
        """From standard normal x (B, C, H, W), the states after every step; the last is an image.

        Args:
            rng: One stream per image.
            y: int64 (B,) labels of a model of p(x | y).
            sampler: 'heun' is algorithm 1; 'stochastic' is algorithm 2, which adds noise; or any.
            steps: Steps, each of two evaluations of the network, the last of one.
            churn: S_churn of algorithm 2, and of nothing else.
        """
        chosen = sampler_of_karras(sampler, churn)
        levels = self.schedule.levels(steps)
        denoise = self.denoiser.at_levels(self.condition(y))
        yield from walk(chosen, denoise, levels[0].sigma * x, levels, rng)
