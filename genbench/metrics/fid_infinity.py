r"""Fréchet distance extrapolated to infinitely many generated images.

    FID_N = FID_inf + b / N + o(1 / N)                                                            (Chong & Forsyth 2020, sec. 3)

The bias b depends on the model, so that FID at equal N ranks models wrongly. FID is measured on 15
draws of N of the n generated images without replacement, N evenly spaced from n / 2 to n, each
against the whole reference; a line in 1 / N through them by least squares has the intercept
FID_inf. (The paper, which has n = 50,000, starts from N = n / 10. For smaller n, n / 10 is no
longer many times F, and there the points do not lie on a line.) The reference is that of the
protocol and does not change: the bias that comes from its size is also in FID_inf. The estimate can
be negative where the distance is near zero.

Its standard error has two parts whose squares are added: the error of the line, from the scatter of
the draws about it, and the error from the n images which all draws share. The second part is, to
first order, the error of FID itself (`half_sample_error`): draws of different N have the same
first-order term, and the weights of the intercept sum to one.

References:
    Chong, Forsyth (2020), Effectively unbiased FID and inception score and where to find them.
    arXiv:1911.07023
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.errors import InputError
from genbench.metrics.frechet import fid, frechet_distance, moments
from genbench.metrics.resampling import Estimate, half_sample_error
from genbench.metrics.samples import Samples
from genbench.records.catalogue import MetricInfo
from genbench.rng import Rng
from genbench.system.typed import Range

__all__ = [
    "METRICS",
    "fid_error",
    "fid_infinity",
    "intercept",
    "measure_fid",
    "measure_fid_infinity",
]

METRICS = {
    "fid": MetricInfo("FID", "lower", 2, inputs=("extractor",), range=Range(-0.01)),
    "fid_infinity": MetricInfo(
        "FID∞", "lower", 2, inputs=("extractor", "reference images"), images=30
    ),
}

_POINTS = 15
_SMALLEST = 0.5


def measure_fid(samples: Samples) -> Estimate:
    """FID and its standard error. Where only the moments of the reference are known, the error is
    that of the generated images alone.
    """
    if samples.moments is None:
        return samples.once(fid_estimate)
    x = samples.x
    mean, covariance = samples.moments
    distance = lambda a: frechet_distance(*moments(x[a]), mean, covariance)  # noqa: E731
    whole = torch.ones(len(x), dtype=torch.bool, device=x.device)
    return distance(whole), half_sample_error(
        distance, (len(x),), samples.rng.to(x.device), least=2
    )


def measure_fid_infinity(samples: Samples) -> Estimate:
    """FID extrapolated to infinitely many generated images, and its standard error."""
    _, sampling_error = samples.once(fid_estimate)
    x, r = samples.sets
    return fid_infinity(x, r, samples.rng.to(x.device), sampling_error)


def fid_estimate(samples: Samples) -> Estimate:
    """FID between generated and reference images, and its standard error."""
    x, r = samples.sets
    return fid(x, r), fid_error(x, r, samples.rng.to(x.device))


def fid_infinity(x: Tensor, r: Tensor, rng: Rng, sampling_error: float | None = None) -> Estimate:
    """FID_inf and its standard error.

    Args:
        x: Generated features of shape (n, F), n >= 30.
        r: Reference features of shape (m, F).
        rng: At least 15 streams: one per draw.
        sampling_error: Standard error of FID, where it is known; it is `fid_error` otherwise.
    """
    if len(x) < 2 * _POINTS or len(rng) < _POINTS:
        needs = f"at least {2 * _POINTS} generated images and {_POINTS} draws"
        raise InputError(f"fid_infinity needs {needs}, not {len(x)} and {len(rng)}")
    sizes = torch.linspace(_SMALLEST * len(x), len(x), _POINTS, dtype=torch.float64).round().long()
    orders = rng[:_POINTS].split("fid_infinity").bits((len(x),)).argsort(dim=1, stable=True)
    reference = moments(r)
    distances = [
        frechet_distance(*moments(x[order[:n]]), *reference)
        for order, n in zip(orders, sizes.tolist())
    ]
    value, line_error = intercept(1 / sizes.double(), torch.tensor(distances, dtype=torch.float64))
    sampling_error = fid_error(x, r, rng) if sampling_error is None else sampling_error
    return value, None if sampling_error is None else math.hypot(line_error, sampling_error)


def fid_error(x: Tensor, r: Tensor, rng: Rng) -> float | None:
    """Standard error of FID over generated and reference images, one half per stream."""
    return half_sample_error(lambda a, b: fid(x[a], r[b]), (len(x), len(r)), rng, least=2)


def intercept(u: Tensor, d: Tensor) -> tuple[float, float]:
    """Intercept of the least-squares line through points (u, d), each (P,) float64, and its
    standard error.
    """
    spread = (u - u.mean()).square().sum()
    slope = ((u - u.mean()) * d).sum() / spread
    value = d.mean() - slope * u.mean()
    variance = (d - value - slope * u).square().sum() / (len(u) - 2)
    return value.item(), (variance * (1 / len(u) + u.mean().square() / spread)).sqrt().item()
