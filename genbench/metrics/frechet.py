r"""Fréchet distance between the Gaussians of two feature sets (FID where the features are
Inception's).

    d^2 = ||m_1 - m_2||^2 + tr C_1 + tr C_2 - 2 tr (C_1^{1/2} C_2 C_1^{1/2})^{1/2}          (Heusel et al. 2017, eq. 6)

m and C are the mean and the unbiased covariance (divisor n - 1), all in float64. With any factors
C_i = R_i R_i^T the last trace is the sum of the singular values of K = R_1^T R_2. R is the Cholesky
factor with pivots, which has as many columns as C has rank: with fewer images than features it has
few columns, and K is small. The roots of the eigenvalues of K K^T are these singular values, in a
quarter of the time. Where squaring might cost digits, as for equal sets, K itself is decomposed.

References:
    Heusel et al. (2017), GANs trained by a two time-scale update rule converge to a local Nash
        equilibrium. arXiv:1706.08500
    Dowson, Landau (1982), The Fréchet distance between multivariate normal distributions.
        doi:10.1016/0047-259X(82)90077-X
    Higham (1990), Analysis of the Cholesky decomposition of a semi-definite matrix.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.linalg.lapack import dpstrf
from torch import Tensor
from torchmetrics import Metric

from genbench.data.arrays import refuse_bomb
from genbench.errors import InputError
from genbench.metrics.finite import require_finite
from genbench.system.files import BROKEN_ARRAY, open_regular

__all__ = ["GaussianStatistics", "fid", "frechet_distance", "load_statistics", "moments"]


class GaussianStatistics(Metric):
    """Mean and covariance of a stream of features. They are computed in one pass, by sums in
    float64 that are added up over processes.

    Args:
        features: Length F of a feature vector.
    """

    count: Tensor
    total: Tensor
    outer: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(features, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state(
            "outer", torch.zeros(features, features, dtype=torch.float64), dist_reduce_fx="sum"
        )

    def update(self, h: Tensor) -> None:
        """Add features h of shape (B, F)."""
        h = h.double()
        self.count += len(h)
        self.total += h.sum(0)
        self.outer += h.T @ h

    def compute(self) -> tuple[Tensor, Tensor]:
        """Mean (F,) and covariance (F, F).

        Where the mean is n digits larger than the spread, the covariance has n digits less than
        that of `moments`, which goes over the features twice.
        """
        _require_two(int(self.count))
        mean = self.total / self.count
        return mean, (self.outer - self.count * torch.outer(mean, mean)) / (self.count - 1)


def moments(h: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (F,) and unbiased covariance (F, F) of features in memory, (N, F), computed in two
    passes in float64.
    """
    _require_two(len(h))
    require_finite(h)
    h = h.double()
    mean = h.mean(0)
    return mean, (h - mean).T @ (h - mean) / (len(h) - 1)


def fid(x: Tensor, r: Tensor) -> float:
    """d^2 between two feature sets, (n, F) and (m, F)."""
    return frechet_distance(*moments(x), *moments(r))


def frechet_distance(mean_1: Tensor, cov_1: Tensor, mean_2: Tensor, cov_2: Tensor) -> float:
    """d^2 between two Gaussians, also of deficient rank. Means (F,), covariances (F, F).

    Raises:
        InputError: The two have different F, or are not finite.
    """
    if mean_1.shape != mean_2.shape:
        raise InputError(
            f"Fréchet distance: {len(mean_1)} features here and {len(mean_2)} there; both sets "
            "need one extractor"
        )
    m_1, C_1, m_2, C_2 = (value.double().cpu() for value in (mean_1, cov_1, mean_2, cov_2))
    if not all(bool(torch.isfinite(value).all()) for value in (m_1, C_1, m_2, C_2)):
        raise InputError(
            "Fréchet distance: a mean or covariance is not finite; every image needs finite "
            "features"
        )
    K = _root(C_1).T @ _root(C_2)
    apart = (m_1 - m_2).square().sum() + C_1.trace() + C_2.trace()
    if not K.numel():
        return apart.item()
    squares = torch.linalg.eigvalsh(K @ K.T if len(K) <= K.shape[1] else K.T @ K).clamp(min=0)
    distance = apart - 2 * squares.sqrt().sum()
    # Rounding changes every eigenvalue by up to eps times the largest one, and the root r of an
    # eigenvalue by that divided by 2 r. This is an upper bound: since K is graded, it is far less.
    rounding = torch.finfo(torch.float64).eps * squares[-1] * squares.reciprocal().sum().sqrt()
    if not rounding <= 1e-7 * distance:
        distance = apart - 2 * torch.linalg.svdvals(K).sum()
    # Only rounding can make the value negative.
    return distance.clamp(min=0).item()


def load_statistics(path: Path) -> tuple[Tensor, Tensor]:
    """Mean (F,) and covariance (F, F) from an .npz file of another tool, arrays `mu` and `sigma`,
    as pytorch-fid writes them.

    Raises:
        InputError: There is no such file, or it does not hold the two. Nothing is unpickled.
    """
    try:
        refuse_bomb(path)
        # The file is opened here, because numpy leaves a file open that is no archive.
        with open_regular(path) as file, np.load(file, allow_pickle=False) as arrays:
            mu = np.asarray(arrays["mu"])
            sigma = np.asarray(arrays["sigma"])
    except FileNotFoundError:
        raise InputError(f"no statistics file {path}") from None
    except BROKEN_ARRAY as error:
        message = " ".join(str(error).split())[:100]
        raise InputError(
            f"{path}: not an .npz file with the arrays mu and sigma ({message})"
        ) from None
    if mu.ndim != 1 or not len(mu) or sigma.shape != (len(mu), len(mu)):
        raise InputError(f"{path}: mu is (F,) and sigma (F, F), not {mu.shape} and {sigma.shape}")
    if any(array.dtype.kind not in "fiu" or not np.isfinite(array).all() for array in (mu, sigma)):
        raise InputError(f"{path}: mu and sigma hold finite real numbers")
    # Statistics that were computed in float32 are symmetric only up to rounding.
    if np.abs(sigma - sigma.T).max() > 1e-5 * np.abs(sigma).max() or sigma.diagonal().min() < 0:
        raise InputError(
            f"{path}: sigma is no covariance; right is a symmetric matrix without negative "
            "variances"
        )
    sigma = sigma.astype(np.float64)
    return torch.from_numpy(mu.astype(np.float64)), torch.from_numpy((sigma + sigma.T) / 2)


def _root(C: Tensor) -> Tensor:
    """R of shape (F, r) with R R^T = C, r the numerical rank."""
    if not bool(C.diagonal().any()):
        return C[:, :0]
    # Pivots below the tolerance are rounding. If they were kept, their roots of 1e-8 would show in
    # the distance.
    tolerance = 4 * len(C) * torch.finfo(torch.float64).eps * C.diagonal().amax().item()
    lower, pivots, rank, _ = dpstrf(C.numpy(), tol=tolerance, lower=1)
    root = torch.zeros(len(C), rank, dtype=torch.float64)
    root[torch.from_numpy(pivots).long() - 1] = torch.from_numpy(np.tril(lower)[:, :rank])
    return root


def _require_two(count: int) -> None:
    if count < 2:
        raise InputError(f"Fréchet distance: a covariance needs at least 2 images, not {count}")
