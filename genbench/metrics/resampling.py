r"""Standard error of a sample metric within a run: the delete-half jackknife.

    se^2 = 1/(D - 1) sum_d (t_d - mean t)^2,   t_d the metric of a random half of every set     (Shao & Wu 1989, eq. 2.4, d = n/2)

A half is drawn without replacement, so the metric of a half means what it means for the whole: a
bootstrap puts copies into a set, and a copy is its own nearest neighbour at distance zero, which
breaks radii, recall, coverage and distances to a training set. The variance of a half of n, given
the n, is that of n itself: n/2 kept and n/2 left out make the jackknife's factor one. That the
level of a metric moves with n does no harm, since only the spread counts.

It errs on the safe side where a metric is not smooth: for a distance between equal distributions,
whose first order vanishes, it is too large by up to sqrt(3); for shares of images in balls, by up
to a third, most where the share is near one.

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
"""A value and its standard error; None: there is none, or too few images for one."""


def halves(n: int, rng: Rng) -> Tensor:
    """Masks, bool (D, n): floor(n / 2) of n images each, without replacement, one per stream of the
    generator.
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
        rng: One stream per draw; 50 of them give the error to a tenth.
        least: Images of each set that the statistic needs; None is returned where a half has fewer.
    """
    if min(sizes) // 2 < least or len(rng) < 2:
        return None
    masks = [halves(n, rng.split("half", i)) for i, n in enumerate(sizes)]
    return (
        torch.tensor([statistic(*draw) for draw in zip(*masks)], dtype=torch.float64).std().item()
    )
