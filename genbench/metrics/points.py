r"""Measurements that need the true distribution: a table p over all images, split into weighted
components w_k p_k.

KL(p || q)      sum_x p(x) (log p(x) - log q(x)), in nats, over the whole table: exact where log q is, an upper bound where
                log q is a lower bound
high quality    share of samples inside the smallest set of cells that holds 99 % of p
modes covered   number of components with at least a tenth of the samples that n draws from p would give them; a sample in
                that set belongs to the component with the largest w_k p_k there

KL draws nothing and has no standard error in a record: it is exact where log q is, and where that
is a bound, the noise of its one estimate per image is not measured; the other two have that of
random halves of the samples. Where log q is an integral taken in steps, finer steps move KL by as
many nats as they move the mean of -log q, which the likelihood's step error measures.
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
    """How many components the generated images reach."""
    return samples.once(coverage_estimates)[0]


def measure_high_quality(samples: Samples) -> Estimate:
    """The share of generated images where 99 % of the true distribution lies."""
    return samples.once(coverage_estimates)[1]


def measure_kl(samples: Samples) -> Estimate:
    """KL(data || model) over the table of all images."""
    components = present(samples.components, "the true distribution", "kl")
    log_q = present(samples.log_table, "the density of the model", "kl")
    return kl_divergence(components.sum(0).ravel(), log_q), None


def coverage_estimates(samples: Samples) -> tuple[Estimate, Estimate]:
    """Modes covered and the high-quality share, each with its error."""
    components = present(samples.components, "the true distribution", "modes_covered")
    points = present(samples.images, "the generated images", "modes_covered").cpu().numpy()
    modes, quality = mode_coverage(points, components)
    modes_error, quality_error = mode_coverage_errors(points, components, samples.rng)
    return (float(modes), modes_error), (quality, quality_error)


def kl_divergence(table: np.ndarray, log_q: np.ndarray) -> float:
    """KL(p || q) in nats. Both arguments have one entry per image; cells without mass do not count."""
    inside = table > 0
    p = table[inside]
    return float((p * (np.log(p) - log_q[inside])).sum())


def high_density(table: np.ndarray) -> np.ndarray:
    """The smallest set of cells that holds 99 % of the mass, as a mask."""
    order = np.argsort(-table, axis=None, kind="stable")
    needed = int(np.searchsorted(np.cumsum(table.ravel()[order]), _MASS)) + 1
    mask = np.zeros(table.size, dtype=bool)
    mask[order[:needed]] = True
    return mask.reshape(table.shape)


def mode_coverage(points: np.ndarray, components: np.ndarray) -> tuple[int, float]:
    """Modes covered and the high-quality share.

    Args:
        points: Samples, integers (N, 1, 1, 2).
        components: w_k p_k, (K, L, L).
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

    One half of the samples per stream of the generator.
    """

    def error(which: int) -> float | None:
        return half_sample_error(
            lambda a: float(mode_coverage(points[a.numpy()], components)[which]),
            (len(points),),
            rng,
        )

    return error(0), error(1)
