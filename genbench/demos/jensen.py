"""Jensen's inequality for a concave f: f(E[X]) >= E[f(X)], with f = log.

It is why log p(x) = log E_q[w] >= E_q[log w] = ELBO. The gap is known for

    two values     X = 1 or 4, half and half:    log 5/2 - log 2 = log 5/4
    log-normal X   log X ~ N(0, s^2):            log E[X] - E[log X] = s^2 / 2

so that the bound is tight where the weights vary little.

Reference:
    Cover, Thomas (2006), Elements of information theory, theorem 2.6.2
"""

from __future__ import annotations

import math

import torch
from matplotlib.axes import Axes
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLACK, BLUE, GREEN, ORANGE, panels
from genbench.formulas.priors import Normal

__all__ = ["demonstrate"]

VALUES = torch.tensor([1.0, 4.0], dtype=torch.float64)


def gap(X: Tensor, p: Tensor) -> Tensor:
    """log E[X] - E[log X] for values X of probabilities p."""
    return (p * X).sum().log() - (p * X.log()).sum()


def demonstrate(seed: int = 0) -> Demonstration:
    """The gap of two values, and of log-normal ones by quadrature.

    Args:
        seed: Not used: nothing is random.
    """
    half = torch.full((2,), 0.5, dtype=torch.float64)
    # log X = s z with z ~ N(0, 1). Sums over a fine grid are exact up to rounding.
    z = torch.linspace(-12, 12, 2401, dtype=torch.float64)
    p = Normal().log_density(z).exp() * (z[1] - z[0])
    s = torch.linspace(0, 2, 21, dtype=torch.float64)
    gaps = torch.stack([gap((width * z).exp(), p) for width in s])
    figure, (left, right) = panels(2)
    _draw_chord(left)
    right.plot(s, s**2 / 2, color=BLACK, label="s^2 / 2")
    right.plot(s, gaps, "o", color=ORANGE, label="quadrature")
    right.set(xlabel="s, standard deviation of log X", ylabel="log E[X] - E[log X], nats")
    right.legend()
    return Demonstration(
        title="Jensen: the log of a mean is at least the mean of the logs",
        formula="log E[X] >= E[log X];   log E[X] - E[log X] = s^2 / 2 for log X ~ N(0, s^2)",
        sentence=(
            "The chord lies below a concave curve. The gap grows with the spread of X, which is why"
            " an ELBO is loose where the weights p(x, z) / q(z) vary, and exact where they do not."
        ),
        values=(
            exact("gap of X = 1 or 4", gap(VALUES, half), math.log(5 / 4)),
            exact("gap of log X ~ N(0, 1)", gaps[10], 1 / 2),
            exact("gap of log X ~ N(0, 4)", gaps[20], 2),
            exact("gap of a constant X", gaps[0], 0),
        ),
        figure=figure,
    )


def _draw_chord(axes: Axes) -> None:
    """log, the chord between the two values, and the gap in the middle of it."""
    x = torch.linspace(0.4, 5, 200, dtype=torch.float64)
    axes.plot(x, x.log(), color=BLUE, label="f = log")
    axes.plot(VALUES, VALUES.log(), color=ORANGE, linestyle="--", marker="o", label="chord")
    middle = float(VALUES.mean())
    ends = [float(VALUES.log().mean()), math.log(middle)]
    axes.plot([middle, middle], ends, color=GREEN, linewidth=4, label="gap, log 5/4")
    axes.set(xlabel="X", ylabel="f(X)")
    axes.legend(loc="lower right")
