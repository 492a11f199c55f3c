r"""C Gaussians in D dimensions, with covariances of two kinds, and the maximisation step of each.

    full        Sigma_c = L_c L_c^T
    diagonal    Sigma_c = diag(s_c^2)

A third kind, of low rank, is `genbench.formulas.factor_analysers`.

Responsibilities h_nc weigh the points v_n. The most likely means and covariances are weighted moments:

    mu_c = sum_n h_nc v_n / n_c,    Sigma_c = sum_n h_nc v_n v_n^T / n_c - mu_c mu_c^T,    n_c = sum_n h_nc

Squares of distances are summed, never subtracted. Products such as v^2/psi - 2 v mu/psi + mu^2/psi subtract
terms of size D / min psi, which is 1e9 for constant pixels of CIFAR-10: what is left then differs between
processors in the tenth digit.

Everything is computed in float64: variances of neighbouring pixels differ by orders of magnitude. Sums
over points are additive, so a pass may go over any batches. A Gaussian that holds less than one point
keeps its shape.

References:
    Richardson, Weiss (2018), On GANs and GMMs. arXiv:1805.12462
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from genbench.rng import Rng

__all__ = [
    "Diagonal",
    "Full",
    "Gaussians",
    "Sums",
    "every_gaussian",
    "half_log_2pi",
    "squared_residuals",
]

# The residuals of this many points are computed at once.
_ROWS = 256

Sums = dict[str, Tensor]
"""Sums over points, weighted by responsibilities; those of two sets of points add up."""


class Gaussians(nn.Module, ABC):
    """C Gaussians in D dimensions.

    Args:
        values: The tensors that describe them, by name; `mean` is (C, D).
        learnt: Whether gradients learn them.
    """

    mean: Tensor

    def __init__(self, values: dict[str, Tensor], learnt: bool) -> None:
        super().__init__()
        for name, value in values.items():
            self.register_parameter(name, nn.Parameter(value, requires_grad=learnt))

    @abstractmethod
    def log_density(self, v: Tensor) -> Tensor:
        """log N(v; mu_c, Sigma_c) in nats: float64 (B, D) -> (B, C)."""

    @abstractmethod
    def draw(self, c: Tensor, rng: Rng) -> Tensor:
        """One point of Gaussian c_i per stream: int64 (B,) -> float64 (B, D)."""

    @abstractmethod
    def start(self, mean: Tensor, variance: Tensor, rng: Rng) -> None:
        """Set the means, (C, D), and one diagonal covariance for all, (D,)."""

    @abstractmethod
    def sums(self, v: Tensor, h: Tensor) -> Sums:
        """The sums over points that `maximise` needs.

        Args:
            v: Points, float64 (B, D).
            h: Responsibilities, float64 (B, C).

        Returns:
            Sums by name; "n" is the sum of h, (C,).
        """

    @abstractmethod
    def maximise(self, sums: Sums, floor: float) -> None:
        """Change the Gaussians to the most likely ones, given the sums over points.

        Args:
            sums: What `sums` gives, over all points.
            floor: Added to every variance.
        """

    def _set(self, held: Tensor, **values: Tensor) -> None:
        """Replace values of the Gaussians that hold at least one point.

        Args:
            held: Which do, bool (C,).
            **values: New values by name, (C, ...).
        """
        with torch.no_grad():
            for name, value in values.items():
                old = getattr(self, name)
                old.copy_(
                    torch.where(held.view(-1, *(1,) * (value.dim() - 1)), value.to(old.dtype), old)
                )


class Diagonal(Gaussians):
    """Sigma_c = diag(s_c^2).

    Args:
        C: Number of Gaussians.
        D: Dimensions.
        learnt: Whether gradients learn them.

    Examples:
        One Gaussian, fitted to four points with equal responsibilities, has their mean and their
        standard deviation:

        >>> v = torch.tensor([[0.0], [2.0], [4.0], [6.0]], dtype=torch.float64)
        >>> gaussian = Diagonal(C=1, D=1, learnt=False)
        >>> gaussian.maximise(gaussian.sums(v, torch.ones(4, 1, dtype=torch.float64)), floor=0.0)
        >>> round(gaussian.mean.item(), 4), round(gaussian.log_s.exp().item() ** 2, 4)
        (3.0, 5.0)
    """

    log_s: Tensor

    def __init__(self, C: int, D: int, learnt: bool) -> None:
        super().__init__(
            {"mean": torch.randn(C, D) / 2, "log_s": torch.full((C, D), math.log(0.5))}, learnt
        )

    def log_density(self, v: Tensor) -> Tensor:
        log_s = self.log_s.double()
        scale = torch.exp(-log_s)
        mean = (scale * self.mean.double())[..., None]
        squares = squared_residuals(v, scale, mean, v.new_ones(len(v), len(mean), 1))
        return -0.5 * squares - log_s.sum(1) - half_log_2pi(v)

    def draw(self, c: Tensor, rng: Rng) -> Tensor:
        return (
            self.mean[c].double()
            + self.log_s[c].double().exp() * rng.normal(self.mean.shape[1:]).double()
        )

    def start(self, mean: Tensor, variance: Tensor, rng: Rng) -> None:
        self._set(every_gaussian(mean), mean=mean, log_s=0.5 * variance.log().expand_as(mean))

    def sums(self, v: Tensor, h: Tensor) -> Sums:
        return {"n": h.sum(0), "v": h.T @ v, "vv": h.T @ v**2}

    def maximise(self, sums: Sums, floor: float) -> None:
        n = sums["n"].clamp(min=1)[:, None]
        mean = sums["v"] / n
        variance = (sums["vv"] / n - mean**2).clamp(min=0) + floor
        self._set(sums["n"] >= 1, mean=mean, log_s=0.5 * variance.log())


class Full(Gaussians):
    """Sigma_c = L_c L_c^T with L_c lower triangular. `factor` holds the entries of its triangle,
    those of the diagonal as logarithms.

    Args:
        C: Number of Gaussians.
        D: Dimensions.
        learnt: Whether gradients learn them.
    """

    factor: Tensor

    def __init__(self, C: int, D: int, learnt: bool) -> None:
        self.triangle = torch.tril_indices(D, D).unbind()
        factor = torch.eye(D).mul(math.log(0.5))[self.triangle].repeat(C, 1)
        super().__init__({"mean": torch.randn(C, D) / 2, "factor": factor}, learnt)

    def L(self, c: int) -> Tensor:  # noqa: N802
        """L_c, float64 (D, D)."""
        D = self.mean.shape[1]
        factor = self.factor.new_zeros(D, D, dtype=torch.float64).index_put(
            self.triangle, self.factor[c].double()
        )
        return factor.tril(-1) + torch.diag(factor.diagonal().exp())

    def log_density(self, v: Tensor) -> Tensor:
        parts = []
        for c, mean in enumerate(self.mean.double()):
            L = self.L(c)
            white = torch.linalg.solve_triangular(L, (v - mean).T, upper=False)
            parts.append(-0.5 * white.square().sum(0) - L.diagonal().log().sum())
        return torch.stack(parts, dim=1) - half_log_2pi(v)

    def draw(self, c: Tensor, rng: Rng) -> Tensor:
        e = rng.normal(self.mean.shape[1:]).double()
        v = self.mean[c].double()
        for k in c.unique().tolist():
            rows = c == k
            v[rows] = v[rows] + e[rows] @ self.L(k).T
        return v

    def start(self, mean: Tensor, variance: Tensor, rng: Rng) -> None:
        factor = torch.diag(0.5 * variance.log())[self.triangle].repeat(len(mean), 1)
        self._set(every_gaussian(mean), mean=mean, factor=factor)

    def sums(self, v: Tensor, h: Tensor) -> Sums:
        return {
            "n": h.sum(0),
            "v": h.T @ v,
            "vv": torch.stack([(v * weight[:, None]).T @ v for weight in h.T]),
        }

    def maximise(self, sums: Sums, floor: float) -> None:
        n = sums["n"].clamp(min=1)
        mean = sums["v"] / n[:, None]
        covariance = sums["vv"] / n[:, None, None] - mean[:, :, None] * mean[:, None, :]
        held = sums["n"] >= 1
        ridge = floor * torch.eye(mean.shape[1], dtype=mean.dtype, device=mean.device)
        L = torch.linalg.cholesky(
            torch.where(held[:, None, None], covariance, torch.zeros_like(covariance)) + ridge
        )
        stored = L.tril(-1) + torch.diag_embed(L.diagonal(dim1=1, dim2=2).log())
        self._set(held, mean=mean, factor=stored[:, self.triangle[0], self.triangle[1]])


def squared_residuals(v: Tensor, scale: Tensor, loading: Tensor, z: Tensor) -> Tensor:
    """sum_d (scale_c v - loading_c z_c)_d^2 for every Gaussian c.

    Args:
        v: Points, float64 (B, D).
        scale: Scale of every dimension, (C, D).
        loading: Columns whose combination is subtracted, (C, D, k).
        z: Coefficients of the columns, (B, C, k).

    Returns:
        (B, C).

    Examples:
        (3 - 1)^2 + (4 - 1)^2 for one point, one Gaussian and one column:

        >>> v = torch.tensor([[3.0, 4.0]])
        >>> squared_residuals(v, torch.ones(1, 2), torch.ones(1, 2, 1), torch.ones(1, 1, 1)).item()
        13.0
    """
    parts = []
    # The parts have so few points that the residuals stay in the cache.
    for points, weights in zip(v.split(_ROWS), z.split(_ROWS)):
        columns = []
        for c in range(len(scale)):
            residual = torch.addmm(points * scale[c], weights[:, c], loading[c].T, alpha=-1)
            columns.append(torch.linalg.vecdot(residual, residual))
        parts.append(torch.stack(columns, 1))
    return torch.cat(parts)


def half_log_2pi(v: Tensor) -> float:
    """D/2 log(2 pi) of points v, (B, D)."""
    return 0.5 * v.shape[1] * math.log(2 * math.pi)


def every_gaussian(mean: Tensor) -> Tensor:
    """A mask of all Gaussians, bool (C,), for means (C, D)."""
    return torch.ones(len(mean), dtype=torch.bool, device=mean.device)
