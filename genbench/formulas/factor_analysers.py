r"""C Gaussians in D dimensions with covariances of low rank, a mixture of factor analysers, and the
maximisation step of expectation maximisation.

    Sigma_c = Lambda_c Lambda_c^T + diag(psi_c),   v = mu_c + Lambda_c z + sqrt(psi_c) e,   z ~ N(0, I_r),  e ~ N(0, I_D)

Responsibilities h_n weigh the points v_n. With W = diag(1/psi) Lambda, M = I + Lambda^T W and z' = (z, 1)
(Ghahramani & Hinton):

    p(z | v) = N(m, M^{-1}),   m = M^{-1} W^T (v - mu),                             log|Sigma| = log|M| + sum log psi
    (v - mu)^T Sigma^{-1} (v - mu) = sum (v - mu - Lambda m)^2 / psi + |m|^2
    [Lambda mu] = (sum_n h v E[z'|v]^T) (sum_n h E[z' z'^T|v])^{-1}
    psi         = diag(sum_n h (v - [Lambda mu] E[z'|v]) v^T) / sum_n h

followed by the parameter expansion of Liu, Rubin and Wu, without which Lambda takes thousands of passes
to grow. Woodbury's formula for Sigma^{-1} is not used: it subtracts large terms, as `gaussians.py` says.

References:
    Ghahramani, Hinton (1996), The EM algorithm for mixtures of factor analyzers. Technical report
        CRG-TR-96-1, Toronto
    Liu, Rubin, Wu (1998), Parameter expansion to accelerate EM: the PX-EM algorithm. Biometrika 85
    Richardson, Weiss (2018), On GANs and GMMs. arXiv:1805.12462
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.formulas.gaussians import (
    Gaussians,
    Sums,
    every_gaussian,
    half_log_2pi,
    squared_residuals,
)
from genbench.rng import Rng

__all__ = ["LowRank"]


class LowRank(Gaussians):
    """Sigma_c = Lambda_c Lambda_c^T + diag(psi_c).

    Args:
        C: Number of Gaussians.
        D: Dimensions.
        r: Columns of Lambda_c.
        learnt: Whether gradients learn them.

    Examples:
        In two dimensions with mu = 0, Lambda = (1, 0)^T and psi = 1, Sigma = diag(2, 1), so that the
        density at 0 is 1 / (2 pi sqrt(2)):

        >>> gaussians = LowRank(1, 2, 1, learnt=False)
        >>> values = {"mean": torch.zeros(1, 2), "log_psi": torch.zeros(1, 2)}
        >>> values["factor"] = torch.tensor([[[1.0], [0.0]]])
        >>> gaussians.load_state_dict(values)
        <All keys matched successfully>
        >>> density = gaussians.log_density(torch.zeros(1, 2, dtype=torch.float64)).exp()
        >>> round(float(density) * 2 * math.pi, 12), round(1 / math.sqrt(2), 12)
        (0.707106781187, 0.707106781187)
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
        # The residual v - mu - Lambda z is written as v - [Lambda mu] (z, 1).
        loading = torch.cat((self.factor, self.mean[..., None]), 2).double() * scale[..., None]
        extended = torch.cat((z, z.new_ones(*z.shape[:2], 1)), 2)
        squares = squared_residuals(v, scale, loading, extended) + z.square().sum(2)
        log_det = 2 * chol.diagonal(dim1=1, dim2=2).log().sum(1) + log_psi.sum(1)
        return -0.5 * (squares + log_det) - half_log_2pi(v)

    def draw(self, c: Tensor, rng: Rng) -> Tensor:
        z = rng.normal(self.factor.shape[2:]).double()
        e = rng.normal(self.mean.shape[1:]).double()
        v = self.mean[c].double() + (0.5 * self.log_psi[c].double()).exp() * e
        for k in c.unique().tolist():
            rows = c == k
            v[rows] = v[rows] + z[rows] @ self.factor[k].double().T
        return v

    def start(self, mean: Tensor, variance: Tensor, rng: Rng) -> None:
        # Lambda starts at random, since Lambda = 0 is a stationary point of EM.
        factor = 0.1 * variance.sqrt()[:, None] * rng.normal(self.factor.shape)[0].double()
        self._set(
            every_gaussian(mean), mean=mean, factor=factor, log_psi=variance.log().expand_as(mean)
        )

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
        # `second` is sum_n h E[z' z'^T | v], and `cross` is sum_n h v E[z' | v]^T.
        zz = sums["zz"] + n[:, None, None] * torch.cholesky_inverse(chol)
        upper = torch.cat((zz, sums["z"][..., None]), 2)
        lower = torch.cat((sums["z"], n[:, None]), 1)[:, None]
        second = torch.cat((upper, lower), 1)
        cross = torch.cat((sums["vz"], sums["v"][..., None]), 2)
        both = torch.linalg.solve(second, cross.transpose(1, 2)).transpose(1, 2)  # [Lambda mu]
        psi = ((sums["vv"] - (both * cross).sum(2)) / n[:, None]).clamp(min=0) + floor
        # This is the parameter expansion. Until EM has converged, z ~ N(m, R) is more likely than z
        # ~ N(0, I). The scale of N(m, R) is moved into Lambda, and its mean into mu.
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
        """W = diag(1/psi) Lambda of every Gaussian, float64 (C, D, r)."""
        return self.factor.double() * torch.exp(-self.log_psi.double())[..., None]
