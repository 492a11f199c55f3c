"""Mixtures of Gaussians on the line, whose densities, scores and noisy versions are all known.

p(x) = sum_k w_k N(x; m_k, s_k^2)
alpha x + sigma eps  ~  sum_k w_k N(alpha m_k, alpha^2 s_k^2 + sigma^2)
d/dx log p(x) = sum_k h_k(x) (m_k - x) / s_k^2,    h_k = w_k N(x; m_k, s_k^2) / p(x)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genbench.formulas.likelihood import gaussian_log_density
from genbench.rng import Rng

__all__ = ["LineMixture", "mixture"]


@dataclass(frozen=True)
class LineMixture:
    """sum_k w_k N(m_k, s_k^2), float64 (K,) each; functions of x take and give any shape."""

    w: Tensor
    m: Tensor
    s: Tensor

    def log_joint(self, x: Tensor) -> Tensor:
        """log w_k N(x; m_k, s_k^2) in nats, with k as a new last axis."""
        return self.w.log() + gaussian_log_density(x[..., None], self.m, self.s.log())

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x) in nats."""
        return self.log_joint(x).logsumexp(-1)

    def density(self, x: Tensor) -> Tensor:
        """p(x)."""
        return self.log_density(x).exp()

    def score(self, x: Tensor) -> Tensor:
        """d/dx log p(x)."""
        h = self.log_joint(x).softmax(-1)
        return (h * (self.m - x[..., None]) / self.s**2).sum(-1)

    def noisy(self, alpha: float, sigma: float) -> LineMixture:
        """The mixture of alpha x + sigma eps, eps ~ N(0, 1)."""
        return LineMixture(self.w, alpha * self.m, (alpha**2 * self.s**2 + sigma**2).sqrt())

    def draw(self, rng: Rng) -> Tensor:
        """One x per stream, float64."""
        k = torch.searchsorted(self.w.cumsum(0), rng.uniform().double()).clamp(max=len(self.w) - 1)
        return self.m[k] + self.s[k] * rng.normal().double()


def mixture(w: list[float], m: list[float], s: list[float]) -> LineMixture:
    """A mixture by its weights, means and standard deviations.

    Examples:
        >>> round(mixture([0.5, 0.5], [-1.0, 1.0], [1.0, 1.0]).density(torch.zeros(1)).item(), 4)
        0.242
    """
    parts = [torch.tensor(values, dtype=torch.float64) for values in (w, m, s)]
    return LineMixture(*parts)
