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
    chain         alpha^2 = abar_k,               sigma^2 = 1 - abar_k,   at t = k / T              (Ho et al., eq. 4)

A chain is the forward process q(x_k | x_{k-1}) = N(sqrt(1 - beta_k) x_{k-1}, beta_k I) of T steps,
abar_k = prod_{i <= k} (1 - beta_i). A schedule with alpha^2 + sigma^2 = 1 has the chain abar_k = alpha^2 at k / T, in which
no beta exceeds 0.999; but for

    linear    beta_k from 10^-4 to 0.02 in equal steps at T = 1000, where abar_T = 4.0e-5; scaled by 1000 / T at any other
              T. abar_T then stays for long chains (4.3e-5 at 5000), and falls for short ones: 2.0e-5 at 100,
              5.6e-11 at 20; its limit is the path above (Song et al., appendix B)

The four views, each of which gives the others when x_t and t are known:

    x,    eps = (x_t - alpha x) / sigma,    v = dx_t/dt = alpha' x + sigma' eps,    score = -eps / sigma

A network that minimises the mean square error of one of them predicts E[x | x_t], and with it E[eps | x_t],
E[v | x_t] and the gradient of log p(x_t). Everything is float64: 1 - abar_1 would lose half of its digits in float32.

References:
    Ho, Jain, Abbeel (2020), Denoising diffusion probabilistic models. arXiv:2006.11239
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
    "Chain",
    "Cosine",
    "Exploding",
    "Karras",
    "Level",
    "Linear",
    "Schedule",
    "Straight",
    "SubVP",
    "expand",
    "sub_sequence",
]

_LARGEST_BETA = 0.999
_OFFSET = 0.008


class Level(NamedTuple):
    """How noisy x_t = alpha x + sigma eps is.

    Attributes:
        alpha: Scale of the image.
        sigma: Standard deviation of the noise.
        t: The time of a schedule at which it is so; None for a level that was not asked for by its
            time.
    """

    alpha: float
    sigma: float
    t: float | None = None


# an image without noise: where every sampler ends
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
            # 0 t: a constant has a derivative too
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
        """beta_1, ..., beta_T of the chain whose levels at k / T are those of this path, float64 of
        shape (T,).

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
        """x_t from the image x and noise eps, (B, ...). t: (B,)."""
        return expand(self.alpha(t), x) * x + expand(self.sigma(t), x) * eps

    def noise_of(self, x: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """eps from the image x in x_t."""
        return (x_t - expand(self.alpha(t), x) * x) / expand(self.sigma(t), x)

    def velocity(self, x: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """v = dx_t/dt of the path between the image x and the noise eps."""
        alpha_rate, sigma_rate = self.rates(t)
        return expand(alpha_rate, x) * x + expand(sigma_rate, x) * eps

    def velocity_of(self, x: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """v = dx_t/dt from the image x in x_t."""
        return self.velocity(x, self.noise_of(x, x_t, t), t)

    def score_of(self, x: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The gradient of log q(x_t | x); of log p(x_t) where x is E[x | x_t]."""
        return -self.noise_of(x, x_t, t) / expand(self.sigma(t), x)

    def from_noise(self, eps: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The image x in x_t from the noise eps."""
        return (x_t - expand(self.sigma(t), x_t) * eps) / expand(self.alpha(t), x_t)

    def from_velocity(self, v: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The image x in x_t from v = dx_t/dt."""
        alpha_rate, sigma_rate = self.rates(t)
        sigma = self.sigma(t)
        determinant = sigma * alpha_rate - sigma_rate * self.alpha(t)
        weighted = expand(sigma, v) * v - expand(sigma_rate, v) * x_t
        return weighted / expand(determinant, v)

    def from_score(self, score: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The image x in x_t from the score; E[x | x_t] from that of p(x_t) (Tweedie's formula)."""
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
    """The straight path of flow matching. sigma_min: the noise that is left at t = 0.

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
    """Variance-preserving, with a rate of noise that grows linearly from `first` to `last`."""

    first: float = 0.1
    last: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.last:
            raise ValueError(
                f"first is above 0 and no larger than last, not {self.first} and {self.last}"
            )

    def log_alpha(self, t: Tensor) -> Tensor:
        t = t.double()
        return -0.5 * (self.first * t + 0.5 * (self.last - self.first) * t**2)

    def alpha(self, t: Tensor) -> Tensor:
        return self.log_alpha(t).exp()

    def sigma(self, t: Tensor) -> Tensor:
        return (-torch.expm1(2 * self.log_alpha(t))).sqrt()

    def betas(self, T: int) -> Tensor:
        """Even steps, as Ho et al. have them at T = 1000."""
        even = torch.linspace(self.first / 1000, self.last / 1000, T, dtype=torch.float64)
        return (even * (1000 / T)).clamp(max=_LARGEST_BETA)


@dataclass(frozen=True)
class SubVP(Schedule):
    """`Linear` with less noise: its variance is the square of the variance there."""

    first: float = 0.1
    last: float = 20.0

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
    """Variance-exploding: the image keeps its scale, the noise grows by equal factors."""

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t, dtype=torch.float64)

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min * (self.sigma_max / self.sigma_min) ** t.double()


@dataclass(frozen=True)
class Karras(Schedule):
    """Variance-exploding, with steps that are finer where there is less noise."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(
                f"sigma_min is above 0 and below sigma_max, not {self.sigma_min} and {self.sigma_max}"
            )

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t, dtype=torch.float64)

    def sigma(self, t: Tensor) -> Tensor:
        low = self.sigma_min ** (1 / self.rho)
        high = self.sigma_max ** (1 / self.rho)
        return (low + t.double() * (high - low)) ** self.rho


class Chain(Schedule):
    """A chain of T steps, known at the times 0, 1/T, ..., 1.

    Args:
        abar: abar_0 = 1, abar_1, ..., abar_T, float64 of shape (T + 1,).
    """

    def __init__(self, abar: Tensor) -> None:
        self.abar = abar
        self.steps = len(abar) - 1

    def alpha(self, t: Tensor) -> Tensor:
        return self.abar[self.index(t)].sqrt()

    def sigma(self, t: Tensor) -> Tensor:
        return (1 - self.abar[self.index(t)]).sqrt()

    def index(self, t: Tensor) -> Tensor:
        """The step k that a time is at, int64."""
        return (t.double() * self.steps).round().long()

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        raise TypeError("a chain is known at its steps alone: it has no velocity")

    def step(self, level: Level) -> int:
        """The step k of a level of the chain.

        Raises:
            ValueError: It is none of the chain's.
        """
        if level.t is None:
            raise ValueError("a chain is known at its steps alone: the sampler asks between them")
        return round(level.t * self.steps)

    def levels(self, steps: int) -> list[Level]:
        """A grid of `steps` steps down a sub-sequence of the chain's, and then no noise."""
        return [*(self.level(k / self.steps) for k in sub_sequence(self.steps, steps)), CLEAN]


def _quarter_turn(t: Tensor) -> Tensor:
    return (t + _OFFSET) / (1 + _OFFSET) * (math.pi / 2)


def sub_sequence(T: int, steps: int) -> list[int]:
    """`steps` distinct times from T downwards, evenly spread; the step after the last of them goes
    to 0.

    Examples:
        >>> sub_sequence(10, 4)
        [10, 7, 5, 2]
    """
    if not 1 <= steps <= T:
        raise ValueError(f"steps is from 1 to T = {T}, not {steps}")
    return [i * T // steps for i in range(steps, 0, -1)]
