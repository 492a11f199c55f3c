"""Two points at a distance: earth mover's distance has a slope, Jensen-Shannon divergence a step.

p is all at 0, and q at theta. Where theta is not 0, the best discriminator tells them apart
perfectly:

    W(p, q)   = max over 1-Lipschitz d of d(0) - d(theta) = |theta|          slope 1
    JSD(p, q) = (max_D V(D) + log 4) / 2 = log 2, and 0 at theta = 0          slope 0

so that a generator that moves theta learns nothing from JSD, and learns from W in which direction
to go.

Reference:
    Arjovsky, Chintala, Bottou (2017), Wasserstein GAN, example 1. arXiv:1701.07875
"""

from __future__ import annotations

import math

import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLUE, ORANGE, one_panel
from genbench.models.gan.games import Minimax, Wasserstein

__all__ = ["demonstrate"]

# A discriminator that is sure gives this logit: sigma(-40) = 4e-18.
SURE = 40.0


def earth_mover(theta: Tensor) -> Tensor:
    """W of points at 0 and theta: the best of the functions d(x) = c x with |c| <= 1."""
    values = []
    for c in (-1.0, 1.0):
        losses = Wasserstein().discriminator(c * torch.zeros_like(theta), c * theta)
        values.append(-losses["loss"])
    return torch.stack(values).max()


def jensen_shannon(theta: Tensor) -> Tensor:
    """JSD of points at 0 and theta, through the value of the best discriminator, nats."""
    # The best discriminator depends on theta only through whether the two points differ.
    d = torch.where(theta == 0, 0.0, SURE) + 0 * theta
    value = -Minimax().discriminator(d, -d)["loss"]
    return (value + math.log(4)) / 2


def demonstrate(seed: int = 0) -> Demonstration:
    """Both distances over theta, and their slopes at theta = 1/2.

    Args:
        seed: Not used: nothing is random.
    """
    grid = torch.arange(-40, 41, dtype=torch.float64) / 40
    figure, axes = one_panel("theta, distance of the two points", "distance of p and q")
    axes.plot(grid, [earth_mover(t) for t in grid], color=BLUE, label="W, earth mover's distance")
    divergences = torch.stack([jensen_shannon(t) for t in grid])
    for side in (grid < 0, grid > 0):
        label = "JSD, nats" if bool(side[0]) else ""
        axes.plot(grid[side], divergences[side], color=ORANGE, linestyle="--", label=label)
    axes.plot([0], [divergences[40]], "o", color=ORANGE)
    axes.legend(loc="lower right")
    theta = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    distance = earth_mover(theta)
    divergence = jensen_shannon(theta)
    (slope_w,) = torch.autograd.grad(distance, theta)
    (slope_js,) = torch.autograd.grad(divergence, theta)
    transport = wasserstein_distance([0.0], [0.5])
    return Demonstration(
        title="Earth mover's distance has a slope where Jensen-Shannon has none",
        formula="W(p, q) = |theta|;   JSD(p, q) = log 2 for theta != 0, and 0 for theta = 0",
        sentence=(
            "The Jensen-Shannon divergence of two points is log 2 however near they are, and its "
            "gradient 0; the earth mover's distance is their distance, with gradient 1."
        ),
        values=(
            exact("W at theta = 1/2, by the game", distance, 0.5),
            exact("W at theta = 1/2, by transport", transport, 0.5),
            exact("JSD at theta = 1/2", divergence, math.log(2)),
            exact("JSD at theta = 0", divergences[40], 0),
            exact("slope of W at theta = 1/2", slope_w, 1),
            exact("slope of JSD at theta = 1/2", slope_js, 0),
        ),
        figure=figure,
    )
