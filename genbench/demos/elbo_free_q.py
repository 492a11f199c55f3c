"""A free q for every image: ascent of the ELBO in its entropy form finds the posterior of each.

In the model p(z) = N(0, 1), p(x | z) = N(a z, s^2), each image x_n has its own q_n = N(m_n, t_n^2), whose two
numbers are found by gradient ascent of the bound, without an encoder:

    ELBO_n = E_q log p(x_n, z) + H(q_n),    H(q_n) = log t_n + 1/2 log(2 pi e)

The maximum is the posterior, m_n = v a x_n / s^2 and t_n^2 = v = 1 / (1 + a^2 / s^2), where ELBO_n = log p(x_n). A single q
for all images is left with the mean bound

    mean log p(x_n) - Var(m_n) / (2 v)        for m the mean of the m_n and t^2 = v

whose second term is the price of not looking at the image.

Reference:
    Neal, Hinton (1998), A view of the EM algorithm that justifies incremental, sparse, and other
    variants. Learning in Graphical Models
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLACK, BLUE, GREEN, ORANGE, one_panel
from genbench.formulas.likelihood import gaussian_log_density

__all__ = ["demonstrate"]

a = 1.5
s = 0.8
v = 1 / (1 + a**2 / s**2)
x = torch.tensor([-2.5, 0.5, 2.0], dtype=torch.float64)
STEPS = 200
RATE = 0.1


def elbo(x: Tensor, m: Tensor, log_t: Tensor) -> Tensor:
    """E_q log p(x | z) + E_q log p(z) + H(q), nats."""
    t2 = torch.exp(2 * log_t)
    zero = torch.zeros_like(x)
    likelihood = gaussian_log_density(x, a * m, zero + math.log(s)) - a**2 * t2 / (2 * s**2)
    prior = gaussian_log_density(m, zero, zero) - t2 / 2
    return likelihood + prior + log_t + 0.5 * math.log(2 * math.pi * math.e)


def ascend(m: Tensor, log_t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """m and log t after the ascent, and the bounds before every step, (STEPS, N)."""
    history = []
    for _ in range(STEPS):
        m = m.detach().requires_grad_()
        log_t = log_t.detach().requires_grad_()
        bound = elbo(x, m, log_t)
        slope_m, slope_t = torch.autograd.grad(bound.sum(), (m, log_t))
        history.append(bound.detach())
        m = m + RATE * slope_m
        log_t = log_t + RATE * slope_t
    return m.detach(), log_t.detach(), torch.stack(history)


def demonstrate(seed: int = 0) -> Demonstration:
    """Ascent for three images from q = p(z), and the best that one q for all of them reaches.

    Args:
        seed: Not used: nothing is random.
    """
    zero = torch.zeros_like(x)
    log_p = gaussian_log_density(x, zero, zero + 0.5 * math.log(a**2 + s**2))
    m, log_t, history = ascend(zero, zero)
    best = v * a * x / s**2
    shared = elbo(x, best.mean().expand_as(x), zero + 0.5 * math.log(v)).mean()
    figure, axes = one_panel("step of gradient ascent", "nats")
    for n, (colour, shape) in enumerate(((BLUE, "-"), (ORANGE, "-."), (GREEN, "--"))):
        label = f"ELBO of x = {float(x[n]):g}"
        axes.plot(history[:40, n], color=colour, linestyle=shape, label=label)
    axes.hlines(log_p, 0, 39, color=BLACK, linestyle=":", label="log p(x)")
    axes.legend(loc="lower right")
    axes.set_ylim(-9, -1.2)
    return Demonstration(
        title="A free q for every image reaches log p(x)",
        formula="max_q { E_q log p(x, z) + H(q) } = log p(x),   at q(z) = p(z | x)",
        sentence=(
            "Each image's own mean and width climb to its posterior, and the bound to log p(x): an "
            "encoder only makes this faster. One q for all images stays below."
        ),
        values=(
            exact("largest |m - posterior mean| over images", (m - best).abs().max(), 0),
            exact("largest |t^2 - posterior variance|", ((2 * log_t).exp() - v).abs().max(), 0),
            exact("largest gap log p(x) - ELBO", (log_p - history[-1]).abs().max(), 0),
            exact(
                "mean gap of one q for all images",
                log_p.mean() - shared,
                best.var(unbiased=False) / (2 * v),
            ),
        ),
        figure=figure,
    )
