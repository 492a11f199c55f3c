r"""Metrics that need the true distribution: a table p over all images, the sum of K weighted
components w_k p_k.

KL(p || q)      sum_x p(x) (log p(x) - log q(x)), in nats, over the whole table: exact where log q is, an upper bound where
                log q is a lower bound
high quality    share of samples inside the smallest set of cells that holds 99 % of p
modes covered   number of components with at least a tenth of the samples that n draws from p would give them; a sample in
                that set belongs to the component with the largest w_k p_k there

KL has no standard error in a record. Where log q is exact, KL is exact too. Where log q is a bound
or an estimate, it is computed once per image, and its noise is not measured. Where log q is an
integral that is computed in steps, finer steps change KL by as many nats as they change the mean of
-log q, and the step error of the likelihood says how many these are. The standard errors of the
other two metrics are those of random halves of the samples (`genbench.metrics.resampling`).
"""

from __future__ import annotations

import numpy as np

from genbench.metrics.resampling import Estimate, half_sample_error
from genbench.metrics.samples import Samples, present
from genbench.records.catalogue import MetricInfo
from genbench.rng import Rng
from genbench.system.typed import Range

__all__ = [
    "METRICS",
    "high_density",
    "kl_divergence",
    "measure_high_quality",
    "measure_kl",
    "measure_modes_covered",
    "mode_coverage",
    "mode_coverage_errors",
]

METRICS = {
    "modes_covered": MetricInfo(
        "Modes covered", "higher", 1, inputs=("known distribution",), range=Range(0)
    ),
    "high_quality": MetricInfo(
        "High quality", "higher", 3, inputs=("known distribution",), range=Range(0, 1)
    ),
    "kl": MetricInfo(
        "KL(data ‖ model)",
        "lower",
        4,
        inputs=("known distribution", "density"),
        range=Range(-0.01),
    ),
}

_MASS = 0.99
_SHARE = 0.1


def measure_modes_covered(samples: Samples) -> Estimate:
    """How many of the components the generated images cover, with its standard error."""
    return samples.once(coverage_estimates)[0]


def measure_high_quality(samples: Samples) -> Estimate:
    """The share of the generated images that lie in the smallest set of cells with 99 % of the true
    distribution, with its standard error.
    """
    return samples.once(coverage_estimates)[1]


def measure_kl(samples: Samples) -> Estimate:
    """KL(data || model) over the table of all images, in nats, without a standard error."""
    components = present(samples.components, "the true distribution", "kl")
    log_q = present(samples.log_table, "the density of the model", "kl")
    return kl_divergence(components.sum(0).ravel(), log_q), None


def coverage_estimates(samples: Samples) -> tuple[Estimate, Estimate]:
    """Modes covered and the high-quality share, each with its standard error."""
    components = present(samples.components, "the true distribution", "modes_covered")
    points = present(samples.images, "the generated images", "modes_covered").cpu().numpy()
    modes, quality = mode_coverage(points, components)
    modes_error, quality_error = mode_coverage_errors(points, components, samples.rng)
    return (float(modes), modes_error), (quality, quality_error)


def kl_divergence(table: np.ndarray, log_q: np.ndarray) -> float:
    """KL(p || q) in nats.

    Args:
        table: p of every image, (N,). Where it is 0, nothing is added.
        log_q: log q of every image, (N,).
    """
    inside = table > 0
    p = table[inside]
    return float((p * (np.log(p) - log_q[inside])).sum())


def high_density(table: np.ndarray) -> np.ndarray:
    """The smallest set of cells that holds 99 % of the mass.

    Args:
        table: p of every cell, of any shape.

    Returns:
        A mask of the same shape. Of cells with equal p, the first ones are taken.
    """
    order = np.argsort(-table, axis=None, kind="stable")
    needed = int(np.searchsorted(np.cumsum(table.ravel()[order]), _MASS)) + 1
    mask = np.zeros(table.size, dtype=bool)
    mask[order[:needed]] = True
    return mask.reshape(table.shape)


def mode_coverage(points: np.ndarray, components: np.ndarray) -> tuple[int, float]:
    """Modes covered and the high-quality share.

    Args:
        points: Samples, integers (N, 1, 1, 2).
        components: w_k p_k, (K, L, L), with L levels.

    Returns:
        A number from 0 to K, and a share from 0 to 1.
    """
    cells = tuple(points[:, 0, 0, :].T)
    inside = high_density(components.sum(0))[cells]
    owner = components.argmax(0)[cells][inside]
    counts = np.bincount(owner, minlength=len(components))
    expected = len(points) * components.sum((1, 2))
    return int((counts >= _SHARE * expected).sum()), float(inside.mean())


def mode_coverage_errors(
    points: np.ndarray, components: np.ndarray, rng: Rng
) -> tuple[float | None, float | None]:
    """Standard errors of modes covered and of the high-quality share.

    Args:
        points: Samples, integers (N, 1, 1, 2).
        components: w_k p_k, (K, L, L), with L levels.
        rng: One stream for each random half of the samples.

    Returns:
        Two errors; None where there are fewer than two samples.
    """

    def error(which: int) -> float | None:
        return half_sample_error(
            lambda a: float(mode_coverage(points[a.numpy()], components)[which]),
            (len(points),),
            rng,
        )

    return error(0), error(1)
