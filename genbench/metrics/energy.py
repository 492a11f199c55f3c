r"""Energy distance between two sets of points.

    E = 2 E||X - Y|| - E||X - X'|| - E||Y - Y'||  >=  0, and 0 only for equal distributions     (Székely & Rizzo 2013, eq. 2.1)

The unbiased estimate (U-statistic): means over pairs of different points, so the expectation does not depend on the number of
points and equal distributions give zero on average, sometimes less.

References:
    Székely, Rizzo (2013), Energy statistics: a class of statistics based on distances. doi:10.1016/j.jspi.2013.03.018
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["energy_distance"]


def energy_distance(x: Tensor, y: Tensor, block: int = 2048) -> float:
    """Unbiased energy distance, in the unit of the coordinates, in float64.

    Args:
        x: Points of shape (m, D), m >= 2; integer coordinates are taken as they are.
        y: Points of shape (n, D), n >= 2.
        block: Rows of a distance matrix that are in memory at once.
    """
    m, n = len(x), len(y)
    if min(m, n) < 2:
        raise ValueError(f"energy distance: each set needs at least 2 points, not {m} and {n}")
    across = 2 * _total(x, y, block) / (m * n)
    return across - _total(x, x, block) / (m * (m - 1)) - _total(y, y, block) / (n * (n - 1))


def _total(a: Tensor, b: Tensor, block: int) -> float:
    """Sum of all distances. From differences, so that a point is at distance zero from itself."""
    a, b = a.double(), b.double()
    return sum(torch.cdist(rows, b, compute_mode="donot_use_mm_for_euclid_dist").sum().item() for rows in a.split(block))
