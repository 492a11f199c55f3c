r"""Memorisation: how many samples are nearer to the training set than held-out images are.

    d(z) = min_t ||z - t||, t the training images, in feature space
    r_(1) <= ... <= r_(m)     distances d of the held-out images, in order
    F(k) = P[ d(x) < r_(k) ]
    memorisation = (1 - f) F(k) + f F(k + 1),   k + f = 0.05 (m + 1),  0 <= f < 1

The share of samples that are nearer to a training image than all but the nearest 5 % of held-out
images: 0.05 for fresh data of the same distribution, 1 for copies of training images, and 0.05 +
0.95 c, at most, where a share c of fresh data are replaced by copies. The neutral value is exact
for every m: among m held-out images and one fresh one, all ranks are equally likely, so that E F(k)
= k / (m + 1).

It is the true positive rate at a false positive rate of 5 % of "nearer means copied" (Carlini et
al. 2022), and looks at the near tail alone: samples of poor quality, far from everything, do not
hide copies, as they do in a mean or a rank sum (Meehan et al. 2020). Ties count as if they were
broken at random, so that discrete data, of which held-out images may be exact copies, keep 0.05 as
neutral value.

A value below 0.05 says that samples are far from the data, not that they are private. A generator
that makes only typical images also has a value above 0.05.

References:
    Meehan, Chaudhuri, Dasgupta (2020), A non-parametric test to detect data-copying in generative
        models. arXiv:2004.05675
    Carlini et al. (2022), Membership inference attacks from first principles. arXiv:2112.03570
"""

from __future__ import annotations

import math

from torch import Tensor

from genbench.errors import InputError
from genbench.metrics.finite import require_finite
from genbench.metrics.neighbours import nearest_distance
from genbench.metrics.resampling import Estimate, half_sample_error
from genbench.metrics.samples import Samples, present
from genbench.records.catalogue import MetricInfo
from genbench.rng import Rng
from genbench.system.typed import Range

__all__ = ["METRICS", "measure_memorisation", "memorisation", "share_before", "tail_share"]

METRICS = {
    # The value is 0.05 for fresh data and 1 for copies, so that neither direction is better.
    "memorisation": MetricInfo(
        "Memorisation",
        None,
        3,
        inputs=("extractor", "reference images", "training images"),
        range=Range(0, 1),
    ),
}

TAIL = 0.05


def measure_memorisation(samples: Samples) -> Estimate:
    """The share of generated images that are nearer to the training images than held-out ones."""
    training = present(samples.training, "the features of the training images", "memorisation")
    x, r = samples.sets
    return memorisation(x, r, training, samples.rng.to(x.device))


def memorisation(x: Tensor, r: Tensor, training: Tensor, rng: Rng) -> Estimate:
    """The share and its standard error over samples and held-out images; the training set is fixed.

    Args:
        x: Generated features of shape (n, F).
        r: Held-out features of shape (m, F), m >= 20.
        training: Features of the training images, (N, F).
        rng: One stream per half that is drawn for the error.
    """
    if len(r) * TAIL < 1 or not len(training) or not len(x):
        raise InputError(
            f"memorisation needs samples, training images and at least {1 / TAIL:.0f} held-out "
            f"ones, not {len(r)}"
        )
    for rows, image in (
        (x, "generated image"),
        (r, "reference image"),
        (training, "training image"),
    ):
        require_finite(rows, image)
    d_x = nearest_distance(x, training)
    d_r = nearest_distance(r, training)
    error = half_sample_error(
        lambda a, b: tail_share(d_x[a], d_r[b]), (len(x), len(r)), rng, least=round(1 / TAIL)
    )
    return tail_share(d_x, d_r), error


def tail_share(d_x: Tensor, d_r: Tensor, tail: float = TAIL) -> float:
    """F of the module's docstring at rank tail (m + 1) of the held-out distances.

    Args:
        d_x: Distances of the samples, (n,).
        d_r: Distances of the held-out images, (m,) with tail (m + 1) < m.
        tail: The neutral value: the expected share for samples of the held-out images'
            distribution.
    """
    ordered = d_r.sort().values
    rank = tail * (len(ordered) + 1)
    k = math.floor(rank + 1e-9)
    fraction = max(rank - k, 0.0)
    return (1 - fraction) * share_before(d_x, ordered, k) + fraction * share_before(
        d_x, ordered, k + 1
    )


def share_before(d_x: Tensor, ordered: Tensor, k: int) -> float:
    """Expected share of d_x, (n,), before the k-th of the ordered distances (m,), k >= 0, if ties
    are broken at random.

    Where the distance of a sample ties with those of t held-out images, each of the t + 1 places
    among them is equally likely: the sample comes before the j-th of them with probability j / (t +
    1).
    """
    if k == 0:
        return 0.0
    distance = ordered[k - 1]
    nearer = int((ordered < distance).sum())
    tied = int((ordered == distance).sum())
    before = (d_x < distance).double().mean()
    equal = (d_x == distance).double().mean()
    return float(before + equal * (k - nearer) / (tied + 1))
