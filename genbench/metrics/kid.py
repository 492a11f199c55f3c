r"""Kernel distance between two feature sets (KID where the features are Inception's).

    MMD^2 with k(a, b) = (a . b / F + 1)^3,   F the length of a feature vector                   (Binkowski et al. 2018, sec. 4)

Unlike in the paper, it is computed over all images at once, and is no mean over random subsets. Its
standard error is that of `unbiased_mmd`.

References:
    Binkowski et al. (2018), Demystifying MMD GANs. arXiv:1801.01401
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.metrics.finite import require_finite
from genbench.metrics.mmd import unbiased_mmd
from genbench.metrics.resampling import Estimate
from genbench.metrics.samples import Samples
from genbench.records.catalogue import MetricInfo

__all__ = ["METRICS", "kernel_distance", "measure_kid"]

METRICS = {"kid": MetricInfo("KID", "lower", 4, inputs=("extractor", "reference images"))}


def measure_kid(samples: Samples) -> Estimate:
    """Kernel distance between the features of generated and of reference images, which has no unit.

    Raises:
        InputError: A set has fewer than two images, or a feature is not finite.
    """
    return kernel_distance(*samples.sets)


def kernel_distance(x: Tensor, y: Tensor, block: int = 2048) -> Estimate:
    """MMD^2 and its standard error by the jackknife, in float64.

    Args:
        x: Features of shape (m, F), m >= 2.
        y: Features of shape (n, F), n >= 2.
        block: Rows of a kernel matrix that are in memory at once.

    Raises:
        InputError: A set has fewer than two images, or a feature is not finite.
    """
    require_finite(x)
    require_finite(y)
    x = x.double()
    y = y.double()
    xx = _row_sums(x, x, block) - _kernel(x, x)
    yy = _row_sums(y, y, block) - _kernel(y, y)
    return unbiased_mmd(xx, yy, _row_sums(x, y, block), _row_sums(y, x, block))


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """k(a_i, b_i) of the rows of a and b, both (N, F) -> (N,)."""
    return ((a * b).sum(-1) / a.shape[-1] + 1) ** 3


def _row_sums(a: Tensor, b: Tensor, block: int) -> Tensor:
    """sum_j k(a_i, b_j) of the rows of a, (m, F), and b, (n, F) -> (m,)."""
    return torch.cat(
        [(rows @ b.T).div_(a.shape[1]).add_(1).pow_(3).sum(1) for rows in a.split(block)]
    )
