r"""Chains: diffusion in T steps, as a schedule that is known at the times k / T alone.

A chain is the forward process q(x_k | x_{k-1}) = N(sqrt(1 - beta_k) x_{k-1}, beta_k I) of T steps, so that

    x_k = alpha x + sigma eps,    alpha^2 = abar_k,    sigma^2 = 1 - abar_k,    abar_k = prod_{i <= k} (1 - beta_i)

with t = k / T (Ho et al., eq. 4). A schedule with alpha^2 + sigma^2 = 1 has the chain abar_k = alpha^2 at k / T, in which
no beta exceeds 0.999 (Nichol & Dhariwal); but for

    linear    beta_k from 10^-4 to 0.02 in equal steps at T = 1000, where abar_T = 4.0e-5; scaled by 1000 / T at any other
              T. abar_T then stays for long chains (4.3e-5 at 5000), and falls for short ones: 2.0e-5 at 100,
              5.6e-11 at 20; its limit is the linear path of `genbench.formulas.noise` (Song et al., appendix B)

The schedules have these beta_k: `Schedule.betas`. Everything is float64: 1 - abar_1 would lose half of its digits in float32.

References:
    Ho, Jain, Abbeel (2020), Denoising diffusion probabilistic models. arXiv:2006.11239
    Nichol, Dhariwal (2021), Improved denoising diffusion probabilistic models. arXiv:2102.09672
    Song et al. (2021), Score-based generative modeling through stochastic differential equations. arXiv:2011.13456
    Song, Meng, Ermon (2021), Denoising diffusion implicit models. arXiv:2010.02502 (sub-sequences)
"""

from __future__ import annotations

from torch import Tensor

from genbench.formulas.noise import CLEAN, Level, Schedule

__all__ = ["Chain", "sub_sequence"]


class Chain(Schedule):
    """A chain of T steps, known at the times 0, 1/T, ..., 1.

    Args:
        abar: abar_0 = 1, abar_1, ..., abar_T, float64 (T + 1,).
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
            ValueError: The level has no time, so that it is no step of the chain.
        """
        if level.t is None:
            raise ValueError("a chain is known at its steps alone: the sampler asks between them")
        return round(level.t * self.steps)

    def levels(self, steps: int) -> list[Level]:
        """A grid of `steps` steps down a sub-sequence of the chain's, and then no noise."""
        return [*(self.level(k / self.steps) for k in sub_sequence(self.steps, steps)), CLEAN]


def sub_sequence(T: int, steps: int) -> list[int]:
    """A part of the steps of a chain, evenly spread, for samplers that take fewer steps than it has.

    Args:
        T: Steps of the chain.
        steps: How many of them are taken.

    Returns:
        `steps` distinct steps k from T downwards. The sampler goes from the last of them to 0.

    Raises:
        ValueError: `steps` is not from 1 to T.

    Examples:
        >>> sub_sequence(10, 4)
        [10, 7, 5, 2]
    """
    if not 1 <= steps <= T:
        raise ValueError(f"steps is from 1 to T = {T}, not {steps}")
    return [i * T // steps for i in range(steps, 0, -1)]
