"""KL(p || q) covers the modes of p, KL(q || p) seeks one of them.

A single Gaussian q = N(m, s^2) is fitted to two separate modes, p = w N(-a, b^2) + (1 - w) N(a, b^2), by each divergence:

    min_q KL(p || q)    the moments of p: m = (1 - 2w) a, s^2 = b^2 + 4 w (1 - w) a^2              zero avoiding
    min_q KL(q || p)    one mode, s = b, with KL = -log of its weight, in two local minima         zero forcing

The second line is right up to the overlap of the modes, about exp(-a^2 / (2 b^2)) = 1.5e-8.

Reference:
    Bishop (2006), Pattern recognition and machine learning, section 10.1.2
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLUE, GREEN, GREY, ORANGE, one_panel
from genbench.demos.line_mixture import mixture
from genbench.formulas.likelihood import gaussian_log_density

__all__ = ["demonstrate"]

w = 0.7
a = 3.0
b = 0.5
DATA = mixture([w, 1 - w], [-a, a], [b, b])
x = torch.linspace(-12, 12, 801, dtype=torch.float64)
LOG_P = DATA.log_density(x)
# The tolerance covers the error of the search for the minimum, and the overlap of the modes.
TOLERANCE = 1e-5

Divergence = Callable[[Tensor], Tensor]


def forward(log_q: Tensor) -> Tensor:
    """KL(p || q), nats."""
    return torch.trapezoid(LOG_P.exp() * (LOG_P - log_q), x)


def reverse(log_q: Tensor) -> Tensor:
    """KL(q || p), nats."""
    return torch.trapezoid(log_q.exp() * (log_q - LOG_P), x)


def fit(divergence: Divergence, start: float) -> tuple[float, float, float]:
    """The m and s of the nearest minimum, and the divergence there."""
    theta = torch.tensor([start, 0.0], dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [theta],
        max_iter=50,
        tolerance_grad=1e-12,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        search.zero_grad()
        value = divergence(gaussian_log_density(x, theta[0], theta[1]))
        value.backward()
        return value

    search.step(loss)
    m, log_s = theta.tolist()
    return m, math.exp(log_s), loss().item()


def demonstrate(seed: int = 0) -> Demonstration:
    """Fits by both divergences, the second from either side.

    Args:
        seed: Not used: nothing is random.
    """
    covering = fit(forward, 0.5)
    large = fit(reverse, -2.0)
    small = fit(reverse, 2.0)
    figure, axes = one_panel("x", "density")
    near = x[x.abs() < 8][::2]
    axes.fill_between(near, DATA.density(near), color=GREY, alpha=0.4, linewidth=0, label="p")
    fits = (
        (covering, BLUE, "-", "min KL(p || q)"),
        (large, ORANGE, "--", "min KL(q || p), from the left"),
        (small, GREEN, "-.", "min KL(q || p), from the right"),
    )
    for (m, s, _), colour, shape, label in fits:
        density = gaussian_log_density(near, near.new_tensor(m), near.new_tensor(math.log(s))).exp()
        axes.plot(near, density, color=colour, linestyle=shape, label=label)
    axes.set_ylim(0, 1.35)
    axes.legend(loc="upper center", ncols=2)
    return Demonstration(
        title="Forward KL covers modes, reverse KL seeks one",
        formula=(
            "min_q KL(p || q): the moments of p.   min_q KL(q || p): one mode, KL = -log weight"
        ),
        sentence=(
            "The Gaussian with the smallest KL(p || q) covers both modes and the empty place"
            " between them; those with a small KL(q || p) sit on one mode, whichever is nearer."
        ),
        values=(
            exact("mean of the covering fit", covering[0], (1 - 2 * w) * a, TOLERANCE),
            exact(
                "standard deviation of the covering fit",
                covering[1],
                math.sqrt(b**2 + 4 * w * (1 - w) * a**2),
                TOLERANCE,
            ),
            exact("mean of the fit from the left", large[0], -a, TOLERANCE),
            exact("KL(q || p) on the large mode", large[2], -math.log(w), TOLERANCE),
            exact("KL(q || p) on the small mode", small[2], -math.log(1 - w), TOLERANCE),
        ),
        figure=figure,
    )
