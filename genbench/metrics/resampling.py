r"""Standard error of a sample metric within a run: the delete-half jackknife.

    se^2 = 1/(D - 1) sum_d (t_d - mean t)^2,   t_d the metric of a random half of every set     (Shao & Wu 1989, eq. 2.4, d = n/2)

A half is drawn without replacement, so that no image is in it twice. A bootstrap would put copies of
images into a set, and the nearest neighbour of a copy is at the distance 0, which distorts radii,
recall, coverage and distances to a training set.

The variance of t_d over the halves of n images estimates the variance of the metric of n images over
new sets: the factor of the jackknife is the number of images kept over the number left out, which is
1. A metric whose expectation depends on n has another mean over halves; it cancels, since only the
spread counts.

The error is too large where a metric is not smooth: by up to sqrt(3) for a distance between equal
distributions, whose first-order term is zero, and by up to a third for shares of images in balls,
most where the share is near one.

References:
    Shao, Wu (1989), A general theory for jackknife variance estimation. doi:10.1214/aos/1176347263
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from genbench.rng import Rng

__all__ = ["Estimate", "half_sample_error", "halves"]

Estimate = tuple[float, float | None]
"""A value and its standard error, which is None where there is none, or too few images for one."""


def halves(n: int, rng: Rng) -> Tensor:
    """Random halves of n images.

    Args:
        n: Number of images.
        rng: One stream for each half, D in all.

    Returns:
        Masks, bool (D, n), each of floor(n / 2) images.
    """
    chosen = rng.bits((n,)).argsort(dim=1, stable=True)[:, : n // 2]
    return torch.zeros(len(rng), n, dtype=torch.bool, device=rng.device).scatter_(1, chosen, True)


def half_sample_error(
    statistic: Callable[..., float], sizes: Sequence[int], rng: Rng, least: int = 1
) -> float | None:
    """Standard error of a statistic of one or more sets.

    Args:
        statistic: A function of one mask, bool (n,), per set: which of its images count.
        sizes: Number n of images of each set.
        rng: One stream for each draw of halves. 50 of them give the error to about a tenth of it.
        least: Images of each set that the statistic needs.

    Returns:
        The error, in the unit of the statistic; None where a half has fewer than `least` images, or
        where there are fewer than two streams.
    """
    if min(sizes) // 2 < least or len(rng) < 2:
        return None
    masks = [halves(n, rng.split("half", i)) for i, n in enumerate(sizes)]
    return (
        torch.tensor([statistic(*draw) for draw in zip(*masks)], dtype=torch.float64).std().item()
    )
