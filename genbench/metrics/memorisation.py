r"""Memorisation: how many samples are nearer to the training set than held-out images are.

    d(z) = min_t ||z - t||, t the training images, in feature space
    memorisation = P[ d(x) < q ],   q such that P[ d(r) < q ] = 0.05 over held-out images r

The share of samples that are nearer to a training image than all but the nearest 5 % of held-out images: 0.05 for fresh data of
the same distribution, 1 for copies of training images, and 0.05 + 0.95 c, at most, where a share c of fresh data are replaced by
copies. It is the true positive rate at a false positive rate of 5 % of "nearer means copied" (Carlini et al. 2022), and looks
at the near tail alone: samples of poor quality, far from everything, do not hide copies, as they do in a mean or a rank sum
(Meehan et al. 2020). Ties count in proportion, by a straight line between the neighbouring points of the curve, so that discrete
data, of which held-out images may be exact copies, keep 0.05 as neutral value.

Below 0.05 says that samples are far from the data, not that they are private. A generator of typical images only is above it too.

References:
    Meehan, Chaudhuri, Dasgupta (2020), A non-parametric test to detect data-copying in generative models. arXiv:2004.05675
    Carlini et al. (2022), Membership inference attacks from first principles. arXiv:2112.03570
"""

from __future__ import annotations

from torch import Tensor

from genbench.errors import InputError
from genbench.metrics.finite import require_finite
from genbench.metrics.neighbours import nearest_distance
from genbench.metrics.resampling import Estimate, half_sample_error
from genbench.rng import Rng

__all__ = ["memorisation", "tail_share"]

TAIL = 0.05


def memorisation(x: Tensor, r: Tensor, train: Tensor, rng: Rng) -> Estimate:
    """The share and its standard error over samples and held-out images; the training set is fixed.

    Args:
        x: Generated features of shape (n, F).
        r: Held-out features of shape (m, F), m >= 20.
        train: Features of the training images, (N, F).
        rng: One stream per half that is drawn for the error.
    """
    if len(r) * TAIL < 1 or not len(train) or not len(x):
        raise InputError(f"memorisation needs samples, training images and at least {1 / TAIL:.0f} held-out ones, not {len(r)}")
    for rows, image in ((x, "generated image"), (r, "reference image"), (train, "training image")):
        require_finite(rows, image)
    d_x, d_r = nearest_distance(x, train), nearest_distance(r, train)
    error = half_sample_error(lambda a, b: tail_share(d_x[a], d_r[b]), (len(x), len(r)), rng, least=round(1 / TAIL))
    return tail_share(d_x, d_r), error


def tail_share(d_x: Tensor, d_r: Tensor, tail: float = TAIL) -> float:
    """Share of d_x, (n,), below the quantile `tail` of d_r, (m,), both float64; ties by interpolation."""
    ordered = d_r.sort().values
    # the distance at which the held-out share passes `tail`, and both shares before and with it; a share is a whole number / m
    q = ordered[min(int(tail * len(ordered) + 1e-9), len(ordered) - 1)]
    before, upto = (
        ((d_x < q).double().mean(), (d_r < q).double().mean()),
        ((d_x <= q).double().mean(), (d_r <= q).double().mean()),
    )
    return (before[0] + (upto[0] - before[0]) * (tail - before[1]) / (upto[1] - before[1])).item()
