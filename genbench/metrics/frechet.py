r"""Fréchet distance between the Gaussians of two feature sets (FID where the features are Inception's).

    d^2 = ||m_1 - m_2||^2 + tr C_1 + tr C_2 - 2 tr (C_1^{1/2} C_2 C_1^{1/2})^{1/2}          (Heusel et al. 2017, eq. 6)

m and C are the mean and the unbiased covariance (divisor n - 1), all in float64. With C_i = R_i R_i^T, R_i = V_i L_i^{1/2} from
the eigenvalues L_i, the last trace is the sum of the singular values of R_1^T R_2: the square roots of the eigenvalues of the
symmetric product, without squaring first, so that eight digits are not lost to the root.

References:
    Heusel et al. (2017), GANs trained by a two time-scale update rule converge to a local Nash equilibrium. arXiv:1706.08500
    Dowson, Landau (1982), The Fréchet distance between multivariate normal distributions. doi:10.1016/0047-259X(82)90077-X
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

__all__ = ["GaussianStatistics", "frechet_distance", "moments"]


class GaussianStatistics(Metric):
    """Mean and covariance of a stream of features: one pass, sums in float64, added up over processes.

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
        self.add_state("outer", torch.zeros(features, features, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, h: Tensor) -> None:
        """Features h of shape (B, F)."""
        h = h.double()
        self.count += len(h)
        self.total += h.sum(0)
        self.outer += h.T @ h

    def compute(self) -> tuple[Tensor, Tensor]:
        """Mean (F,) and covariance (F, F). Loses the digits by which the mean exceeds the spread; `moments` does not."""
        _require_two(int(self.count))
        mean = self.total / self.count
        return mean, (self.outer - self.count * torch.outer(mean, mean)) / (self.count - 1)


def moments(h: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (F,) and unbiased covariance (F, F) of features at hand, (N, F): two passes, float64."""
    _require_two(len(h))
    h = h.double()
    mean = h.mean(0)
    return mean, (h - mean).T @ (h - mean) / (len(h) - 1)


def frechet_distance(mean_1: Tensor, cov_1: Tensor, mean_2: Tensor, cov_2: Tensor) -> float:
    """d^2 between two Gaussians, also of deficient rank. Means (F,), covariances (F, F)."""
    singular = torch.linalg.svdvals(_root(cov_1).T @ _root(cov_2))
    trace = cov_1.double().trace() + cov_2.double().trace() - 2 * singular.sum()
    # rounding alone can make it negative
    return ((mean_1.double() - mean_2.double()).square().sum() + trace).clamp(min=0).item()


def _root(cov: Tensor) -> Tensor:
    """R of shape (F, r) with R R^T = cov, r the numerical rank."""
    values, vectors = torch.linalg.eigh(cov.double())
    # eigenvalues at rounding are zeros: their roots, 1e-8, would be seen in the distance
    kept = values > len(cov) * torch.finfo(torch.float64).eps * values.abs().amax()
    return vectors[:, kept] * values[kept].sqrt()


def _require_two(count: int) -> None:
    if count < 2:
        raise ValueError(f"Fréchet distance: a covariance needs at least 2 images, not {count}")
