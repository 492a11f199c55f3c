r"""Samplers: from noise to an image by a denoiser, along a grid of noise levels.

A denoiser gives D(x_t, t) ~ E[x | x_t]. A grid is a list of levels, `noise.Level`, from the noisiest down to the last, and a
sampler, a value with its options, yields x_s after every step t -> s of it. eps_hat = (x_t - alpha_t D) / sigma_t.

    ancestral     x_s ~ q(x_s | x_t, x = D), or with the variance beta of q(x_t | x_s) in place of its own  (Ho et al., algorithm 2)
    ddim          x_s = alpha_s D + sqrt(sigma_s^2 - v) eps_hat + sqrt(v) z,   v = eta^2 Var q(x_s | x_t, x)  (Song et al., eq. 12, 16)
    euler, heun   steps of dy/dr = (y - D) / r,   y = x_t / alpha_t,  r = sigma_t / alpha_t      (Karras et al., eq. 4, algorithm 1)
    stochastic    before each step of heun, noise is added to the level r (1 + gamma)            (Karras et al., algorithm 2)

with, for the transition from s to t of a path, of which s has less noise:

    beta = sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2        Var q(x_s | x_t, x) = beta sigma_s^2 / sigma_t^2


In y and r every schedule is the same: euler is ddim at eta = 0 for each of them. A step to a level without noise
is an Euler step, whose result is alpha_s D, since the field has no value at this level.

References:
    Ho, Jain, Abbeel (2020), Denoising diffusion probabilistic models. arXiv:2006.11239
    Song, Meng, Ermon (2021), Denoising diffusion implicit models. arXiv:2010.02502
    Karras et al. (2022), Elucidating the design space of diffusion-based generative models. arXiv:2206.00364
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor

from genbench.formulas.noise import Level, Schedule
from genbench.formulas.solvers import Field
from genbench.rng import Rng

__all__ = [
    "CHURN",
    "DDIM",
    "Ancestral",
    "Denoise",
    "Euler",
    "Heun",
    "Sampler",
    "Stochastic",
    "Variance",
    "ancestral_step",
    "ddim_step",
    "probability_flow",
    "sampler_of_karras",
    "slope",
    "walk",
]

# A `Denoise` function maps x_t and its level to E[x | x_t], which has the shape of x_t.
Denoise = Callable[[Tensor, Level], Tensor]
Variance = Literal["posterior", "beta"]
# Karras et al. use this S_churn for ImageNet.
CHURN = 40.0


class Sampler(ABC):
    """A walk from noise to images along a grid of levels.

    Attributes:
        on_grid: Whether D is asked for at levels of the grid alone, so that a chain, which has no
            others, can be walked.
    """

    on_grid: ClassVar[bool] = True

    @abstractmethod
    def __call__(
        self, denoise: Denoise, x: Tensor, grid: Sequence[Level], rng: Rng
    ) -> Iterator[Tensor]:
        """The states after every step, the last of which are images: one per step of the grid.

        Args:
            denoise: D.
            x: At the first level, (B, ...).
            grid: Levels, from the noisiest down.
            rng: One stream per row.
        """


def walk(
    sampler: Sampler, denoise: Denoise, x: Tensor, grid: Sequence[Level], rng: Rng
) -> Iterator[Tensor]:
    """The states that a sampler yields, which reach the end of the grid.

    Args:
        sampler: The walk.
        denoise: D.
        x: At the first level, (B, ...).
        grid: Levels, from the noisiest down.
        rng: One stream per row.

    Raises:
        ValueError: The sampler yields fewer states than the grid has steps.
    """
    count = 0
    # A sampler without `yield` returns None.
    for state in sampler(denoise, x, grid, rng) or ():
        count += 1
        yield state
    steps = len(grid) - 1
    if count < steps:
        raise ValueError(
            f"the sampler {type(sampler).__name__} yields {count} states in {steps} steps; right is"
            " the state after every step"
        )


def transition(t: Level, s: Level) -> tuple[float, float]:
    """beta of q(x_t | x_s), and the variance of q(x_s | x_t, x).

    Examples:
        From sigma = 1 to sigma = 2 at the same scale, noise of variance 3 is added; with x_t and x
        known, x_s keeps the variance 3/4:

        >>> transition(Level(1.0, 2.0), Level(1.0, 1.0))
        (3.0, 0.75)
    """
    beta = t.sigma**2 - (t.alpha / s.alpha) ** 2 * s.sigma**2
    return beta, beta * s.sigma**2 / t.sigma**2


def ancestral_step(
    x_t: Tensor, x: Tensor, t: Level, s: Level, variance: Variance = "posterior"
) -> tuple[Tensor, float]:
    """Mean and variance of p(x_s | x_t), given the predicted x. At neighbouring times of a chain
    this is eq. 7 of Ho et al.
    """
    beta, posterior = transition(t, s)
    ratio = t.alpha / s.alpha
    mean = (s.alpha * beta * x + ratio * s.sigma**2 * x_t) / t.sigma**2
    if variance == "beta":
        return mean, beta
    return mean, posterior


def ddim_step(x_t: Tensor, x: Tensor, t: Level, s: Level, eta: float = 0.0) -> tuple[Tensor, float]:
    """Mean and variance of DDIM's x_s given x_t and the predicted x. What the predicted x leaves of
    x_t is taken to be the noise.
    """
    eps = (x_t - t.alpha * x) / t.sigma
    # Eq. 16 of Song et al. gives v, and eq. 12 gives the mean.
    v = eta**2 * transition(t, s)[1]
    return s.alpha * x + (s.sigma**2 - v) ** 0.5 * eps, v


@dataclass(frozen=True)
class Ancestral(Sampler):
    """Draws from p(x_s | x_t). The last step, to a level without noise, returns the mean."""

    variance: Variance = "posterior"

    def __post_init__(self) -> None:
        if self.variance not in ("posterior", "beta"):
            raise ValueError(f"variance is 'posterior' or 'beta', not {self.variance!r}")

    def __call__(
        self, denoise: Denoise, x: Tensor, grid: Sequence[Level], rng: Rng
    ) -> Iterator[Tensor]:
        for t, s in pairwise(grid):
            x, v = ancestral_step(x, denoise(x, t), t, s, self.variance)
            yield (x := _with_noise(x, v if s.sigma > 0 else 0.0, rng))


@dataclass(frozen=True)
class DDIM(Sampler):
    """eta: 0 is deterministic given x, 1 has the noise of `Ancestral`."""

    eta: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta is from 0 to 1, not {self.eta}")

    def __call__(
        self, denoise: Denoise, x: Tensor, grid: Sequence[Level], rng: Rng
    ) -> Iterator[Tensor]:
        for t, s in pairwise(grid):
            x, v = ddim_step(x, denoise(x, t), t, s, self.eta)
            yield (x := _with_noise(x, v, rng))


@dataclass(frozen=True)
class Euler(Sampler):
    """Euler's method: the error falls as the length of a step."""

    def __call__(
        self, denoise: Denoise, x: Tensor, grid: Sequence[Level], rng: Rng
    ) -> Iterator[Tensor]:
        for t, s in pairwise(grid):
            yield (x := euler_step(denoise, x, t, s))


