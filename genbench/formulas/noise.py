r"""Noise schedules, and four views of one prediction.

An image x, real and without noise, becomes

    x_t = alpha_t x + sigma_t eps,    eps ~ N(0, I),    t in [0, 1] from data (0) to noise (1)

Only sigma_t / alpha_t decides what can be told of x: x_t / alpha_t is x plus noise of that standard deviation, so that
E[x | x_t] is the same function of (x_t / alpha_t, sigma_t / alpha_t) for every schedule (Karras et al., appendix B).

    straight      alpha = 1 - t,                  sigma = sigma_min + (1 - sigma_min) t            (Lipman et al., eq. 22)
    linear        alpha = exp(-B(t) / 2),         sigma^2 = 1 - alpha^2                            (Song et al., eq. 33)
                  B(t) = b_0 t + (b_1 - b_0) t^2 / 2,  b_0 = 0.1,  b_1 = 20
    sub-VP        alpha of linear,                sigma = 1 - alpha^2                              (Song et al., eq. 29)
    cosine        alpha = f(t) / f(0),            sigma^2 = 1 - alpha^2                 (Nichol & Dhariwal, eq. 17)
                  f(t) = cos((t + s) / (1 + s) pi/2),  s = 0.008
    exploding     alpha = 1,                      sigma = sigma_min (sigma_max / sigma_min)^t      (Song et al., eq. 31)
    karras        alpha = 1,                      sigma^(1/rho) even in t, from sigma_min to sigma_max  (Karras et al., eq. 5)

The chain of T steps that has the levels of such a path, with its beta_k, is `genbench.formulas.chain`.

The four views, each of which gives the others when x_t and t are known:

    x,    eps = (x_t - alpha x) / sigma,    v = dx_t/dt = alpha' x + sigma' eps,    score = -eps / sigma

A network that minimises the mean square error of one of them predicts E[x | x_t], and with it E[eps | x_t],
E[v | x_t] and the gradient of log p(x_t). All is float64: 1 - alpha^2 near t = 0 would lose half of its digits.

References:
    Nichol, Dhariwal (2021), Improved denoising diffusion probabilistic models. arXiv:2102.09672
    Song et al. (2021), Score-based generative modeling through stochastic differential equations. arXiv:2011.13456
    Karras et al. (2022), Elucidating the design space of diffusion-based generative models. arXiv:2206.00364
    Lipman et al. (2023), Flow matching for generative modeling. arXiv:2210.02747
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "CLEAN",
    "Cosine",
    "Exploding",
    "Karras",
    "Level",
    "Linear",
    "Schedule",
    "Straight",
    "SubVP",
    "expand",
]

_LARGEST_BETA = 0.999
_OFFSET = 0.008


class Level(NamedTuple):
    """How noisy x_t = alpha x + sigma eps is.

    Attributes:
        alpha: Scale of the image.
        sigma: Standard deviation of the noise.
        t: The time at which a schedule has this level; None where the level was not found by its
            time.
    """

    alpha: float
    sigma: float
    t: float | None = None


# This is the level of an image without noise, at which every sampler ends.
CLEAN = Level(1.0, 0.0, 0.0)


class Schedule(ABC):
    """A path from data to noise. Times are tensors of any shape; values have their shape, in
    float64.
    """

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Scale of the image at time t."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Standard deviation of the noise at time t."""

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The derivatives alpha' and sigma' at time t, of the shape of t."""
        with torch.enable_grad():
            t = t.detach().double().requires_grad_()
            # Adding 0 t makes a constant a function of t, so that autograd finds its derivative.
            alpha = self.alpha(t) + 0 * t
            sigma = self.sigma(t) + 0 * t
            (alpha_rate,) = torch.autograd.grad(alpha.sum(), t)
            (sigma_rate,) = torch.autograd.grad(sigma.sum(), t)
        return alpha_rate, sigma_rate

    def level(self, t: float) -> Level:
        """The level at one time."""
        time = torch.tensor(t, dtype=torch.float64)
        return Level(float(self.alpha(time)), float(self.sigma(time)), t)

    def levels(self, steps: int) -> list[Level]:
        """A grid of `steps` steps: levels at even times from 1 down to 0, and then no noise."""
        if steps < 2:
            raise ValueError(f"steps is at least 2, not {steps}")
        return [*(self.level(1 - i / (steps - 1)) for i in range(steps)), CLEAN]

    def betas(self, T: int) -> Tensor:
        """beta_1, ..., beta_T of the chain (`genbench.formulas.chain`) whose levels at k / T are
        those of this path: float64 (T,).

        Raises:
            ValueError: There is no such chain.

        Examples:
            What is left of an image after the thousand steps of Ho et al., abar_T = 4.0e-5:

            >>> f"{(1 - Linear().betas(1000)).prod():.1e}"
            '4.0e-05'
        """
        t = torch.linspace(0, 1, T + 1, dtype=torch.float64)
        abar = self.alpha(t) ** 2
        total = abar + self.sigma(t) ** 2
        falls = bool((abar.diff() < 0).all()) and abs(float(abar[0]) - 1) < 1e-6
        if not falls or float((total - 1).abs().max()) > 1e-6:
            raise ValueError(
                f"{type(self).__name__} is no schedule of a chain, where alpha falls from 1 "
                "and alpha^2 + sigma^2 = 1"
            )
        return (1 - abar[1:] / abar[:-1]).clamp(max=_LARGEST_BETA)

    def diffuse(self, x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_t = alpha_t x + sigma_t eps of images x and noise eps, (B, ...), at times t, (B,)."""
        return expand(self.alpha(t), x) * x + expand(self.sigma(t), x) * eps

    def noise_of(self, x: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The noise eps that x_t = alpha x + sigma eps holds, given the image x."""
        return (x_t - expand(self.alpha(t), x) * x) / expand(self.sigma(t), x)

    def velocity(self, x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """v = dx_t/dt of the path between the image x and the noise eps."""
        alpha_rate, sigma_rate = self.rates(t)
        return expand(alpha_rate, x) * x + expand(sigma_rate, x) * eps

    def velocity_of(self, x: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """v = dx_t/dt at x_t, given the image x that it holds."""
        return self.velocity(x, self.noise_of(x, x_t, t), t)

    def score_of(self, x: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The gradient of log q(x_t | x) in x_t; that of log p(x_t) where x is E[x | x_t]."""
        return -self.noise_of(x, x_t, t) / expand(self.sigma(t), x)

    def from_noise(self, eps: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The image x that x_t = alpha x + sigma eps holds, given the noise eps."""
        return (x_t - expand(self.sigma(t), x_t) * eps) / expand(self.alpha(t), x_t)

    def from_velocity(self, v: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The image x that x_t holds, given v = dx_t/dt."""
        alpha_rate, sigma_rate = self.rates(t)
        sigma = self.sigma(t)
        determinant = sigma * alpha_rate - sigma_rate * self.alpha(t)
        weighted = expand(sigma, v) * v - expand(sigma_rate, v) * x_t
        return weighted / expand(determinant, v)

    def from_score(self, score: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The image x that x_t holds, given the score of q(x_t | x). Given the score of p(x_t), it is
        E[x | x_t] (Tweedie's formula).
        """
        return self.from_noise(-expand(self.sigma(t), x_t) * score, x_t, t)


def expand(values: Tensor, x: Tensor) -> Tensor:
    """One value per image, (B,), in the floating type of the images x and so that it broadcasts
    with them: (B, 1, ...).

    Examples:
        >>> expand(torch.tensor([0.5, 1.0]), torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 1, 1, 1])
    """
    return values.to(x.dtype).view(-1, *(1,) * (x.dim() - 1))


@dataclass(frozen=True)
class Straight(Schedule):
    """The straight path of flow matching.

    Args:
        sigma_min: Standard deviation of the noise that is left at t = 0.

    Examples:
        The velocity of a straight path is eps - x at every time:

        >>> x = torch.tensor([[3.0]], dtype=torch.float64)
        >>> eps = torch.tensor([[-1.0]], dtype=torch.float64)
        >>> t = torch.tensor([0.25])
        >>> x_t = Straight().diffuse(x, eps, t)
        >>> x_t.item(), Straight().velocity_of(x, x_t, t).item()
        (2.0, -4.0)
    """

    sigma_min: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.sigma_min < 1:
            raise ValueError(f"sigma_min is at least 0 and below 1, not {self.sigma_min}")

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t.double()

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min + (1 - self.sigma_min) * t.double()

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        one = torch.ones_like(t, dtype=torch.float64)
        return -one, (1 - self.sigma_min) * one


@dataclass(frozen=True)
class Linear(Schedule):
    """Variance-preserving, with a rate of noise that grows linearly.

    Args:
        first: Rate b_0 at t = 0.
        last: Rate b_1 at t = 1.
    """

    first: float = 0.1
    last: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.last:
            raise ValueError(
                f"first is above 0 and no larger than last, not {self.first} and {self.last}"
            )

    def log_alpha(self, t: Tensor) -> Tensor:
        """log alpha = -B(t) / 2."""
        t = t.double()
        return -0.5 * (self.first * t + 0.5 * (self.last - self.first) * t**2)

    def alpha(self, t: Tensor) -> Tensor:
        return self.log_alpha(t).exp()

    def sigma(self, t: Tensor) -> Tensor:
        return (-torch.expm1(2 * self.log_alpha(t))).sqrt()

    def betas(self, T: int) -> Tensor:
        """beta_1, ..., beta_T in equal steps, as Ho et al. have them at T = 1000: float64 (T,)."""
        even = torch.linspace(self.first / 1000, self.last / 1000, T, dtype=torch.float64)
        return (even * (1000 / T)).clamp(max=_LARGEST_BETA)


@dataclass(frozen=True)
class SubVP(Schedule):
    """`Linear` with less noise: its variance is the square of the variance there.

    Args:
        first: Rate b_0 at t = 0.
        last: Rate b_1 at t = 1.
    """

    first: float = 0.1
    last: float = 20.0

    def __post_init__(self) -> None:
        Linear(self.first, self.last)  # This refuses rates that are out of range.

    def alpha(self, t: Tensor) -> Tensor:
        return Linear(self.first, self.last).alpha(t)

    def sigma(self, t: Tensor) -> Tensor:
        return -torch.expm1(2 * Linear(self.first, self.last).log_alpha(t))


@dataclass(frozen=True)
class Cosine(Schedule):
    """Variance-preserving, with noise that grows evenly for most of the time."""

    def alpha(self, t: Tensor) -> Tensor:
        return _quarter_turn(t.double()).cos() / math.cos(_OFFSET / (1 + _OFFSET) * math.pi / 2)

    def sigma(self, t: Tensor) -> Tensor:
        return (1 - self.alpha(t) ** 2).sqrt()


@dataclass(frozen=True)
class Exploding(Schedule):
    """Variance-exploding: the image keeps its scale, the noise grows by equal factors.

    Args:
        sigma_min: Standard deviation of the noise at t = 0.
        sigma_max: Standard deviation of the noise at t = 1.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(
                f"sigma_min is above 0 and below sigma_max, not {self.sigma_min} and"
                f" {self.sigma_max}"
            )

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t, dtype=torch.float64)

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** t.double()


@dataclass(frozen=True)
class Karras(Schedule):
    """Variance-exploding, with steps that are finer where there is less noise.

    Args:
        sigma_min: Standard deviation of the noise at t = 0.
        sigma_max: Standard deviation of the noise at t = 1.
        rho: How much finer; 1 makes all steps equal.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        Exploding(self.sigma_min, self.sigma_max)  # This refuses noise that does not grow.
        if self.rho < 1:
            raise ValueError(f"rho is at least 1, not {self.rho}")

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t, dtype=torch.float64)

    def sigma(self, t: Tensor) -> Tensor:
        low = self.sigma_min ** (1 / self.rho)
        high = self.sigma_max ** (1 / self.rho)
        return (low + t.double() * (high - low)) ** self.rho


def _quarter_turn(t: Tensor) -> Tensor:
    """(t + s) / (1 + s) pi/2, the angle whose cosine is f(t)."""
    return (t + _OFFSET) / (1 + _OFFSET) * (math.pi / 2)
