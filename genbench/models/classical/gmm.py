r"""Gaussian mixture model: the density model of the first lecture.

    p(v) = sum_k pi_k N(v; mu_k, Sigma_k)                          p(v, y) = p(y) sum_k pi_{k|y} N(v; mu_{yk}, Sigma_{yk})
    v = 2 (x + u) / L - 1 in (-1, 1)^D                             integer image x of L levels, u ~ U[0, 1)^D

Expectation maximisation (Dempster et al.; `formulas/mixtures.py`), in passes over the training images
at the centres of their cells, u = 1/2, adds the variance of u to every Sigma_k. Or gradients maximise
the likelihood.

Integer images. A diagonal Gaussian has the mass of a cell as a product over the pixels, so the
mixture's is exact; the outer cells reach to infinity, as samples beyond them are clamped:

    P(x) = sum_k pi_k prod_i [Phi((b_i - mu_ki) / s_ki) - Phi((a_i - mu_ki) / s_ki)],     (a_i, b_i) the cell of x_i

Other covariances are scored by uniform dequantisation, without what lies beyond (-1, 1):
`models/dequantised.py`.

References:
    Dempster, Laird, Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm. J.
    R. Stat. Soc. B 39
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from genbench.batch import Batch
from genbench.formulas.factor_analysers import LowRank
from genbench.formulas.gaussians import Diagonal, Full, Gaussians
from genbench.formulas.likelihood import gaussian_log_mass
from genbench.formulas.mixtures import draw_points, em_start, em_step, log_joint
from genbench.formulas.pixels import bits_per_dim
from genbench.models.dequantised import Dequantised
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory, Player

__all__ = ["GMM"]

# k-means++ looks for the first means among at least this many images, if there are so many.
_SEEDS = 4096
# The floor is at least this many squared grey levels. A smaller one is lost in the rounding of the
# other variances.
_LEAST = 1e-9
# The masses of about this many elements of (images, components, pixels) are computed at once.
_MASSES = 2**22


class GMM(Dequantised):
    """A mixture of Gaussians of all pixels at once.

    Args:
        spec: The images.
        optimizer: Optimizer of the likelihood; `fit: em` has none.
        components: Number of Gaussians, of each class where the model is one of p(x | y).
        covariance: Full, diagonal, or low-rank plus diagonal.
        rank: r, of the low-rank part.
        fit: By expectation maximisation, which has no use for a budget, or by gradients.
        passes: Passes of EM over the training set.
        floor: Variance that EM adds to every pixel, in squared grey levels; 1/12 is that of u.
        conditional: Model p(x | y) of the data's labels in place of p(x): a mixture of its own for each class.
    """

    interval = (-1.0, 1.0)
    log_prior: Tensor

    def __init__(
        self,
        spec: Spec,
        optimizer: OptimizerFactory = torch.optim.Adam,
        components: int = 10,
        covariance: Literal["full", "diagonal", "low-rank"] = "low-rank",
        rank: int = 8,
        fit: Literal["em", "gradient"] = "em",
        passes: int = 20,
        floor: float = 1 / 12,
        conditional: bool = False,
    ) -> None:
        super().__init__(spec, optimizer, conditional)
        _check(components, covariance, rank, fit, passes, floor)
        self.diagonal = covariance == "diagonal"
        self.fit = fit
        self.passes = passes
        self.floor = floor * (2 / spec.levels) ** 2
        self.likelihood = "exact" if self.diagonal else "bound"
        self.dequantisation = None if self.diagonal else "uniform"
        groups = max(self.classes, 1)
        learnt = fit == "gradient"
        self.gaussians = _gaussians(covariance, groups * components, spec.dims, rank, learnt)
        self.logits = nn.Parameter(torch.zeros(groups, components), requires_grad=learnt)
        self.register_buffer("log_prior", torch.full((groups,), -math.log(groups)))  # log p(y)

    # --- p(x), p(x | y), p(x, y) ------------------------------------------------------------------

    def terms(
        self, x: Tensor, y: Tensor | None = None, rng: Rng | None = None, K: int = 1
    ) -> dict[str, Tensor]:
        """-log P(x), exact for diagonal covariances; else a lower bound by K noises, of uniformly
        dequantised images. (B,) nats.
        """
        if not self.diagonal:
            return super().terms(x, y, rng, K)
        if K != 1:
            raise ValueError(f"K is 1 for diagonal covariances, whose log_prob is exact; not {K}")
        return {"nll": -_of(self._group(y, len(x)), self._mass_by_class(x))}

    def density_terms(self, v: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """-log p(v), or -log p(v | y), (B,) nats."""
        return {"density": -_of(self._group(y, len(v)), self._density_by_class(v))}

    def log_joint(self, x: Tensor, rng: Rng | None = None) -> Tensor:
        """log p(x, y) of every class, (B, classes) nats, p(y) by the frequencies of the training
        set; as exact as `log_prob`.
        """
        log_prior = self.log_prior.double()
        if self.diagonal:
            return self._mass_by_class(x) + log_prior
        v, _ = self.dequantise(x, None, rng or self.fixed_rng(x), 0)
        cell = self.spec.dims * math.log(self.spec.levels / 2)
        return self._density_by_class(v) - cell + log_prior

    def sample(self, rng: Rng, y: Tensor | None = None) -> Tensor:
        """k ~ pi, then v ~ N(mu_k, Sigma_k), then the cell that v lies in."""
        v = draw_points(self.gaussians, self.logits, self._group(y, len(rng)), rng)
        return self.to_pixels(v).unflatten(1, self.spec.shape)

    def dequantise(self, x: Tensor, y: Tensor | None, rng: Rng, k: int) -> tuple[Tensor, Tensor]:
        """As in `Dequantised`, in float64, since covariances are factored in float64."""
        return super().dequantise(x, y, rng.to(x.device, torch.float64), k)

    def _mass_by_class(self, x: Tensor) -> Tensor:
        """Log mass of the cell of x by class: (B, max(classes, 1))."""
        return self._mixed(self._log_masses(x)).logsumexp(2)

    def _density_by_class(self, v: Tensor) -> Tensor:
        """Log density at v by class: (B, max(classes, 1))."""
        return self._mixed(self.gaussians.log_density(v.flatten(1))).logsumexp(2)

    def _mixed(self, log_gaussians: Tensor) -> Tensor:
        """Add log pi of every Gaussian: (B, C) -> (B, max(classes, 1), components)."""
        return log_joint(log_gaussians, self.logits)

    def _log_masses(self, x: Tensor) -> Tensor:
        """Log mass of the cell of x under every Gaussian: (B, C)."""
        assert isinstance(self.gaussians, Diagonal)
        # The cells are the bins around to_real(x), which is L / (L - 1) times the v of a cell's
        # centre.
        unit = self.spec.levels / (self.spec.levels - 1)
        mean = self.gaussians.mean.double() * unit
        log_s = self.gaussians.log_s.double() + math.log(unit)
        rows = x.flatten(1)[:, None].split(max(1, _MASSES // mean.numel()))
        return torch.cat(
            [gaussian_log_mass(part, self.spec.levels, mean, log_s).sum(2) for part in rows]
        )

    def _group(self, y: Tensor | None, n: int) -> Tensor:
        """The class whose mixture is meant: y, or the only one. int64 (n,)."""
        cond = self.condition(y)
        if cond is None:
            return torch.zeros(n, dtype=torch.int64, device=self.logits.device)
        return cond.argmax(1)

    # --- gradients --------------------------------------------------------------------------------

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """-log_prob in bits/dim."""
        return {
            "loss": bits_per_dim(self.log_prob(x, y, rng), self.spec.dims).mean().to(self.dtype)
        }

    def players(self) -> dict[str, Player]:
        """One, or none where EM does everything."""
        if self.fit == "gradient":
            return {"model": Player(list(self.parameters()), self.loss)}
        return {}

    # --- expectation maximisation -----------------------------------------------------------------

    @torch.no_grad()
    def finalize(self, batches: Iterable[Batch], rng: Rng) -> None:
        """EM, and the class frequencies."""
        if self.fit == "em":
            self._start(batches, rng)
            for _ in range(self.passes):
                self.em_step(batches)
        if self.conditional:
            counts = torch.stack(
                [
                    nn.functional.one_hot(self._group(b.y, len(b.x)), self.classes).sum(0)
                    for b in batches
                ]
            ).sum(0)
            self.log_prior.copy_((counts / counts.sum()).log())

    def em_step(self, batches: Iterable[Batch]) -> float:
        """One E-step and one M-step over the batches.

        Returns the mean log p(v) before it, nats per image.
        """
        points = ((self._centre(x), self._group(y, len(x))) for x, y, _ in batches)
        return em_step(self.gaussians, self.logits, points, self.floor)

    def _start(self, batches: Iterable[Batch], rng: Rng) -> None:
        """From k-means among the first images."""
        points = list[Tensor]()
        groups = list[Tensor]()
        for x, y, _ in batches:
            points.append(self._centre(x))
            groups.append(self._group(y, len(x)))
            if sum(map(len, points)) >= _SEEDS:
                break
        v = torch.cat(points)
        em_start(self.gaussians, self.logits, v, torch.cat(groups), self.floor, rng)

    def _centre(self, x: Tensor) -> Tensor:
        """v at u = 1/2, float64 (B, D)."""
        return (2 * x.double().flatten(1) + 1) / self.spec.levels - 1


def _of(group: Tensor, log_classes: Tensor) -> Tensor:
    return log_classes.gather(1, group[:, None])[:, 0]


def _gaussians(covariance: str, C: int, D: int, rank: int, learnt: bool) -> Gaussians:
    if covariance == "low-rank":
        return LowRank(C, D, rank, learnt)
    if covariance == "full":
        return Full(C, D, learnt)
    return Diagonal(C, D, learnt)


def _check(
    components: int, covariance: str, rank: int, fit: str, passes: int, floor: float
) -> None:
    if min(components, rank, passes) < 1:
        raise ValueError(
            f"components, rank and passes are at least 1, not {components}, {rank} and {passes}"
        )
    if covariance not in ("full", "diagonal", "low-rank"):
        raise ValueError(f"covariance is 'full', 'diagonal' or 'low-rank', not {covariance!r}")
    if fit not in ("em", "gradient"):
        raise ValueError(f"fit is 'em' or 'gradient', not {fit!r}")
    if floor < _LEAST:
        raise ValueError(
            f"floor is at least {_LEAST:g} squared grey levels, or constant pixels have no density;"
            f" not {floor:g}"
        )
