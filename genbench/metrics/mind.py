r"""Sliced Wasserstein distance between two feature sets (MIND, the Monge Inception Distance, where
the features are Inception's).

    MIND = 3 F / M  sum_k W_2^2(u_k . x, u_k . r)           (Berthet et al. 2026)
    W_2^2(p, q) = integral over t in (0, 1) of (P^-1(t) - Q^-1(t))^2

F is the length of a feature vector; u_1, ..., u_M are M = 1,000 directions, uniform on the sphere.
P^-1 and Q^-1 are the quantile functions of the projections, that is, the sorted projections: for
sets of one size the integral is the mean of (p_(i) - q_(i))^2 over the ranks i. No covariance is
estimated. A shift of all features by a vector d gives 3 |d|^2, where FID gives |d|^2.

The value is that of torch-fidelity (since May 2026) for sets of one size. Where two sets have
different sizes, torch-fidelity drops images of the larger one; here the integral is taken over all
images, which gives a smaller value. Like that of FID, the expectation falls as the sets grow: only
values of equal sizes are compared.

The directions are the same for every measurement, so that they add nothing to a difference between
two models. The error is that of the images, by `half_sample_error`, along the first 100 directions.
They estimate the spread as well as all directions do, in a tenth of the time.

References:
    Berthet, Wu, Crepy, Elie, Greff, Sander (2026), MIND: Monge Inception Distance for generative
    models evaluation. arXiv:2605.06797
"""

from __future__ import annotations

from functools import cache, lru_cache

import torch
from torch import Tensor

from genbench.metrics.finite import require_finite
from genbench.metrics.resampling import Estimate, half_sample_error
from genbench.metrics.samples import Samples
from genbench.records.catalogue import MetricInfo
from genbench.rng import Rng
from genbench.system.typed import Range

__all__ = [
    "METRICS",
    "Projections",
    "measure_mind",
    "mind",
    "mind_error",
    "projected_before",
    "unit_vectors",
    "wasserstein_squared",
]

METRICS = {
    "mind": MetricInfo(
        "MIND", "lower", 2, inputs=("extractor", "reference images"), range=Range(0)
    ),
}

DIRECTIONS = 1000
DIRECTIONS_OF_ERROR = 100


def measure_mind(samples: Samples) -> Estimate:
    """MIND between generated and reference images, and its standard error."""
    x, r = samples.sets
    return mind(x, r), mind_error(x, r, samples.rng.to(x.device))


def mind_error(x: Tensor, r: Tensor, rng: Rng) -> float | None:
    """Standard error of MIND over generated and reference images, one half per stream.

    Args:
        x: Features of shape (n, F).
        r: Features of shape (m, F).
        rng: One stream per draw of halves.

    Returns:
        The error; None with fewer than 4 images in a set.
    """
    u = unit_vectors(x.shape[1], DIRECTIONS_OF_ERROR).to(x.device)
    generated = Projections(x, u)
    reference = projected_before(r, DIRECTIONS_OF_ERROR)

    def of_halves(a: Tensor, b: Tensor) -> float:
        return sliced_distance(generated.of(a), reference.of(b), x.shape[1])

    return half_sample_error(of_halves, (len(x), len(r)), rng, least=2)


def mind(x: Tensor, r: Tensor, u: Tensor | None = None) -> float:
    """MIND between two feature sets, in float64.

    Args:
        x: Features of shape (n, F).
        r: Features of shape (m, F).
        u: Directions, unit vectors (M, F); None: the 1,000 that the metric uses.
    """
    require_finite(x)
    require_finite(r)
    if u is None:
        u = unit_vectors(x.shape[1]).to(x.device)
        reference = projected_before(r, DIRECTIONS)
    else:
        reference = Projections(r, u)
    return sliced_distance(Projections(x, u).values, reference.values, x.shape[1])


def sliced_distance(p: Tensor, q: Tensor, features: int) -> float:
    """3 F times the mean over the directions of W_2^2, from sorted projections."""
    return 3 * features * float(wasserstein_squared(p, q).mean())


@cache
def unit_vectors(features: int, count: int = DIRECTIONS) -> Tensor:
    """Directions, uniform on the sphere and always the same, (count, F), float64."""
    rng = Rng(0, range(count), torch.float64).split("directions of slices")
    return torch.nn.functional.normalize(rng.normal((features,)), dim=1)


class Projections:
    """Features along directions, sorted once. Those of a part of the images are sorted then too.

    Args:
        x: Features of shape (n, F).
        u: Unit vectors of shape (M, F).

    Attributes:
        values: Sorted projections, (M, n), float64.
        order: Which image each of them belongs to, (M, n).
    """

    def __init__(self, x: Tensor, u: Tensor) -> None:
        self.values, self.order = (u @ x.double().T).sort(dim=1)

    def of(self, images: Tensor) -> Tensor:
        """Sorted projections of the k images that a mask, bool (n,), chooses: (M, k)."""
        return self.values[images[self.order]].unflatten(0, (len(self.values), -1))


def projected_before(r: Tensor, count: int) -> Projections:
    """Features along `unit_vectors`, sorted once in a process for all samples that are held against
    the same reference.

    Args:
        r: Features of shape (m, F).
        count: Number of directions.
    """
    values = r.detach().double().cpu()
    return _projected(values.numpy().tobytes(), r.shape[1], count, str(r.device))


@lru_cache(maxsize=2)
def _projected(features: bytes, length: int, count: int, device: str) -> Projections:
    """The projections of features in float64, from their bytes."""
    r = torch.frombuffer(bytearray(features), dtype=torch.float64).unflatten(0, (-1, length))
    return Projections(r.to(device), unit_vectors(length, count).to(device))


def wasserstein_squared(p: Tensor, q: Tensor) -> Tensor:
    """W_2^2 between two sets of points on a line, for each of M lines: (M,).

    Args:
        p: Points in ascending order, (M, n).
        q: Points in ascending order, (M, m).
    """
    n = p.shape[1]
    m = q.shape[1]
    # The quantile functions jump at multiples of 1/n and of 1/m: at integers in units of 1/(n m).
    of_p = torch.arange(1, n + 1, device=p.device) * m
    of_q = torch.arange(1, m + 1, device=p.device) * n
    ends = torch.cat((of_p, of_q)).unique()
    lengths = ends.diff(prepend=ends.new_zeros(1)).to(p.dtype) / (n * m)
    gap = p[:, (ends - 1) // m] - q[:, (ends - 1) // n]
    return gap.square() @ lengths
