r"""C Gaussians in D dimensions with covariances of three kinds, and the maximisation step of each.

    full        Sigma_c = L_c L_c^T
    diagonal    Sigma_c = diag(s_c^2)
    low-rank    Sigma_c = Lambda_c Lambda_c^T + diag(psi_c),   v = mu_c + Lambda_c z + sqrt(psi_c) e,   z ~ N(0, I_r)

Responsibilities h_nc weigh the points v_n. Full and diagonal covariances are weighted moments. For
the low-rank kind, a mixture of factor analysers (Ghahramani & Hinton), with W = diag(1/psi) Lambda,
M = I + Lambda^T W and z' = (z, 1):

    p(z | v) = N(m, M^{-1}),   m = M^{-1} W^T (v - mu),                             log|Sigma| = log|M| + sum log psi
    (v - mu)^T Sigma^{-1} (v - mu) = sum (v - mu - Lambda m)^2 / psi + |m|^2
    [Lambda mu] = (sum_n h v E[z'|v]^T) (sum_n h E[z' z'^T|v])^{-1}
    psi         = diag(sum_n h (v - [Lambda mu] E[z'|v]) v^T) / sum_n h

followed by the parameter expansion of Liu, Rubin and Wu, without which Lambda takes thousands of
passes to grow.

Squares are summed, never subtracted. Products such as v^2/psi - 2 v mu/psi + mu^2/psi, or
Woodbury's formula for Sigma^{-1}, subtract terms of size D / min psi, which is 1e9 for constant
pixels of CIFAR-10: what is left then differs between processors in the tenth digit.

Everything is computed in float64: variances of neighbouring pixels differ by orders of magnitude.
Sums over points are additive, so a pass may go over any batches. A Gaussian that holds less than
one point keeps its shape.

References:
    Ghahramani, Hinton (1996), The EM algorithm for mixtures of factor analyzers. Technical report
    CRG-TR-96-1, Toronto Liu, Rubin, Wu (1998), Parameter expansion to accelerate EM: the PX-EM
    algorithm. Biometrika 85 Richardson, Weiss (2018), On GANs and GMMs. arXiv:1805.12462
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from genbench.rng import Rng

__all__ = ["Diagonal", "Full", "Gaussians", "LowRank", "Sums", "squared_residuals"]

# points whose residuals are computed at once
_ROWS = 256

# weighted sums over points, additive
Sums = dict[str, Tensor]


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
        """What `maximise` needs of points v, (B, D), with responsibilities h, (B, C).

        "n" is the sum of h.
        """

    @abstractmethod
    def maximise(self, sums: Sums, floor: float) -> None:
        """The most likely Gaussians given the sums; `floor` is added to every variance."""

    def _set(self, held: Tensor, **values: Tensor) -> None:
        """New values for those Gaussians that hold a point, bool (C,)."""
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
        learnt: Whether by gradients.

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
        return -0.5 * squares - log_s.sum(1) - _half_log_2pi(v)

    def draw(self, c: Tensor, rng: Rng) -> Tensor:
        return (
            self.mean[c].double()
            + self.log_s[c].double().exp() * rng.normal(self.mean.shape[1:]).double()
        )

    def start(self, mean: Tensor, variance: Tensor, rng: Rng) -> None:
        self._set(_all(mean), mean=mean, log_s=0.5 * variance.log().expand_as(mean))

    def sums(self, v: Tensor, h: Tensor) -> Sums:
        return {"n": h.sum(0), "v": h.T @ v, "vv": h.T @ v**2}

    def maximise(self, sums: Sums, floor: float) -> None:
        n = sums["n"].clamp(min=1)[:, None]
        mean = sums["v"] / n
        variance = (sums["vv"] / n - mean**2).clamp(min=0) + floor
        self._set(sums["n"] >= 1, mean=mean, log_s=0.5 * variance.log())


class Full(Gaussians):
    """Sigma_c = L_c L_c^T with L_c lower triangular. Stored are the entries of its triangle, of the
    diagonal their logarithms.

    Args:
        C: Number of Gaussians.
        D: Dimensions.
        learnt: Whether by gradients.
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
        return torch.stack(parts, dim=1) - _half_log_2pi(v)

    def draw(self, c: Tensor, rng: Rng) -> Tensor:
        e = rng.normal(self.mean.shape[1:]).double()
        v = self.mean[c].double()
        for k in c.unique().tolist():
            rows = c == k
            v[rows] = v[rows] + e[rows] @ self.L(k).T
        return v

    def start(self, mean: Tensor, variance: Tensor, rng: Rng) -> None:
        factor = torch.diag(0.5 * variance.log())[self.triangle].repeat(len(mean), 1)
        self._set(_all(mean), mean=mean, factor=factor)

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


