"""Given the score, the reverse process has the marginals of the forward process, and noise forgets the data.

    x_t = alpha_t x_0 + sigma_t eps,    dx/dt = the probability flow of the score          (Song et al., eq. 13)

Data are a mixture on the line, so that x_t is a mixture too and its score known. The flow from t = 1 to nearly 0 keeps the
order of points, and so it has the right marginals just if every point keeps its probability from the left: P(x_0 < y_0)
under the data equals P(x_1 < y_1) under the noise, for the curve from y_1 to y_0.

The chain of DDPM forgets: abar_T = prod_k (1 - beta_k) with even beta_k is a quotient of gamma functions,

    prod_{k<T} (a - k e) = e^T Gamma(a/e + 1) / Gamma(a/e + 1 - T)

4.0e-5 for beta from 1e-4 to 0.02 and T = 1000; with the same beta and T = 100 it is 0.36, a broken model.

References:
    Anderson (1982), Reverse-time diffusion equation models. Stochastic Processes and their Applications 12
    Song et al. (2021), Score-based generative modeling through stochastic differential equations.
    arXiv:2011.13456
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLACK, BLUE, ORANGE, panels
from genbench.demos.line_mixture import LineMixture, mixture
from genbench.formulas.noise import Level, Linear
from genbench.formulas.samplers import probability_flow
from genbench.formulas.solvers import integrate

__all__ = ["demonstrate"]

DATA = mixture([0.6, 0.4], [-1.0, 1.2], [0.25, 0.4])
SCHEDULE = Linear()
# The curves end here, since the flow has no value at t = 0, where there is no noise.
FIRST = 1e-3
STEPS = 100


def denoise(x_t: Tensor, level: Level) -> Tensor:
    """E[x_0 | x_t], from the score by Tweedie's formula."""
    score = DATA.noisy(level.alpha, level.sigma).score(x_t)
    return (x_t + level.sigma**2 * score) / level.alpha


def below(law: LineMixture, x: Tensor) -> Tensor:
    """P(X < x)."""
    return (law.w * torch.special.ndtr((x[:, None] - law.m) / law.s)).sum(1)


def log_abar(first: float, last: float, T: int) -> float:
    """log abar_T of T even beta, by gamma functions."""
    e = (last - first) / (T - 1)
    top = (1 - first) / e + 1
    return T * math.log(e) + math.lgamma(top) - math.lgamma(top - T)


def demonstrate(seed: int = 0) -> Demonstration:
    """Curves of the flow, the marginal at their ends, and what the chain leaves of the data.

    Args:
        seed: Not used: nothing is random.
    """
    noise = SCHEDULE.level(1.0)
    end = SCHEDULE.level(FIRST)
    x_1 = torch.linspace(-2.4, 2.4, 33, dtype=torch.float64)
    times = [1 - (1 - FIRST) * (1 - (1 - i / STEPS) ** 2) for i in range(STEPS + 1)]
    flow = probability_flow(denoise, SCHEDULE)
    curves = torch.stack([x_1, *integrate(flow, x_1, times, "rk4")])
    start_law = DATA.noisy(noise.alpha, noise.sigma)
    end_law = DATA.noisy(end.alpha, end.sigma)
    at_start = below(start_law, x_1)
    at_end = below(end_law, curves[-1])
    figure, (left, right) = panels(2)
    left.plot(times[::2], curves[::2, ::2], color=BLUE, linewidth=1)
    left.set(xlabel="t, from data (0) to noise (1)", ylabel="x_t along the flow")
    x = torch.linspace(-2.2, 2.8, 200, dtype=torch.float64)
    right.plot(x, below(end_law, x), color=BLUE, label="data")
    right.plot(curves[-1], at_start, "o", color=ORANGE, label="ends of curves, at P(x_1 < y_1)")
    right.plot(x, torch.special.ndtr(x), color=BLACK, linestyle=":", label="noise")
    right.set(xlabel="x", ylabel="P(X < x)", ylim=(0, 1.3))
    right.legend(loc="upper left")
    abar_T = (1 - SCHEDULE.betas(1000)).log().sum()
    short = (1 - torch.linspace(1e-4, 0.02, 100, dtype=torch.float64)).log().sum()
    return Demonstration(
        title="The reverse process has the marginals of the forward process",
        formula=(
            "P(x_0 < y_0) = P(x_1 < y_1) along dx/dt = f(x, score);   abar_T = prod_k (1 - beta_k)"
        ),
        sentence=(
            "Curves that follow the score from pure noise end distributed as the data; a chain that"
            " is too short for its beta leaves a third of the image's variance at its end."
        ),
        values=(
            exact(
                "largest |P(x_0 < y_0) - P(x_1 < y_1)|", (at_end - at_start).abs().max(), 0, 1e-6
            ),
            exact("log abar_T, T = 1000", abar_T, log_abar(1e-4, 0.02, 1000), tolerance=1e-7),
            exact(
                "abar_T, T = 100 and the same beta",
                short.exp(),
                math.exp(log_abar(1e-4, 0.02, 100)),
                1e-7,
            ),
        ),
        figure=figure,
    )
