r"""Energy distance between two sets of points.

    E = 2 E||X - Y|| - E||X - X'|| - E||Y - Y'||  >=  0, and 0 only for equal distributions     (Székely & Rizzo 2013, eq. 2.1)

The estimate is unbiased (a U-statistic): its means go over pairs of different points. Its
expectation does therefore not depend on the number of points, and equal distributions give zero on
average, sometimes less. It is the MMD^2 of k(x, y) = -||x - y||, and its error is that of this
MMD^2.

References:
    Székely, Rizzo (2013), Energy statistics: a class of statistics based on distances.
    doi:10.1016/j.jspi.2013.03.018
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from genbench.metrics.finite import require_finite
from genbench.metrics.mmd import require_pairs, unbiased_mmd
from genbench.metrics.resampling import Estimate
from genbench.metrics.samples import Samples, present
from genbench.records.catalogue import MetricInfo

__all__ = ["METRICS", "energy_distance", "measure_energy_distance"]

METRICS = {
    "energy_distance": MetricInfo("Energy distance", "lower", 4, inputs=("known distribution",)),
}


def measure_energy_distance(samples: Samples) -> Estimate:
    """Energy distance between the pixels of generated and reference images."""
    images = present(samples.images, "the generated images", "energy_distance")
    reference = present(samples.reference_images, "the reference images", "energy_distance")
    return energy_distance(images.flatten(1), reference.flatten(1))


def energy_distance(x: Tensor, y: Tensor, block: int = 2048) -> Estimate:
    """Unbiased energy distance and its standard error by the jackknife, in the unit of the
    coordinates, in float64.

    Args:
        x: Points of shape (m, D), m >= 2; integer coordinates are taken as they are.
        y: Points of shape (n, D), n >= 2.
        block: Rows of a distance matrix that are in memory at once.
    """
    x = x.double()
    y = y.double()
    require_finite(x, what="coordinates")
    require_finite(y, what="coordinates")
    require_pairs(len(x), len(y))
    # These sums are computed once for all samples that are compared with the same points, such as
    # the samples of a curve.
    own = _own_sums(y.detach().cpu().numpy().tobytes(), y.shape[1], block).to(y.device)
    return unbiased_mmd(
        -_row_sums(x, x, block), -own, -_row_sums(x, y, block), -_row_sums(y, x, block)
    )


@lru_cache(maxsize=4)
def _own_sums(points: bytes, dimensions: int, block: int) -> Tensor:
    """sum_j ||y_i - y_j|| of points in float64, from their bytes."""
    y = torch.frombuffer(bytearray(points), dtype=torch.float64).unflatten(0, (-1, dimensions))
    return _row_sums(y, y, block)


def _row_sums(a: Tensor, b: Tensor, block: int) -> Tensor:
    """sum_j ||a_i - b_j||. It is computed from differences, so that a point is at distance zero
    from itself.
    """
    return torch.cat(
        [
            torch.cdist(rows, b, compute_mode="donot_use_mm_for_euclid_dist").sum(1)
            for rows in a.split(block)
        ]
    )