class LowRank(Gaussians):
    """Sigma_c = Lambda_c Lambda_c^T + diag(psi_c).

    Args:
        C: Number of Gaussians.
        D: Dimensions.
        r: Columns of Lambda_c.
        learnt: Whether by gradients.
    """

    factor: Tensor
    log_psi: Tensor

    def __init__(self, C: int, D: int, r: int, learnt: bool) -> None:
        values = {
            "mean": torch.randn(C, D) / 2,
            "factor": 0.1 * torch.randn(C, D, r),
            "log_psi": torch.full((C, D), 2 * math.log(0.5)),
        }
        super().__init__(values, learnt)

    def log_density(self, v: Tensor) -> Tensor:
        log_psi = self.log_psi.double()
        scale = torch.exp(-0.5 * log_psi)
        chol = self.precision_factor()
        z = self.posterior_mean(v, chol)
        # v - mu - Lambda z = v - [Lambda mu] (z, 1)
        loading = torch.cat((self.factor, self.mean[..., None]), 2).double() * scale[..., None]
        extended = torch.cat((z, z.new_ones(*z.shape[:2], 1)), 2)
        squares = squared_residuals(v, scale, loading, extended) + z.square().sum(2)
        log_det = 2 * chol.diagonal(dim1=1, dim2=2).log().sum(1) + log_psi.sum(1)
        return -0.5 * (squares + log_det) - _half_log_2pi(v)

    def draw(self, c: Tensor, rng: Rng) -> Tensor:
        z = rng.normal(self.factor.shape[2:]).double()
        e = rng.normal(self.mean.shape[1:]).double()
        v = self.mean[c].double() + (0.5 * self.log_psi[c].double()).exp() * e
        for k in c.unique().tolist():
            rows = c == k
            v[rows] = v[rows] + z[rows] @ self.factor[k].double().T
        return v

    def start(self, mean: Tensor, variance: Tensor, rng: Rng) -> None:
        # Lambda = 0 is a stationary point of EM
        factor = 0.1 * variance.sqrt()[:, None] * rng.normal(self.factor.shape)[0].double()
        self._set(_all(mean), mean=mean, factor=factor, log_psi=variance.log().expand_as(mean))

    def sums(self, v: Tensor, h: Tensor) -> Sums:
        z = self.posterior_mean(v, self.precision_factor())
        hz = h[..., None] * z
        return {
            "n": h.sum(0),
            "v": h.T @ v,
            "vv": h.T @ v**2,
            "z": hz.sum(0),
            "vz": (v.T @ hz.flatten(1)).unflatten(1, z.shape[1:]).transpose(0, 1),  # (C, D, r)
            "zz": torch.einsum("bcr,bcs->crs", hz, z),
        }

    def maximise(self, sums: Sums, floor: float) -> None:
        chol = self.precision_factor()
        held = sums["n"] >= 1
        n = sums["n"].clamp(min=1)
        # sum_n h E[z' z'^T | v] and sum_n h v E[z' | v]^T
        zz = sums["zz"] + n[:, None, None] * torch.cholesky_inverse(chol)
        upper = torch.cat((zz, sums["z"][..., None]), 2)
        lower = torch.cat((sums["z"], n[:, None]), 1)[:, None]
        second = torch.cat((upper, lower), 1)
        cross = torch.cat((sums["vz"], sums["v"][..., None]), 2)
        both = torch.linalg.solve(second, cross.transpose(1, 2)).transpose(1, 2)  # [Lambda mu]
        psi = ((sums["vv"] - (both * cross).sum(2)) / n[:, None]).clamp(min=0) + floor
        # z ~ N(m, R) is more likely than N(0, I) until EM has converged: its scale goes into
        # Lambda, its mean into mu
        m = sums["z"] / n[:, None]
        R = zz / n[:, None, None] - m[:, :, None] * m[:, None]
        mean = both[..., -1] + (both[..., :-1] @ m[..., None])[..., 0]
        self._set(
            held, mean=mean, factor=both[..., :-1] @ torch.linalg.cholesky(R), log_psi=psi.log()
        )

    def precision_factor(self) -> Tensor:
        """chol(M) of the posterior's precision M, float64 (C, r, r)."""
        factor = self.factor.double()
        M = (
            torch.eye(factor.shape[2], dtype=factor.dtype, device=factor.device)
            + factor.transpose(1, 2) @ self._W()
        )
        return torch.linalg.cholesky(M)

    def posterior_mean(self, v: Tensor, chol: Tensor) -> Tensor:
        """E[z | v] under every Gaussian: float64 (B, D) and chol(M) -> (B, C, r)."""
        W = self._W()
        projected = (v @ W.transpose(0, 1).flatten(1)).unflatten(1, (len(W), -1))
        centred = projected - (self.mean.double()[:, None] @ W)[:, 0]
        return torch.cholesky_solve(centred[..., None], chol)[..., 0]

    def _W(self) -> Tensor:  # noqa: N802
        return self.factor.double() * torch.exp(-self.log_psi.double())[..., None]


def squared_residuals(v: Tensor, scale: Tensor, loading: Tensor, z: Tensor) -> Tensor:
    """sum_d (scale_c v - loading_c z_c)_d^2 for every Gaussian c.

    Args:
        v: Points, float64 (B, D).
        scale: Of every pixel, (C, D).
        loading: Columns that the residual is freed of, (C, D, k).
        z: How much of each column, (B, C, k).

    Returns:
        (B, C).

    Examples:
        (3 - 1)^2 + (4 - 1)^2 for one point, one Gaussian and one column:

        >>> v = torch.tensor([[3.0, 4.0]])
        >>> squared_residuals(v, torch.ones(1, 2), torch.ones(1, 2, 1), torch.ones(1, 1, 1)).item()
        13.0
    """
    parts = []
    # few enough points at once for the residuals to stay in the cache
    for points, weights in zip(v.split(_ROWS), z.split(_ROWS)):
        columns = []
        for c in range(len(scale)):
            residual = torch.addmm(points * scale[c], weights[:, c], loading[c].T, alpha=-1)
            columns.append(torch.linalg.vecdot(residual, residual))
        parts.append(torch.stack(columns, 1))
    return torch.cat(parts)


def _half_log_2pi(v: Tensor) -> float:
    return 0.5 * v.shape[1] * math.log(2 * math.pi)


def _all(mean: Tensor) -> Tensor:
    return torch.ones(len(mean), dtype=torch.bool, device=mean.device)
