"""Tweedie's formula: the mean of the clean image given a noisy one, from the score of noisy images.

    x~ = x + sigma eps:                         E[x | x~]  = x~ + sigma^2 s(x~),                s = d/dx~ log p(x~)
    x_t = sqrt(abar) x_0 + sqrt(1 - abar) eps:  E[x_0 | x_t] = (x_t + (1 - abar) s(x_t)) / sqrt(abar)

The left sides are computed by Bayes' rule, as a weighted mean over x, the right sides from the score by automatic
differentiation of log p(x_t). The formula does not use the prior p(x), and holds for each of three priors: a mixture
of Gaussians, the uniform distribution of an interval, and two points.

Reference:
    Efron (2011), Tweedie's formula and selection bias. J. Am. Stat. Assoc. 106
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLACK, BLUE, GREEN, ORANGE, one_panel
from genbench.demos.line_mixture import mixture
from genbench.formulas.likelihood import gaussian_log_density
from genbench.formulas.noise import Exploding, Linear, Schedule

__all__ = ["demonstrate"]

# At this time, abar = 0.66.
TIME = torch.tensor([0.2], dtype=torch.float64)


def priors() -> dict[str, tuple[Tensor, Tensor]]:
    """Places and probabilities of each prior; densities become 4,001 points of an interval."""
    x = torch.linspace(-5, 5, 4001, dtype=torch.float64)
    density = mixture([0.3, 0.7], [-1.5, 1.0], [0.3, 0.6]).density(x)
    inside = (x.abs() <= 1.5).double()
    points = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    return {
        "mixture": (x, density / density.sum()),
        "uniform": (x, inside / inside.sum()),
        "two points": (points, torch.full_like(points, 0.5)),
    }


def both_means(
    schedule: Schedule, t: Tensor, x: Tensor, p: Tensor, x_t: Tensor
) -> tuple[Tensor, Tensor]:
    """E[x | x_t] by Bayes' rule, and by the score: (N,) each, at places x_t."""
    x_t = x_t.detach().requires_grad_()
    mean = schedule.alpha(t) * x
    log_joint = p.log() + gaussian_log_density(x_t[:, None], mean, schedule.sigma(t).log())
    log_p = log_joint.logsumexp(1)
    (score,) = torch.autograd.grad(log_p.sum(), x_t)
    by_bayes = (log_joint.softmax(1) * x).sum(1)
    by_score = schedule.from_score(score, x_t, t)
    return by_bayes.detach(), by_score.detach()


def demonstrate(seed: int = 0) -> Demonstration:
    """Both means for three priors, in the chain of DDPM and with added noise.

    Args:
        seed: Not used: nothing is random.
    """
    x_t = torch.linspace(-3, 3, 61, dtype=torch.float64)
    figure, axes = one_panel("x_t", "E[x_0 | x_t]")
    values = []
    looks = (("mixture", BLUE, "s"), ("uniform", GREEN, "o"), ("two points", ORANGE, "^"))
    for name, colour, marker in looks:
        x, p = priors()[name]
        by_bayes, by_score = both_means(Linear(), TIME, x, p, x_t)
        difference = (by_bayes - by_score).abs().max()
        values.append(exact(f"largest difference, DDPM, prior: {name}", difference, 0))
        by_bayes, by_score = both_means(Exploding(0.01, 1.0), TIME + 0.7, x, p, x_t)
        difference = (by_bayes - by_score).abs().max()
        values.append(exact(f"largest difference, added noise, prior: {name}", difference, 0))
        by_bayes, by_score = both_means(Linear(), TIME, x, p, x_t)
        axes.plot(x_t, by_bayes, color=colour, label=f"{name}, by Bayes' rule")
        axes.plot(x_t[::4], by_score[::4], marker, color=BLACK, markersize=5)
    axes.plot([], [], "ko", markersize=5, label="by the score, each")
    axes.legend()
    return Demonstration(
        title="Tweedie: the posterior mean from the score, whatever the prior",
        formula=(
            "E[x_0 | x_t] = (x_t + (1 - abar_t) s(x_t)) / sqrt(abar_t),   s = d/dx_t log p(x_t)"
        ),
        sentence=(
            "For a mixture, a uniform distribution and two points alike, one step along the score"
            " of the noisy density lands on the mean of all clean images that could lie behind x_t."
        ),
        values=tuple(values),
        figure=figure,
    )
