r"""Mixtures of Gaussians: one for each of G groups, such as classes, all of K components.

    p(v | g) = sum_k pi_gk N(v; mu_gk, Sigma_gk)

Expectation maximisation (Dempster et al.), from the means of k-means and one diagonal covariance:

    E    h_nk = pi_k N(v_n; mu_k, Sigma_k) / p(v_n)
    M    pi_k = sum_n h_nk / N, and (mu_k, Sigma_k) that maximise sum_n h_nk log N(v_n; mu_k, Sigma_k)

pi is stored as logits (G, K), the Gaussians as G * K of one kind (`gaussians.py`), group by group.

References:
    Dempster, Laird, Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm. J.
    R. Stat. Soc. B 39
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from genbench.formulas.gaussians import Full, Gaussians, Sums
from genbench.formulas.k_means import k_means
from genbench.formulas.likelihood import gaussian_log_density
from genbench.formulas.priors import Reals
from genbench.rng import Rng

__all__ = ["DiagonalMixture", "FittedMixture", "draw_points", "em_start", "em_step", "log_joint"]

# After this many halvings, an interval that holds a quantile is as short as float64 can tell.
_HALVINGS = 80


def log_joint(log_gaussians: Tensor, logits: Tensor) -> Tensor:
    """log pi_gk + log N(v; mu_gk, Sigma_gk), nats.

    Args:
        log_gaussians: Log densities of every Gaussian, (B, G * K).
        logits: Logits of pi, (G, K).

    Returns:
        (B, G, K).

    Examples:
        Two Gaussians of weights 1/4 and 3/4 under which a point has the densities 2 and 1:

        >>> log_gaussians = torch.tensor([[math.log(2.0), 0.0]])
        >>> joint = log_joint(log_gaussians, torch.tensor([[0.0, math.log(3.0)]]))
        >>> [round(float(p), 6) for p in joint.exp().flatten()]
        [0.5, 0.75]
    """
    return log_gaussians.unflatten(1, logits.shape) + logits.double().log_softmax(1)


def draw_points(gaussians: Gaussians, logits: Tensor, group: Tensor, rng: Rng) -> Tensor:
    """k ~ pi_g, then v ~ N(mu_gk, Sigma_gk), for the group of each stream.

    Args:
        gaussians: G * K Gaussians of D dimensions.
        logits: Logits of pi, (G, K).
        group: int64 (B,).
        rng: B streams.

    Returns:
        float64 (B, D).
    """
    K = logits.shape[1]
    cdf = logits.double().softmax(1).cumsum(1)[group]
    k = (cdf < rng.uniform((1,)).double()).sum(1).clamp(max=K - 1)
    return gaussians.draw(group * K + k, rng)


@torch.no_grad()
def em_start(
    gaussians: Gaussians, logits: Tensor, v: Tensor, group: Tensor, floor: float, rng: Rng
) -> None:
    """Start the means by k-means among the points of each group. All Gaussians start with the
    variances of all points.

    Args:
        gaussians: G * K Gaussians, changed in place.
        logits: Logits of pi, (G, K), which become 0.
        v: Points, float64 (N, D).
        group: int64 (N,). A group without a point starts from all points.
        floor: Added to every variance.
        rng: One stream.
    """
    G, K = logits.shape
    of_group = [v[group == g] if (group == g).any() else v for g in range(G)]
    means = [k_means(part, K, rng.split("seed", g)) for g, part in enumerate(of_group)]
    gaussians.start(torch.cat(means), v.var(0, correction=0) + floor, rng.split("factor"))
    logits.zero_()


@torch.no_grad()
def em_step(
    gaussians: Gaussians, logits: Tensor, batches: Iterable[tuple[Tensor, Tensor]], floor: float
) -> float:
    """One E-step and one M-step over batches of points, in place.

    Args:
        gaussians: G * K Gaussians.
        logits: Logits of pi, (G, K).
        batches: Points, float64 (B, D), and their groups, int64 (B,).
        floor: Added to every variance.

    Returns:
        The mean log p(v | g) before the step, nats a point.
    """
    totals = Sums()
    log_likelihood = 0.0
    points = 0
    for v, group in batches:
        others = torch.arange(len(logits), device=v.device) != group[:, None]
        log_f = (
            log_joint(gaussians.log_density(v), logits)
            .masked_fill(others[..., None], -math.inf)
            .flatten(1)
        )
        log_p = log_f.logsumexp(1, keepdim=True)
        for name, value in gaussians.sums(v, torch.exp(log_f - log_p)).items():
            totals[name] = totals[name] + value if name in totals else value
        log_likelihood = log_likelihood + float(log_p.sum())
        points = points + len(v)
    gaussians.maximise(totals, floor)
    logits.copy_(totals["n"].clamp(min=1e-6).log().view(logits.shape).log_softmax(1))
    return log_likelihood / points


class FittedMixture(Reals):
    """One mixture of Gaussians with full covariances, as the prior of latents.

    Args:
        gaussians: K Gaussians of D dimensions.
        logits: Logits of pi, (1, K).
    """

    def __init__(self, gaussians: Full, logits: Tensor) -> None:
        self.gaussians = gaussians
        self.logits = logits
        self.name = f"a mixture of {logits.shape[1]} Gaussians"

    def log_density(self, z: Tensor) -> Tensor:
        """log p(z), nats: float64 (B, D) -> (B, 1)."""
        return log_joint(self.gaussians.log_density(z), self.logits).logsumexp((1, 2))[:, None]

    def draw(self, rng: Rng, shape: tuple[int, ...]) -> Tensor:
        group = torch.zeros(len(rng), dtype=torch.int64, device=rng.device)
        z = draw_points(self.gaussians, self.logits, group, rng)
        return z.to(rng.dtype).unflatten(1, shape)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean (D,) and covariance (D, D) of the whole mixture, float64."""
        pi = self.logits.double().softmax(1)[0]
        means = self.gaussians.mean.double()
        mean = pi @ means
        L = torch.stack([self.gaussians.L(k) for k in range(len(means))])
        apart = means - mean
        return mean, torch.einsum("k,kij->ij", pi, L @ L.mT) + (pi * apart.T) @ apart

    def quantiles(self, score: Tensor, dims: int) -> Tensor:
        pi = self.logits.double().softmax(1)[0]
        mean = self.gaussians.mean.double()
        L = torch.stack([self.gaussians.L(k) for k in range(len(mean))])
        return marginal_quantiles(score, pi, mean, L.square().sum(2).sqrt())

    def norm(self, dims: int) -> float:
        mean, covariance = self.moments()
        return math.sqrt(float(mean.square().sum() + covariance.trace()))


