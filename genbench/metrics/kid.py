r"""Kernel distance between two feature sets (KID where the features are Inception's).

    k(a, b) = (a . b / F + 1)^3,   F the length of a feature vector
    MMD^2 = 1/(m (m-1)) sum_{i != j} k(x_i, x_j) + 1/(n (n-1)) sum_{i != j} k(y_i, y_j) - 2/(m n) sum_{i, j} k(x_i, y_j)

The unbiased estimate over all images at once, not a mean over random subsets: nothing is drawn, and it can be negative. Its
standard error is the two-sample jackknife: leaving image i out changes the sums by the row sums of i alone.

References:
    Binkowski et al. (2018), Demystifying MMD GANs. arXiv:1801.01401
    Efron, Stein (1981), The jackknife estimate of variance. doi:10.1214/aos/1176345462
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["kernel_distance"]


def kernel_distance(x: Tensor, y: Tensor, block: int = 2048) -> tuple[float, float]:
    """MMD^2 and its standard error, in float64.

    Args:
        x: Features of shape (m, F), m >= 3.
        y: Features of shape (n, F), n >= 3.
        block: Rows of a kernel matrix that are in memory at once.
    """
    if min(len(x), len(y)) < 3:
        raise ValueError(f"kernel distance: each set needs at least 3 images, not {len(x)} and {len(y)}")
    x, y = x.double(), y.double()
    xx, yy = _row_sums(x, x, block) - _kernel(x, x), _row_sums(y, y, block) - _kernel(y, y)
    xy, yx = _row_sums(x, y, block), _row_sums(y, x, block)
    value = _mean_pair(xx) + _mean_pair(yy) - 2 * xy.mean() / len(y)
    variance = _jackknife(xx, xy, len(y)) + _jackknife(yy, yx, len(x))
    return value.item(), variance.sqrt().item()


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    """k(a_i, b_i), pair by pair."""
    return ((a * b).sum(-1) / a.shape[-1] + 1) ** 3


def _row_sums(a: Tensor, b: Tensor, block: int) -> Tensor:
    """sum_j k(a_i, b_j)."""
    return torch.cat([((rows @ b.T / a.shape[1] + 1) ** 3).sum(1) for rows in a.split(block)])


def _mean_pair(rows: Tensor) -> Tensor:
    return rows.sum() / (len(rows) * (len(rows) - 1))


def _jackknife(within: Tensor, across: Tensor, others: int) -> Tensor:
    """Variance from leaving out one image of a set at a time, (m - 1)/m sum_i (MMD^2_{-i} - mean)^2.

    Args:
        within: sum_{j != i} k(x_i, x_j), of shape (m,).
        across: sum_j k(x_i, y_j), of shape (m,).
        others: Size of the other set.
    """
    m = len(within)
    left_out = (within.sum() - 2 * within) / ((m - 1) * (m - 2)) - 2 * (across.sum() - across) / ((m - 1) * others)
    return (m - 1) * left_out.var(correction=0)
