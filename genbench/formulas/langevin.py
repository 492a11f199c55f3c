r"""Langevin's chain: a walk in an energy whose noise keeps it from ending in a minimum.

    x' = x - eps dE(x)/dx + sqrt(2 eps) z,    z ~ N(0, I)

As eps -> 0 what it leaves invariant is p(x) = exp(-E(x)) / Z. At a finite eps it is another
distribution, without a closed form but for quadratic E: for E = x^2 / (2 s^2),

    Var x' = (1 - eps / s^2)^2 Var x + 2 eps,    stationary at    s^2 / (1 - eps / (2 s^2)),    eps < 2 s^2

References:
    Roberts, Tweedie (1996), Exponential convergence of Langevin distributions and their discrete
    approximations. Bernoulli 2
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Energy", "langevin_step"]

# An energy maps x, (B, ...), to E(x), (B,) nats, each row by itself.
Energy = Callable[[Tensor], Tensor]


def langevin_step(energy: Energy, x: Tensor, eps: float, z: Tensor) -> Tensor:
    """x' of x, (B, ...), without a graph.

    Args:
        energy: E, differentiable.
        x: Where the chains are, (B, ...).
        eps: Size of the step, in the square of the unit of x.
        z: Standard normal, of the shape of x.

    Examples:
        Chains in E = x^2 / 2 forget where they began, and have the variance 1 / (1 - eps / 2):

        >>> from genbench.rng import Rng
        >>> rng = Rng(0, range(20_000))
        >>> x = torch.full((20_000, 1), 5.0)
        >>> for _ in range(20):
        ...     x = langevin_step(lambda x: (x**2).sum(1) / 2, x, 0.5, rng.normal((1,)))
        >>> round(float(x.mean()), 1), round(float(x.var()), 1)
        (0.0, 1.3)
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(energy(x).sum(), x)
    return x.detach() - eps * slope + math.sqrt(2 * eps) * z
