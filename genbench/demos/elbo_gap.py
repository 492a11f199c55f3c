r"""log p(x) = ELBO + KL(q || posterior): the gap of the bound is a divergence, and can be closed.

A model in which everything is Gaussian, p(z) = N(0, 1) and p(x | z) = N(a z, s^2), has

    p(x)     = N(0, a^2 + s^2)
    p(z | x) = N(v a x / s^2, v),    v = 1 / (1 + a^2 / s^2)

and, for q(z) = N(m, t^2),

    ELBO = E_q log p(x | z) - KL(q || p(z)),    E_q log p(x | z) = log N(x; a m, s^2) - a^2 t^2 / (2 s^2)

Reference:
    Kingma, Welling (2014), Auto-encoding variational Bayes, eq. 1. arXiv:1312.6114
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLACK, BLUE, GREEN, ORANGE, one_panel
from genbench.formulas.likelihood import gaussian_kl, gaussian_log_density

__all__ = ["demonstrate"]

a = 1.5
s = 0.8
x = torch.tensor(2.0, dtype=torch.float64)


def elbo(m: Tensor, log_t: Tensor) -> Tensor:
    """The bound for q = N(m, t^2), nats."""
    zero = torch.zeros_like(m)
    reconstruction = gaussian_log_density(x, a * m, zero + math.log(s))
    reconstruction = reconstruction - a**2 * torch.exp(2 * log_t) / (2 * s**2)
    return reconstruction - gaussian_kl(m, log_t, zero, zero)


def posterior() -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation of p(z | x)."""
    v = 1 / (1 + a**2 / s**2)
    return v * a * x / s**2, torch.tensor(0.5 * math.log(v), dtype=torch.float64)


def demonstrate(seed: int = 0) -> Demonstration:
    """ELBO + KL over a grid of q; the gap of the best q, and of the prior as q.

    Args:
        seed: Not used: nothing is random.
    """
    log_p = gaussian_log_density(x, torch.zeros_like(x), x.new_tensor(0.5 * math.log(a**2 + s**2)))
    mean, log_sd = posterior()
    m = torch.linspace(-0.5, 2.5, 121, dtype=torch.float64)
    figure, axes = one_panel("mean m of q(z)", "nats")
    widths = ((0.0, BLUE, "the posterior's"), (math.log(2), ORANGE, "twice the posterior's"))
    sums = []
    for shift, colour, words in widths:
        log_t = (log_sd + shift).expand_as(m)
        bound = elbo(m, log_t)
        sums.append(bound + gaussian_kl(m, log_t, mean, log_sd))
        axes.plot(m, bound, color=colour, label=f"ELBO, standard deviation of q {words}")
    axes.axhline(float(log_p), color=BLACK, linestyle="--", label="log p(x)")
    axes.axvline(float(mean), color=GREEN, linestyle=":", label="mean of the posterior")
    axes.set_ylim(-9, -1.9)
    axes.legend(loc="lower center")
    total = torch.cat(sums)
    zero = torch.zeros_like(x)
    return Demonstration(
        title="log p(x) = ELBO + KL(q || posterior)",
        formula="log p(x) = E_q[log p(x, z) - log q(z)] + KL(q(z) || p(z | x))",
        sentence=(
            "The bound touches log p(x) where q is the posterior, and nowhere else: what is missing"
            " is the divergence of q from it, whatever q is."
        ),
        values=(
            exact("smallest ELBO + KL over q", total.min(), log_p),
            exact("largest ELBO + KL over q", total.max(), log_p),
            exact("ELBO of q = p(z | x)", elbo(mean, log_sd), log_p),
            exact(
                "gap of q = p(z)",
                log_p - elbo(zero, zero),
                gaussian_kl(zero, zero, mean, log_sd),
            ),
        ),
        figure=figure,
    )
