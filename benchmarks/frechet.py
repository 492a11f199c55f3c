"""Fréchet distance against the route of `scipy.linalg.sqrtm`, at 2048 features in float64.

    python benchmarks/frechet.py [--features 2048] [--rounds 3] [--threads 1]

Both take the same means and covariances, in turns: more images than features, fewer in one set or in both, and a spectrum so
steep that the fast way would lose digits. CPU seconds, which other users of the machine change little; the ratio of the medians
is what counts. Set OMP_NUM_THREADS too: scipy reads it when it starts.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from genbench.metrics.frechet import frechet_distance, moments
from genbench.rng import Rng


def by_sqrtm(mean_1: Tensor, cov_1: Tensor, mean_2: Tensor, cov_2: Tensor) -> float:
    """d^2 as the original code computes it; a small multiple of the identity where the product is singular."""
    m_1, C_1, m_2, C_2 = (value.numpy() for value in (mean_1, cov_1, mean_2, cov_2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = sqrtm(C_1 @ C_2)
    if not np.isfinite(root).all():
        offset = 1e-6 * np.eye(len(C_1))
        root = sqrtm((C_1 + offset) @ (C_2 + offset))
    return float(((m_1 - m_2) ** 2).sum() + np.trace(C_1) + np.trace(C_2) - 2 * np.trace(root).real)


def features(purpose: str, n: int, width: int, shift: float, power: float) -> Tensor:
    """Correlated features whose covariance has the eigenvalues i^-power."""
    rotation = torch.linalg.qr(
        Rng(0, range(width), torch.float64).split("rotation").normal((width,))
    )[0]
    scale = torch.arange(1, width + 1, dtype=torch.float64) ** (-power / 2)
    return (
        Rng(0, range(n), torch.float64).split(purpose).normal((width,)) * scale @ rotation
        + shift / width**0.5
    )


def timed(distance: Callable[..., float], *given: Tensor) -> tuple[float, float]:
    start = time.process_time()
    value = distance(*given)
    return time.process_time() - start, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    width = given.features
    cases = (
        (2 * width, 3 * width, 1.5),
        (width // 2, 3 * width, 1.5),
        (width // 2, width // 3, 1.5),
        (2 * width, 3 * width, 3.0),
    )
    for n, m, power in cases:
        pair = (
            *moments(features("x", n, width, 0.1, power)),
            *moments(features("r", m, width, 0.0, power)),
        )
        rounds = [
            (timed(frechet_distance, *pair), timed(by_sqrtm, *pair)) for _ in range(given.rounds)
        ]
        cholesky, sqrtm = (statistics.median(run[i][0] for run in rounds) for i in (0, 1))
        values = rounds[0][0][1], rounds[0][1][1]
        print(
            f"{n} and {m} images, eigenvalues i^-{power}: {cholesky:.2f} s, sqrtm {sqrtm:.2f} s, ratio {sqrtm / cholesky:.1f}; "
            f"d^2 {values[0]:.9g} and {values[1]:.9g}",
            flush=True,
        )


if __name__ == "__main__":
    main()
