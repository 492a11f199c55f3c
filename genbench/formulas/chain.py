r"""Chains: diffusion in T steps, as a schedule that is known at the times k / T alone.

A chain is the forward process q(x_k | x_{k-1}) = N(sqrt(1 - beta_k) x_{k-1}, beta_k I) of T steps, so that

    x_k = alpha x + sigma eps,    alpha^2 = abar_k,    sigma^2 = 1 - abar_k,    abar_k = prod_{i <= k} (1 - beta_i)

with t = k / T (Ho et al., eq. 4). A schedule with alpha^2 + sigma^2 = 1 has the chain abar_k = alpha^2 at k / T, in which
no beta exceeds 0.999 (Nichol & Dhariwal); but for

    linear    beta_k from 10^-4 to 0.02 in equal steps at T = 1000, where abar_T = 4.0e-5; scaled by 1000 / T at any other
              T. abar_T then stays for long chains (4.3e-5 at 5000), and falls for short ones: 2.0e-5 at 100,
              5.6e-11 at 20; its limit is the linear path of `genbench.formulas.noise` (Song et al., appendix B)

The schedules have these beta_k: `Schedule.betas`. Everything is float64: 1 - abar_1 would lose half of its digits in float32.

The bound of a model p(x_{t-1} | x_t) = N(mu, sigma_t^2 I) of the reverse chain has terms of D dimensions for t = 2, ..., T:

    L_{t-1}  = C_t D + lambda_t E |eps - eps_hat|^2                                                  (Ho et al., eq. 12)
    lambda_t = beta_t^2 / (2 sigma_t^2 (1 - beta_t) (1 - abar_t))
    C_t      = (log(sigma_t^2 / v_t) + v_t / sigma_t^2 - 1) / 2
    v_t      = (1 - abar_{t-1}) / (1 - abar_t) beta_t,    the variance of q(x_{t-1} | x_t, x_0)

References:
    Ho, Jain, Abbeel (2020), Denoising diffusion probabilistic models. arXiv:2006.11239
    Nichol, Dhariwal (2021), Improved denoising diffusion probabilistic models. arXiv:2102.09672
    Song et al. (2021), Score-based generative modeling through stochastic differential equations. arXiv:2011.13456
    Song, Meng, Ermon (2021), Denoising diffusion implicit models. arXiv:2010.02502 (sub-sequences)
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from genbench.formulas.likelihood import gaussian_kl, sum_dims
from genbench.formulas.noise import CLEAN, Level, Schedule
from genbench.formulas.samplers import DDIM, Ancestral, Sampler, Variance

__all__ = ["Chain", "bound_tables", "chain_sampler", "prior_kl", "sub_sequence", "time_shares"]


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


def bound_tables(beta: Tensor, variance: Variance) -> dict[str, Tensor]:
    """The quantities of the bound of a chain at each step, float64 (T + 1,) by t = 0, ..., T.

    Args:
        beta: beta_1, ..., beta_T, float64 (T,).
        variance: sigma_t^2 is the variance v_t of q(x_{t-1} | x_t, x_0), or beta_t. v_1 is 0, which
            no decoder can use: as in the program that Ho et al. published, sigma_1^2 is then v_2.

    Returns:
        "abar"; "sigma2", sigma_t^2; "weight", lambda_t; and "constant", C_t. Nothing but abar_0 = 1
        has a meaning at t = 0; "weight" and "constant" are 0 at t = 0 and 1.

    Examples:
        >>> tables = bound_tables(torch.tensor([0.5, 0.5], dtype=torch.float64), "posterior")
        >>> tables["abar"].tolist(), tables["constant"].tolist()
        ([1.0, 0.5, 0.25], [0.0, 0.0, 0.0])
    """
    beta = torch.cat((beta.new_zeros(1), beta))
    abar = torch.cumprod(1 - beta, dim=0)
    posterior = torch.zeros_like(beta)
    posterior[1:] = (1 - abar[:-1]) / (1 - abar[1:]) * beta[1:]
    sigma2 = beta.clone() if variance == "beta" else posterior.clone()
    if variance == "posterior":
        sigma2[1] = posterior[2]
    weight = torch.zeros_like(beta)
    constant = torch.zeros_like(beta)
    # These are the weight of eq. 12, and the part of the KL that does not depend on the mean.
    weight[2:] = (beta**2 / (2 * sigma2 * (1 - beta) * (1 - abar)))[2:]
    constant[2:] = (0.5 * (torch.log(sigma2 / posterior) + posterior / sigma2 - 1))[2:]
    return {"abar": abar, "sigma2": sigma2, "weight": weight, "constant": constant}


def prior_kl(x: Tensor, abar: Tensor) -> Tensor:
    """KL(q(x_T | x) || N(0, I)) of the last step of a chain, (B,) nats.

    Args:
        x: Images as reals, (B, ...).
        abar: abar_T, a number in float64.
    """
    mean = abar.sqrt().to(x.dtype) * x
    zero = torch.zeros_like(x)
    log_s = zero + 0.5 * torch.log1p(-abar).to(x.dtype)
    return sum_dims(gaussian_kl(mean, log_s, zero, zero))


def time_shares(weight: Tensor, abar: Tensor) -> Tensor:
    """p_t, float64 (T + 1,), by which times of the bound are drawn; 0 at t = 0 and 1.

    Half of it is in proportion to lambda_t min(1, abar_t / (1 - abar_t)). This is about the largest
    L_{t-1} / D: |eps - eps_hat|^2 is D where nothing is learnt, and it equals
    abar_t / (1 - abar_t) |x_0 - x0_hat|^2, which is small at the end of the chain. The other half is
    even, so that no term has more than twice the weight that even times would give it, whatever the
    schedule.

    Args:
        weight: lambda_t, (T + 1,), as `bound_tables` has it.
        abar: abar_t, (T + 1,).
    """
    largest = weight * (abar / (1 - abar).clamp(min=1e-12)).clamp(max=1)
    even = (torch.arange(len(abar), device=largest.device) >= 2) / (len(abar) - 2)
    return 0.5 * largest / largest.sum() + 0.5 * even


def chain_sampler(
    sampler: Sampler | Literal["ancestral", "ddim"], variance: Variance, eta: float
) -> Sampler:
    """A sampler of a chain by its name, or the sampler that is given.

    Args:
        sampler: "ancestral", "ddim", or a sampler, which is returned.
        variance: Of ancestral steps.
        eta: Noise of "ddim", and of nothing else.

    Raises:
        ValueError: There is no such sampler, it has no eta, or it asks between the steps of a chain.
    """
    if eta and sampler != "ddim":
        raise ValueError("eta is an option of sampler = 'ddim'")
    if sampler == "ancestral":
        return Ancestral(variance)
    if sampler == "ddim":
        return DDIM(eta)
    if not isinstance(sampler, Sampler):
        raise ValueError(f"sampler is 'ancestral', 'ddim' or a Sampler, not {sampler!r}")
    if not sampler.on_grid:
        raise ValueError(f"a chain is known at its steps alone: {sampler} asks between them")
    return sampler