@dataclass(frozen=True)
class Heun(Sampler):
    """Algorithm 1 of Karras et al.: the error falls as the square of the length of a step.

    Examples:
        For x ~ N(0, 1) the denoiser is known, and x_t shrinks in proportion to its standard
        deviation. At sigma = 3 this is sqrt(10), so that the sampler takes x_t = 3.1623 to 1.

        >>> import torch
        >>> denoise = lambda x, level: x / (1 + level.sigma**2)
        >>> grid = [Level(1.0, 3.0 * (1 - i / 200)) for i in range(201)]
        >>> *_, x = Heun()(denoise, torch.tensor([3.1623]), grid, Rng(0, [0]))
        >>> round(x.item(), 3)
        1.0
    """

    def __call__(
        self, denoise: Denoise, x: Tensor, grid: Sequence[Level], rng: Rng
    ) -> Iterator[Tensor]:
        for t, s in pairwise(grid):
            yield (x := heun_step(denoise, x, t, s))


@dataclass(frozen=True)
class Stochastic(Sampler):
    """Algorithm 2 of Karras et al., with their values for ImageNet.

    Args:
        churn: S_churn; 0 is `Heun`.
        low: S_tmin, least ratio of noise to image at which noise is added.
        high: S_tmax, the largest.
        noise: S_noise, standard deviation of what is added, in units of what the level asks for.
    """

    on_grid: ClassVar[bool] = False

    churn: float = CHURN
    low: float = 0.05
    high: float = 50.0
    noise: float = 1.003

    def __post_init__(self) -> None:
        if self.churn < 0:
            raise ValueError(f"churn is at least 0, not {self.churn}")
        if not 0 <= self.low <= self.high:
            raise ValueError(
                f"low is at least 0 and no larger than high, not {self.low} and {self.high}"
            )
        if self.noise < 0:
            raise ValueError(f"noise is at least 0, not {self.noise}")

    def __call__(
        self, denoise: Denoise, x: Tensor, grid: Sequence[Level], rng: Rng
    ) -> Iterator[Tensor]:
        gamma = min(self.churn / (len(grid) - 1), 2**0.5 - 1)
        for t, s in pairwise(grid):
            raised = t
            if gamma > 0 and self.low <= t.sigma / t.alpha <= self.high:
                raised = Level(t.alpha, t.sigma * (1 + gamma))
                added = (raised.sigma**2 - t.sigma**2) ** 0.5
                x = x + added * self.noise * rng.normal(x.shape[1:])
            yield (x := heun_step(denoise, x, raised, s))


