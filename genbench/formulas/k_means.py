"""k-means: where expectation maximisation of a mixture starts.

    c(v)   =  argmin_k |v - m_k|                      the nearest mean
    m_k    =  mean of the v with c(v) = k             ten times (Lloyd)

The first means are points, each drawn with a probability in proportion to its squared distance from
those drawn before it.

References:
    Arthur, Vassilvitskii (2007), k-means++: the advantages of careful seeding. SODA '07
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genbench.rng import Rng

__all__ = ["k_means"]


def k_means(v: Tensor, K: int, rng: Rng) -> Tensor:
    """Means (K, D) of the points v (N, D). `rng` has one stream.

    Examples:
        Two pairs of points on a line, far apart:

        >>> v = torch.tensor([[0.0], [2.0], [10.0], [12.0]])
        >>> k_means(v, K=2, rng=Rng(0, [0])).sort(dim=0).values.flatten().tolist()
        [1.0, 11.0]
    """
    return _lloyd(v, _k_means_plus_plus(v, K, rng))


def _k_means_plus_plus(v: Tensor, K: int, rng: Rng) -> Tensor:
    """K of the points, each drawn by its squared distance to the nearest one before it. v: (N, D)."""
    u = rng.uniform((K,))[0].double()
    chosen = v[int(u[0] * len(v))][None]
    distance = (v - chosen).square().sum(1)
    for k in range(1, K):
        # Where every point has been chosen already, all distances are 0, and any point may be
        # chosen.
        weight = (distance if distance.sum() > 0 else torch.ones_like(distance)).cumsum(0)
        new = v[int(torch.searchsorted(weight, u[k] * weight[-1]).clamp(max=len(v) - 1))]
        chosen = torch.cat((chosen, new[None]))
        distance = torch.minimum(distance, (v - new).square().sum(1))
    return chosen


def _lloyd(v: Tensor, mean: Tensor) -> Tensor:
    """k-means: every mean becomes that of the points nearest to it, ten times."""
    for _ in range(10):
        nearest = nn.functional.one_hot(torch.cdist(v, mean).argmin(1), len(mean)).to(v.dtype)
        n = nearest.sum(0)[:, None]
        mean = torch.where(n > 0, nearest.T @ v / n.clamp(min=1), mean)
    return mean
