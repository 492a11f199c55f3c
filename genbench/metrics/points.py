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

from genbench.metrics.resampling import half_sample_error
from genbench.rng import Rng

__all__ = ["high_density", "kl_divergence", "mode_coverage", "mode_coverage_errors"]

_MASS = 0.99
_SHARE = 0.1


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
        points: Samples, uint8 (N, 1, 1, 2).
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