class DiagonalMixture(Reals):
    """sum_k pi_k N(z; mu_k, diag s_k^2), as the prior of latents, in the floating type of its
    parameters, through which gradients go.

    Args:
        mean: mu, (K, D).
        log_s: log s, (K, D).
        log_pi: log pi, (K,).

    Examples:
        Equal Gaussians are one of them, -log(2 pi) / 2 nats at its mean:

        >>> prior = DiagonalMixture(torch.zeros(4, 1), torch.zeros(4, 1), torch.full((4,), -math.log(4)))
        >>> round(prior.log_density(torch.zeros(1, 1)).item(), 4)
        -0.9189
    """

    def __init__(self, mean: Tensor, log_s: Tensor, log_pi: Tensor) -> None:
        self.name = f"a mixture of {len(mean)} Gaussians"
        self.mean = mean
        self.log_s = log_s
        self.log_pi = log_pi

    def log_density(self, z: Tensor) -> Tensor:
        parts = gaussian_log_density(z[:, None], self.mean, self.log_s).sum(2)
        return (parts + self.log_pi).logsumexp(1, keepdim=True)

    def draw(self, rng: Rng, shape: tuple[int, ...]) -> Tensor:
        cdf = self.log_pi.exp().cumsum(0)
        k = (cdf < rng.uniform((1,))).sum(1).clamp(max=len(cdf) - 1)
        e = rng.normal(self.mean.shape[1:])
        return (self.mean[k] + self.log_s[k].exp() * e).unflatten(1, shape)

    def quantiles(self, score: Tensor, dims: int) -> Tensor:
        mean = self.mean.detach().double()
        return marginal_quantiles(
            score, self.log_pi.detach().double().exp(), mean, self.log_s.detach().double().exp()
        )

    def norm(self, dims: int) -> float:
        squares = (self.mean.square() + (2 * self.log_s).exp()).sum(1)
        return math.sqrt(float(self.log_pi.exp() @ squares))


def marginal_quantiles(score: Tensor, pi: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
    """Quantiles of every entry of a mixture by itself, which is a mixture of Gaussians too, by halving
    an interval: (n, D), float64.

    Args:
        score: Places of the quantiles as those of N(0, 1), (n,).
        pi: Weights, float64 (K,).
        mean: Means, float64 (K, D).
        sd: Standard deviations, float64 (K, D).
    """
    score = score.to(pi)
    share = torch.special.ndtr(score)[:, None]
    reach = 1 + score.abs().max()
    low = (mean - reach * sd).amin(0).expand(len(score), -1)
    high = (mean + reach * sd).amax(0).expand(len(score), -1)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = torch.special.ndtr((middle[:, None] - mean) / sd)  # (n, K, D)
        is_low = torch.einsum("k,nkd->nd", pi, below) < share
        low = torch.where(is_low, middle, low)
        high = torch.where(is_low, high, middle)
    return (low + high) / 2
