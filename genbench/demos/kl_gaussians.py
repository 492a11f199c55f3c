"""The KL divergence of Gaussians: a closed form, not symmetric, never below 0.

    KL(p || q) = 1/2 [ d (r - 1 - ln r) + |mu_p - mu_q|^2 / s_q^2 ],    r = s_p^2 / s_q^2

for isotropic Gaussians of d dimensions. In one dimension it is compared with the integral of
p log(p / q).

Reference:
    Kullback, Leibler (1951), On information and sufficiency. Annals of Mathematical Statistics 22
"""

from __future__ import annotations

import math

import torch
from matplotlib.ticker import NullLocator
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLACK, BLUE, ORANGE, panels
from genbench.formulas.likelihood import gaussian_kl, gaussian_log_density

__all__ = ["demonstrate"]

# Each pair is a mean and a standard deviation.
P = (0.0, 1.0)
Q = (1.5, 0.6)


def lecture_kl(p: tuple[float, float], q: tuple[float, float], d: int = 1) -> float:
    """KL(p || q) by the formula above, all means equal along the d dimensions, nats."""
    r = p[1] ** 2 / q[1] ** 2
    return 0.5 * (d * (r - 1 - math.log(r)) + d * (p[0] - q[0]) ** 2 / q[1] ** 2)


def library_kl(p: tuple[float, float], q: tuple[float, float], d: int = 1) -> Tensor:
    """The same by `genbench.formulas`, summed over d dimensions."""
    values = (p[0], math.log(p[1]), q[0], math.log(q[1]))
    m_p, log_s_p, m_q, log_s_q = torch.tensor(values, dtype=torch.float64)
    return gaussian_kl(m_p, log_s_p, m_q, log_s_q).expand(d).sum()


def integral_kl(p: tuple[float, float], q: tuple[float, float]) -> Tensor:
    """The integral of p log(p / q)."""
    x = torch.linspace(-12, 12, 4801, dtype=torch.float64)
    log_p, log_q = (
        gaussian_log_density(x, x.new_tensor(m), x.new_tensor(math.log(s))) for m, s in (p, q)
    )
    return torch.trapezoid(log_p.exp() * (log_p - log_q), x)


def demonstrate(seed: int = 0) -> Demonstration:
    """Both orders, by formula and by integral, and over the width of q.

    Args:
        seed: Not used: nothing is random.
    """
    figure, (left, right) = panels(2)
    x = torch.linspace(-4, 5, 200, dtype=torch.float64)
    for (m, s), colour, shape, name in ((P, BLUE, "-", "p"), (Q, ORANGE, "--", "q")):
        density = gaussian_log_density(x, x.new_tensor(m), x.new_tensor(math.log(s))).exp()
        left.plot(x, density, color=colour, linestyle=shape, label=f"{name} = N({m:g}, {s:g}^2)")
    left.set(xlabel="x", ylabel="density")
    widths = torch.logspace(-0.7, 0.9, 60).tolist()
    forward = [library_kl(P, (Q[0], s)) for s in widths]
    reverse = [library_kl((Q[0], s), P) for s in widths]
    right.loglog(widths, forward, color=BLUE, label="KL(p || q)")
    right.loglog(widths, reverse, color=ORANGE, linestyle="--", label="KL(q || p)")
    right.axvline(Q[1], color=BLACK, linestyle=":", linewidth=1)
    right.set(xlabel="standard deviation of q", ylabel="nats")
    right.set_xticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"])
    right.xaxis.set_minor_locator(NullLocator())
    for axes in (left, right):
        axes.legend()
    same = library_kl(P, P)
    return Demonstration(
        title="The KL divergence of two Gaussians depends on their order",
        formula=(
            "KL(p || q) = 1/2 [ d (r - 1 - ln r) + |mu_p - mu_q|^2 / s_q^2 ],   r = s_p^2 / s_q^2"
        ),
        sentence=(
            "A narrow q that misses part of p costs much in KL(p || q), and little in KL(q || p): "
            "the first avoids zeros of q, the second forces them."
        ),
        values=(
            exact("KL(p || q), the integral", integral_kl(P, Q), lecture_kl(P, Q)),
            exact("KL(q || p), the integral", integral_kl(Q, P), lecture_kl(Q, P)),
            exact("KL(p || q) of 3 dimensions", library_kl(P, Q, d=3), lecture_kl(P, Q, d=3)),
            exact("KL(p || p)", same, 0),
        ),
        figure=figure,
    )
