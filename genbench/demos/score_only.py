"""The posterior needs the score only: no constant, no prior, and the variance comes from its slope.

    x_t = alpha x_0 + sigma eps
    E[x_0 | x_t]   = (x_t + sigma^2 s(x_t)) / alpha
    Var[x_0 | x_t] = (sigma / alpha)^2 (1 + sigma^2 s'(x_t))        the second-order formula

The prior is an energy model, p(x) ~ exp(-E(x)) with E = x^4/4 - x^2, whose normalising constant is not computed. A factor of
1,000 on it changes neither the score nor the results. For x_0 ~ N(0, c^2) the variance is c^2 sigma^2 / (alpha^2 c^2 + sigma^2)
everywhere.

References:
    Efron (2011), Tweedie's formula and selection bias. J. Am. Stat. Assoc. 106
    Manor, Michaeli (2023), On the posterior distribution in denoising. arXiv:2309.13598
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLUE, ORANGE, panels
from genbench.formulas.likelihood import gaussian_log_density

__all__ = ["demonstrate"]

alpha = 0.8
sigma = 0.6
x = torch.linspace(-6, 6, 2401, dtype=torch.float64)

LogDensity = Callable[[Tensor], Tensor]


def double_well(x: Tensor) -> Tensor:
    """log p(x) + a constant that is not known."""
    return x**2 - x**4 / 4


def log_joint(log_p: LogDensity, x_t: Tensor) -> Tensor:
    """log p(x) q(x_t | x) up to a constant, over the grid of x: (N, 2401)."""
    log_sigma = torch.tensor(sigma, dtype=torch.float64).log()
    return log_p(x) + gaussian_log_density(x_t[:, None], alpha * x, log_sigma)


def by_bayes(log_p: LogDensity, x_t: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of x_0 given x_t, by sums over the grid."""
    h = log_joint(log_p, x_t).softmax(1)
    mean = (h * x).sum(1)
    return mean, (h * (x - mean[:, None]) ** 2).sum(1)


def by_score(log_p: LogDensity, x_t: Tensor) -> tuple[Tensor, Tensor]:
    """The same from the score of x_t and its slope, which is all that is used."""
    x_t = x_t.detach().requires_grad_()
    marginal = log_joint(log_p, x_t).logsumexp(1)
    (score,) = torch.autograd.grad(marginal.sum(), x_t, create_graph=True)
    (slope,) = torch.autograd.grad(score.sum(), x_t)
    mean = (x_t + sigma**2 * score) / alpha
    variance = (sigma / alpha) ** 2 * (1 + sigma**2 * slope)
    return mean.detach(), variance.detach()


def demonstrate(seed: int = 0) -> Demonstration:
    """Mean and variance both ways, and what a constant changes.

    Args:
        seed: Not used: nothing is random.
    """
    x_t = torch.linspace(-2.5, 2.5, 51, dtype=torch.float64)
    mean, variance = by_bayes(double_well, x_t)
    mean_s, variance_s = by_score(double_well, x_t)
    scaled, _ = by_score(lambda x: double_well(x) + 1000.0, x_t)
    _, of_gaussian = by_score(lambda x: -(x**2) / (2 * 0.5**2), x_t)
    known = 0.5**2 * sigma**2 / (alpha**2 * 0.5**2 + sigma**2)
    figure, (left, right) = panels(2)
    for axes, exact_values, scores in (
        (left, mean, mean_s),
        (right, variance, variance_s),
    ):
        axes.plot(x_t, exact_values, color=BLUE, label="Bayes' rule")
        axes.plot(x_t[::3], scores[::3], "o", color=ORANGE, label="score only")
        axes.set(xlabel="x_t")
        axes.legend()
    left.set(ylabel="E[x_0 | x_t]")
    right.set(ylabel="Var[x_0 | x_t]")
    return Demonstration(
        title="The posterior mean and variance need the score only",
        formula=(
            "E[x_0 | x_t] = (x_t + sigma^2 s(x_t)) / alpha,   "
            "Var[x_0 | x_t] = (sigma / alpha)^2 (1 + sigma^2 s'(x_t))"
        ),
        sentence=(
            "For a density known up to its constant, score and slope of the score give mean and "
            "variance of the clean x_0; the variance is largest between the two wells, where x_t "
            "does not say from which one it came."
        ),
        values=(
            exact("largest difference of the means", (mean - mean_s).abs().max(), 0),
            exact("largest difference of the variances", (variance - variance_s).abs().max(), 0),
            exact("largest change by a constant", (scaled - mean_s).abs().max(), 0),
            exact("largest variance of N(0, 1/4)", of_gaussian.max(), known),
        ),
        figure=figure,
    )
