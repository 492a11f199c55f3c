r"""Walks through latent space of d dimensions.

    linear      z(t) = (1 - t) a + t b
    spherical   z(t) = (sin((1 - t) w) a + sin(t w) b) / sin w,    cos w = <a, b> / (|a| |b|)
                                                            (Shoemake 1985)
    manifold    z_i = F^{-1}((i - 1/2) / n), i = 1, ..., n: equal steps of the prior's probability
                along each of two axes                      (Kingma & Welling 2014, appendix A)

The spherical walk between two points of equal norm keeps that norm. In many dimensions nearly all
of N(0, I) lies at |z| = sqrt(d), and the middle of a straight line does not. Where the prior is a
function of normal noise, entry by entry, the spherical walk is that of the noise; for other priors
there is none.

References:
    Shoemake (1985), Animating rotation with quaternion curves. SIGGRAPH 85
    White (2016), Sampling generative networks. arXiv:1609.04468
    Kingma, Welling (2014), Auto-Encoding Variational Bayes. arXiv:1312.6114
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from genbench.formulas.priors import Monotone, Prior

__all__ = [
    "Walk",
    "class_means",
    "gaussian_quantiles",
    "lattice",
    "linear",
    "plane",
    "principal_directions",
    "spherical",
    "walks_of",
]


class Walk(NamedTuple):
    """A way between two latents.

    Attributes:
        name: "linear" or "spherical".
        between: Function of two latents (d,) and shares of the way (n,) that returns latents (n, d).
    """

    name: str
    between: Callable[[Tensor, Tensor, Tensor], Tensor]


def walks_of(prior: Prior) -> list[Walk]:
    """The walks between latents of a prior, of which the last stays nearest to its draws."""
    walks = [Walk("linear", linear)]
    if isinstance(prior, Monotone):

        def through_noise(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
            return prior.from_normal(spherical(prior.to_normal(a), prior.to_normal(b), t))

        walks.append(Walk("spherical", through_noise))
    return walks


def linear(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The straight walk from a to b.

    Args:
        a: Latent (d,).
        b: Latent (d,).
        t: Shares of the way (n,).

    Returns:
        Latents (n, d).
    """
    return (1 - t)[:, None] * a + t[:, None] * b


def spherical(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """The spherical walk from a to b; the straight one where a or b is 0, or their angle is 0 or pi.

    Args:
        a: Latent (d,).
        b: Latent (d,).
        t: Shares of the way (n,).

    Returns:
        Latents (n, d).
    """
    norms = a.norm() * b.norm()
    if float(norms) == 0:
        return linear(a, b, t)
    cosine = torch.dot(a, b) / norms
    w = torch.acos(cosine.clamp(-1, 1))
    if float(torch.sin(w)) < 1e-4:
        return linear(a, b, t)
    return (torch.sin((1 - t) * w)[:, None] * a + torch.sin(t * w)[:, None] * b) / torch.sin(w)


def gaussian_quantiles(n: int) -> Tensor:
    """Phi^{-1}((i - 1/2) / n), i = 1, ..., n: float64 (n,)."""
    return torch.special.ndtri((torch.arange(n, dtype=torch.float64) + 0.5) / n)


def principal_directions(z: Tensor, k: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """The directions in which latents vary most.

    The entry of a direction that is largest in absolute value is positive.

    Args:
        z: Latents (N, d).
        k: Number of directions.

    Returns:
        Mean (d,), directions (k, d), and standard deviations along them (k,).
    """
    mean = z.mean(0)
    _, singular, directions = torch.linalg.svd(z - mean, full_matrices=False)
    top = directions[:k]
    sign = torch.sign(top.gather(1, top.abs().argmax(1, keepdim=True)))
    return mean, sign * top, singular[:k] / max(1, len(z) - 1) ** 0.5


def lattice(first: Tensor, second: Tensor) -> Tensor:
    """All pairs of two lists of values.

    Args:
        first: Values of the first latent (n,), from left to right.
        second: Values of the second latent (n,), from the bottom to the top.

    Returns:
        Latents (n * n, 2) in reading order.
    """
    up, across = torch.meshgrid(second.flip(0), first, indexing="ij")
    return torch.stack((across, up), 2).flatten(0, 1)


def plane(mean: Tensor, directions: Tensor, scale: Tensor, n: int) -> Tensor:
    """The lattice mean + q_j s_1 v_1 + q_i s_2 v_2 of Gaussian quantiles q.

    Args:
        mean: Mean (d,).
        directions: v, (2, d).
        scale: Standard deviations s, (2,).
        n: Rows and columns.

    Returns:
        Latents (n * n, d) in reading order; v_2 points upwards.
    """
    q = gaussian_quantiles(n).to(mean)
    across = q[None, :, None] * scale[0] * directions[0]
    up = q.flip(0)[:, None, None] * scale[1] * directions[1]
    return (mean + across + up).flatten(0, 1)


def class_means(z: Tensor, y: Tensor, classes: int) -> Tensor:
    """Mean latent of every class.

    Args:
        z: Latents (N, d).
        y: Labels (N,).
        classes: Number of classes.

    Returns:
        (classes, d); NaN for a class without images.
    """
    return torch.stack([z[y == k].mean(0) for k in range(classes)])