def sampler_of_karras(sampler: Sampler | Literal["heun", "stochastic"], churn: float) -> Sampler:
    """One of the paper's samplers by its name, or the sampler that is given.

    Args:
        sampler: 'heun' is algorithm 1, 'stochastic' algorithm 2; or a sampler, which is returned.
        churn: S_churn of algorithm 2, and of nothing else.

    Raises:
        ValueError: There is no such sampler, or it has no churn.
    """
    if sampler != "stochastic" and churn != CHURN:
        raise ValueError(f"churn is an option of the sampler 'stochastic', not of {sampler!r}")
    if sampler == "heun":
        return Heun()
    if sampler == "stochastic":
        return Stochastic(churn)
    if not isinstance(sampler, Sampler):
        raise ValueError(f"sampler is 'heun', 'stochastic' or a Sampler, not {sampler!r}")
    return sampler


def probability_flow(denoise: Denoise, schedule: Schedule) -> Field:
    """The field whose curves carry the distributions of x_t into each other, in the time of a
    schedule: dx_t/dt = alpha'/alpha x_t + alpha r' (y - D) / r, with alpha r' = sigma' - sigma
    alpha'/alpha.
    """

    def field(x: Tensor, t: float) -> Tensor:
        rates = schedule.rates(torch.tensor(t, dtype=torch.float64))
        growth, rate = (float(r) for r in rates)
        level = schedule.level(t)
        growth /= level.alpha
        return growth * x + (rate - level.sigma * growth) * slope(denoise, x, level)

    return field


def slope(denoise: Denoise, x: Tensor, t: Level) -> Tensor:
    """dy/dr = (y - D) / r of the probability-flow equation, eq. 4 of Karras et al. at sigma = r."""
    return (x / t.alpha - denoise(x, t)) * (t.alpha / t.sigma)


def euler_step(denoise: Denoise, x: Tensor, t: Level, s: Level) -> Tensor:
    """x_s from x_t."""
    step = s.sigma / s.alpha - t.sigma / t.alpha
    return s.alpha * (x / t.alpha + step * slope(denoise, x, t))


def heun_step(denoise: Denoise, x: Tensor, t: Level, s: Level) -> Tensor:
    """x_s from x_t, by the mean of the slopes at both ends."""
    step = s.sigma / s.alpha - t.sigma / t.alpha
    first = slope(denoise, x, t)
    y = x / t.alpha
    end = s.alpha * (y + step * first)
    if s.sigma == 0:
        return end
    return s.alpha * (y + step / 2 * (first + slope(denoise, end, s)))


def _with_noise(mean: Tensor, variance: float, rng: Rng) -> Tensor:
    if variance > 0:
        return mean + variance**0.5 * rng.normal(mean.shape[1:])
    return mean
