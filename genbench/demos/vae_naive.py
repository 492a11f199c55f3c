"""Averaging p(x | z) over draws of the prior is hopeless; draws near the posterior are not.

    p(x) = E_{z ~ q} w(z),    w(z) = p(x | z) p(z) / q(z)

is estimated by the mean of K weights, whose relative mean square error is (E_q w^2 / p(x)^2 - 1) / K. For
p(z) = N(0, I), p(x | z) = N(z, s^2 I) in d dimensions, and an encoder q = N(m, t^2 I) around the posterior mean m,

    E_prior w^2    prod_i N(x_i; 0, 1 + s^2/2) / (2 s sqrt(pi))                of each of d dimensions
    E_q w^2        p(x)^2 prod_i t^2 / (v sqrt(2 t^2/v - 1)),   v = s^2 / (1 + s^2)
    posterior      q = p(z | x): every weight is p(x), one draw is enough

Reference:
    Burda, Grosse, Salakhutdinov (2016), Importance weighted autoencoders. arXiv:1509.00519
"""

from __future__ import annotations

import math

import torch
from matplotlib.axes import Axes
from torch import Tensor

from genbench.demos.demonstration import Demonstration, average, exact
from genbench.demos.drawing import BLUE, GREEN, ORANGE, one_panel
from genbench.formulas.likelihood import gaussian_log_density, importance_weighted
from genbench.rng import Rng

__all__ = ["demonstrate"]

d = 8
s = 0.1
v = s**2 / (1 + s**2)
# The standard deviation of the encoder is 1.5 times that of the posterior.
t = 1.5 * math.sqrt(v)
x = torch.tensor([1.0, -0.5, 0.3, 1.2, -0.8, 0.1, -1.5, 0.6], dtype=torch.float64)
REPEATS = 200
SIZES = (1, 10, 100, 1000)


def log_normal(z: Tensor, m: Tensor | float, s: float) -> Tensor:
    """log N(z; m, s^2), elementwise."""
    return gaussian_log_density(z, torch.as_tensor(m, dtype=z.dtype), z.new_tensor(math.log(s)))


def log_weight(z: Tensor, m: Tensor | float, t: float) -> Tensor:
    """log w of every dimension for a proposal N(m, t^2): z (..., d) -> (..., d)."""
    return log_normal(x, z, s) + log_normal(z, 0.0, 1.0) - log_normal(z, m, t)


def relative_variance(m: Tensor | float, t: float) -> float:
    """E w^2 / p(x)^2 - 1 by quadrature over every dimension of z ~ N(m, t^2)."""
    z = m + t * torch.linspace(-20, 20, 8001, dtype=torch.float64)[:, None].expand(-1, d)
    w2 = 2 * log_weight(z, m, t) + log_normal(z, m, t)
    second = torch.trapezoid(w2.exp(), z, dim=0).log()
    return float((second - 2 * log_normal(x, 0.0, math.sqrt(1 + s**2))).sum().exp()) - 1


def log_weights(m: Tensor | float, t: float, rng: Rng) -> Tensor:
    """log w of 1,000 draws per stream, (1000, B)."""
    z = m + t * rng.normal((SIZES[-1], d)).double()
    return log_weight(z, m, t).sum(-1).T


def estimates(m: Tensor | float, t: float, rng: Rng) -> Tensor:
    """Estimates of log p(x) by K = 1, 10, 100 and 1,000 draws, (4, B)."""
    log_w = log_weights(m, t, rng)
    return torch.stack([importance_weighted(K, lambda k: log_w[k]) for K in SIZES])


def draw_errors(
    axes: Axes, log_ratio: Tensor, variance: float, colour: str, marker: str, label: str
) -> None:
    """Measured errors, and the line of the known ones."""
    errors = log_ratio.expm1().square().mean(1).sqrt()
    axes.loglog(SIZES, errors, marker, color=colour, markersize=8, label=label)
    ends = [1, 10**12]
    known = [math.sqrt(variance / K) for K in ends]
    axes.loglog(ends, known, color=colour, linestyle="--", linewidth=1)


def demonstrate(seed: int = 0) -> Demonstration:
    """Errors over K for three proposals, measured and known.

    Args:
        seed: Seed of the draws.
    """
    log_p = log_normal(x, 0.0, math.sqrt(1 + s**2)).sum()
    m = x / (1 + s**2)
    expected_prior = log_normal(x, 0.0, math.sqrt(1 + s**2 / 2)) - math.log(
        2 * s * math.sqrt(math.pi)
    )
    prior = math.exp(float(expected_prior.sum() - 2 * log_p)) - 1
    encoder = (t**2 / (v * math.sqrt(2 * t**2 / v - 1))) ** d - 1
    rng = Rng(seed, range(REPEATS))
    of_prior = estimates(0.0, 1.0, rng.split("prior")) - log_p
    of_encoder = estimates(m, t, rng.split("encoder")) - log_p
    of_posterior = estimates(m, math.sqrt(v), rng.split("posterior")) - log_p
    figure, axes = one_panel("K, draws of z", "relative error of the estimate of p(x)")
    draw_errors(axes, of_prior, prior, ORANGE, "o", "z ~ the prior")
    draw_errors(axes, of_encoder, encoder, BLUE, "s", "z ~ an encoder")
    axes.axhline(0.1, color="0.5", linestyle=":")
    axes.text(1.5, 0.03, "10 % error", color="0.3")
    axes.text(1.5, 2e-5, "z ~ the posterior: no error, from K = 1 on", color=GREEN)
    axes.set_ylim(1e-6, 1e5)
    axes.legend()
    return Demonstration(
        title="Plain Monte Carlo of p(x) is hopeless",
        formula=(
            "p(x) = E_q w,   w = p(x | z) p(z) / q(z),   error of K draws: sqrt((E_q w^2 / p(x)^2 -"
            " 1) / K)"
        ),
        sentence=(
            f"In {d} dimensions an error of 10 % takes 10^{math.log10(prior / 0.01):.0f} draws of"
            f" the prior, {encoder / 0.01:.0f} of an encoder that is half as wide again as the"
            " posterior, and one of the posterior itself. Dashed lines are the known errors; draws"
            " of the prior seem better than these only until they meet their first large weight."
        ),
        values=(
            exact(
                "log of E w^2 / p(x)^2 - 1 under the prior",
                math.log(relative_variance(0.0, 1.0)),
                math.log(prior),
                1e-6,
            ),
            exact("E w^2 / p(x)^2 - 1 under the encoder", relative_variance(m, t), encoder, 1e-6),
            average("estimate / p(x) with 1,000 draws of the encoder", of_encoder[-1].exp(), 1),
            exact(
                "largest error of one draw of the posterior, nats",
                of_posterior[0].abs().max(),
                0,
            ),
        ),
        figure=figure,
    )
