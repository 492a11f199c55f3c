"""The probability of a data set is a product over its images, and is computed as a sum of logs.

For independent x_1, ..., x_N of a model theta,

    p(D | theta) = prod_n p(x_n | theta),    log p(D | theta) = sum_n log p(x_n | theta)

Tosses of a coin, p(x = 1) = theta: with k ones among N, p(D | theta) = theta^k (1 - theta)^(N - k), which is largest at
theta = k / N. Over all 2^N data sets the probabilities add up to 1. The product of 2,000 factors is below the smallest
number of float64, 5e-324; the sum of their logs is not.

Reference:
    MacKay (2003), Information theory, inference, and learning algorithms, chapter 3
"""

from __future__ import annotations

import math
from itertools import product

import torch
from torch import Tensor

from genbench.demos.demonstration import Demonstration, exact
from genbench.demos.drawing import BLACK, BLUE, GREEN, ORANGE, one_panel
from genbench.rng import Rng

__all__ = ["demonstrate"]

TRUE = 0.3
SIZES = (10, 100, 1000)


def log_likelihood(x: Tensor, theta: Tensor) -> Tensor:
    """sum_n log p(x_n | theta): tosses (..., N), theta that broadcasts with them -> (...)."""
    return torch.where(x == 1, theta.log(), torch.log1p(-theta)).sum(-1)


def demonstrate(seed: int = 0) -> Demonstration:
    """Sums over all data sets, the most likely theta, and a product that float64 cannot hold.

    Args:
        seed: Seed of the tosses.
    """
    x = (Rng(seed, range(2000)).uniform() < TRUE).long()
    theta = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    figure, axes = one_panel("theta", "p(D | theta) / its maximum")
    for N, colour, shape in zip(SIZES, (BLUE, GREEN, ORANGE), ("-", "--", "-.")):
        curve = log_likelihood(x[:N], theta[:, None])
        label = f"N = {N:,}, k / N = {float(x[:N].double().mean()):g}"
        axes.plot(theta, (curve - curve.max()).exp(), color=colour, linestyle=shape, label=label)
    axes.axvline(TRUE, color=BLACK, linestyle=":", label=f"the coin, {TRUE}")
    axes.legend()
    true = torch.tensor(TRUE, dtype=torch.float64)
    every = torch.tensor(list(product((0, 1), repeat=10)))
    best = theta[log_likelihood(x[:1000], theta[:, None]).argmax()]
    k = int(x.sum())
    direct = torch.where(x == 1, true, 1 - true).prod()
    return Demonstration(
        title="p(D) is a product over images, computed as a sum of logs",
        formula="p(D | theta) = prod_n p(x_n | theta) = theta^k (1 - theta)^(N - k)",
        sentence=(
            "The more tosses, the narrower the likelihood around k / N. The product of 2,000"
            " factors is 0 in float64; the sum of their logs is exact."
        ),
        values=(
            exact(
                "sum over all data sets of ten tosses", log_likelihood(every, true).exp().sum(), 1
            ),
            exact("most likely theta of 1,000 tosses", best, x[:1000].double().mean()),
            exact(
                "log p(D) of 2,000 tosses, nats",
                log_likelihood(x, true),
                k * math.log(TRUE) + (2000 - k) * math.log(1 - TRUE),
                tolerance=1e-8,
            ),
            exact("the product of the 2,000 factors", direct, 0, tolerance=0),
        ),
        figure=figure,
    )
