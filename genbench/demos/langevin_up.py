"""Langevin's chain climbs to high density and then stays in the distribution.

    x' = x + h/2 d/dx log p(x) + sqrt(h) eps,    eps ~ N(0, 1)

For p = N(0, 1) the chain is linear, with a = 1 - h/2, and every step is known:

    x_k ~ N(a^k x_0, h (1 - a^{2k}) / (1 - a^2)),    E log p(x_k) = -1/2 log(2 pi) - (E x_k^2) / 2

For a mixture the mean of log p(x_k) rises from the start to -H(p), minus the entropy. Steps of finite length end beside p; with
Metropolis' rule, which accepts x' with probability min(1, p(x') q(x | x') / (p(x) q(x' | x))), they end in p exactly.

References:
    Roberts, Tweedie (1996), Exponential convergence of Langevin distributions and their discrete
    approximations. Bernoulli 2
    Welling, Teh (2011), Bayesian learning via stochastic gradient Langevin dynamics. ICML
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.demos.demonstration import Demonstration, average
from genbench.demos.drawing import BLACK, BLUE, GREY, panels
from genbench.demos.line_mixture import LineMixture, mixture
from genbench.formulas.likelihood import gaussian_log_density
from genbench.rng import Rng

__all__ = ["demonstrate"]

NORMAL = mixture([1.0], [0.0], [1.0])
DATA = mixture([0.6, 0.4], [-1.2, 1.2], [0.5, 0.8])
h = 0.3
STEPS = 150
CHAINS = 2000


def proposal(p: LineMixture, x: Tensor) -> Tensor:
    """The mean of x' given x."""
    return x + h / 2 * p.score(x)


def chain(p: LineMixture, x: Tensor, rng: Rng, metropolis: bool) -> Tensor:
    """Positions before and after every step, (STEPS + 1, CHAINS)."""
    eps = rng.split("eps").normal((STEPS,)).double()
    u = rng.split("u").uniform((STEPS,)).double()
    log_sd = torch.tensor(h, dtype=torch.float64).log() / 2
    states = [x]
    for k in range(STEPS):
        new = proposal(p, x) + math.sqrt(h) * eps[:, k]
        if metropolis:
            back = p.log_density(new) + gaussian_log_density(x, proposal(p, new), log_sd)
            there = p.log_density(x) + gaussian_log_density(new, proposal(p, x), log_sd)
            new = torch.where(u[:, k].log() < back - there, new, x)
        x = new
        states.append(x)
    return torch.stack(states)


def expected(k: int, x_0: float) -> float:
    """E log p(x_k) of the chain for N(0, 1), nats."""
    a = 1 - h / 2
    second = (a**k * x_0) ** 2 + h * (1 - a ** (2 * k)) / (1 - a**2)
    return -0.5 * math.log(2 * math.pi) - second / 2


def demonstrate(seed: int = 0) -> Demonstration:
    """Chains for N(0, 1) from 4, and for a mixture from 6 and -6.

    Args:
        seed: Seed of the chains.
    """
    rng = Rng(seed, range(CHAINS))
    start = torch.full((CHAINS,), 4.0, dtype=torch.float64)
    linear = NORMAL.log_density(chain(NORMAL, start, rng.split("normal"), metropolis=False))
    sides = torch.where(torch.arange(CHAINS) % 2 == 0, 6.0, -6.0).double()
    states = chain(DATA, sides, rng.split("mixture"), metropolis=True)
    log_p = DATA.log_density(states)
    x = torch.linspace(-14, 14, 2801, dtype=torch.float64)
    minus_entropy = torch.trapezoid(DATA.density(x) * DATA.log_density(x), x)
    second_moment = torch.trapezoid(DATA.density(x) * x**2, x)
    figure, (left, right) = panels(2)
    near = x[(x.abs() <= 6.5)][::10]
    left.fill_betweenx(near, STEPS * (1 + 0.7 * DATA.density(near)), STEPS, color=GREY)
    left.plot(states[:, :6], color=BLUE, linewidth=0.8)
    left.set(xlabel="step (grey: p)", ylabel="x, six chains")
    right.plot(log_p.mean(1), color=BLUE, label="mean over chains")
    right.axhline(float(minus_entropy), color=BLACK, linestyle="--", label="-H(p)")
    right.set(xlabel="step", ylabel="log p(x), nats", ylim=(-8, 0))
    right.legend(loc="lower right")
    return Demonstration(
        title="Langevin's chain moves to high density",
        formula="x' = x + h/2 d/dx log p(x) + sqrt(h) eps",
        sentence=(
            "From far outside the chains climb log p within some tens of steps, and then wander:"
            " the mean of log p stays at minus the entropy, below the top of the density."
        ),
        values=(
            average("mean log p after 3 steps, p = N(0, 1)", linear[3], expected(3, 4.0)),
            average("mean log p after 100 steps, p = N(0, 1)", linear[100], expected(100, 4.0)),
            average("mean log p after 150 steps, mixture", log_p[-1], minus_entropy),
            average("mean x^2 after 150 steps, mixture", states[-1] ** 2, second_moment),
        ),
        figure=figure,
    )
