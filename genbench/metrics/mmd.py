r"""Squared maximum mean discrepancy between two sets, without bias, and its standard error.

    MMD^2 = 1/(m (m-1)) sum_{i != j} k(x_i, x_j) + 1/(n (n-1)) sum_{i != j} k(y_i, y_j)
            - 2/(m n) sum_{i, j} k(x_i, y_j)                            (Gretton et al. 2012, eq. 3)

It is computed over all images at once, so that nothing is drawn at random. It can be negative. Its
standard error is that of the jackknife of two samples: the variances from leaving out one x_i and
one y_j are added. Leaving out image i changes the sums by the row sums of i alone, and so a kernel
enters by its row sums: the polynomial one gives the kernel distance (KID), k = -||x - y|| the
energy distance.

References:
    Gretton et al. (2012), A kernel two-sample test. JMLR 13
    Efron, Stein (1981), The jackknife estimate of variance. doi:10.1214/aos/1176345462
"""

from __future__ import annotations

from torch import Tensor

from genbench.errors import InputError
from genbench.metrics.resampling import Estimate

__all__ = ["require_pairs", "unbiased_mmd"]


def unbiased_mmd(xx: Tensor, yy: Tensor, xy: Tensor, yx: Tensor) -> Estimate:
    """MMD^2 and its standard error, from the row sums of a kernel k.

    Args:
        xx: sum_{j != i} k(x_i, x_j), of shape (m,), m >= 2.
        yy: sum_{j != i} k(y_i, y_j), of shape (n,), n >= 2.
        xy: sum_j k(x_i, y_j), of shape (m,).
        yx: sum_i k(x_i, y_j), of shape (n,).

    Returns:
        The value and its error, in the unit of k; the error is None if a set has two images.

    Raises:
        InputError: A set has fewer than two images.
    """
    m = len(xx)
    n = len(yy)
    require_pairs(m, n)
    value = (xx.sum() / (m * (m - 1)) + yy.sum() / (n * (n - 1)) - 2 * xy.sum() / (m * n)).item()
    if min(m, n) < 3:
        return value, None
    return value, (_jackknife(xx, xy, n) + _jackknife(yy, yx, m)).sqrt().item()


def require_pairs(m: int, n: int) -> None:
    """Refuse sets without a pair of images.

    Args:
        m: Images of the first set.
        n: Of the second.

    Raises:
        InputError: A set has fewer than two images.
    """
    if min(m, n) < 2:
        raise InputError(
            f"kernel and energy distance need at least 2 images in each set, not {m} and {n}"
        )


def _jackknife(within: Tensor, across: Tensor, others: int) -> Tensor:
    """The share of one set in the variance: (m - 1)/m sum_i (MMD^2_{-i} - mean)^2, where MMD^2_{-i}
    is the estimate without image i of that set.

    Args:
        within: sum_{j != i} k(x_i, x_j), of shape (m,).
        across: sum_j k(x_i, y_j), of shape (m,).
        others: Size of the other set.
    """
    m = len(within)
    left_out = (within.sum() - 2 * within) / ((m - 1) * (m - 2)) - 2 * (across.sum() - across) / (
        (m - 1) * others
    )
    return (m - 1) * left_out.var(correction=0)
