r"""Densities of reals as models of integer images: dequantisation, once for all of them.

    x   integer image, D entries of L levels        u   noise in (0, 1), one per entry
    v   = a + (b - a) (x + u) / L                   a point of the cell of x, in the cube (a, b)^D
    f   a density of reals v                        V = ((b - a) / L)^D, the volume of a cell

A density of reals is no probability of integers: pointwise it may be as large as it likes. The mass
that f gives to the cell of x is a probability, and uniform noise u bounds its logarithm from below
(K = 1: Theis et al. 2016, arXiv:1511.01844):

    log P(x) >= E_u [ log mean_{k <= K} f(v_k) ] + log V

With variational dequantisation the noise is drawn from u_k ~ q(u | x), a flow of its own, learned
together with f by the same bound (Ho et al. 2019, Flow++, eq. 12); uniform noise is q = 1:

    log P(x) >= E_u [ log mean_{k <= K} f(v_k) / q(u_k | x) ] + log V
    u = Phi(h),  h = g(eps; x),  eps ~ N(0, I),    log q(u | x) = log N(eps; 0, I) - log|det dh/deps| - log N(h; 0, I)

P(x) is the probability that the model draws x: cells at the border reach beyond the cube, as samples
there are set to the lowest or highest level.

Unlike in Flow++, Phi takes the place of the sigmoid, so that q is uniform where g is the identity.

References:
    Theis, van den Oord, Bethge (2016), A note on the evaluation of generative models.
    arXiv:1511.01844
    Ho, Chen, Srinivas, Duan, Abbeel (2019), Flow++. arXiv:1902.00275
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from genbench.formulas.likelihood import gaussian_log_density, importance_weighted, sum_dims
from genbench.formulas.pixels import in_cell, quantise
from genbench.model import GenerativeModel
from genbench.nets.bijections.bijection import Chain
from genbench.nets.bijections.coupling import AffineCoupling, checkerboard_mask
from genbench.nets.net import NetFactory
from genbench.records.parts import LikelihoodKind
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import OptimizerFactory

__all__ = ["Dequantised", "Dequantiser"]


class Dequantised(GenerativeModel):
    """A density f of reals, scored as a model of the integer images whose cells the reals fill.

    A leaf writes `density_terms`, the named parts of -log f. Options of its own go into a `terms`
    of its own, which calls `bound`.

    Attributes:
        interval: (a, b), between which the reals of a pixel lie.
        dequantiser: q(u | x); None where the noise is uniform. A leaf may set it after `__init__`.
    """

    likelihood: LikelihoodKind | None = "bound"
    dequantisation: str | None = "uniform"
    interval: tuple[float, float] = (0.0, 1.0)
    dequantiser: Dequantiser | None

    def __init__(self, spec: Spec, optimizer: OptimizerFactory, conditional: bool = False) -> None:
        super().__init__(spec, optimizer, conditional)
        self.dequantiser = None

    @abstractmethod
    def density_terms(self, v: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Named parts that add up to -log f(v), or to -log f(v | y): (B,) nats each.

        Args:
            v: Reals (B, C, H, W).
            y: int64 (B,) labels of a model of p(x | y).
        """

    def terms(
        self, x: Tensor, y: Tensor | None = None, rng: Rng | None = None, K: int = 1
    ) -> dict[str, Tensor]:
        """A stochastic lower bound of log P(x), or log P(x | y), by K noises per image; it is tight
        as K grows.

        Args:
            x: integers (B, C, H, W).
            y: int64 (B,) labels of a model of p(x | y).
            rng: One stream per image.
            K: Noises per image.

        Returns:
            For K = 1 the terms of the density, the cell's volume and, where it is learned, log q;
            else the bound of K noises. (B,) nats each.
        """
        return self.bound(x, y, rng or self.fixed_rng(x), K, lambda v, k: self.density_terms(v, y))

    def bound(
        self,
        x: Tensor,
        y: Tensor | None,
        rng: Rng,
        K: int,
        density: Callable[[Tensor, int], dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        """`terms` by a density that is a function of v and of the number k of the noise.

        Args:
            x: integers (B, C, H, W).
            y: int64 (B,) labels of a model of p(x | y).
            rng: One stream per image.
            K: Noises per image.
            density: v, k -> named parts of -log f(v).
        """
        low, high = self.interval
        cell = self.spec.dims * math.log(self.spec.levels / (high - low))
        if K == 1:
            v, log_q = self.dequantise(x, y, rng, 0)
            terms = density(v, 0)
            first = next(iter(terms.values()))
            terms["cell"] = torch.full_like(first, cell)
            if self.dequantiser is not None:
                terms["dequantiser"] = log_q
            return terms

        def log_w(k: int) -> Tensor:
            v, log_q = self.dequantise(x, y, rng, k)
            return -torch.stack(list(density(v, k).values())).sum(0) - log_q

        return {"importance-weighted": cell - importance_weighted(K, log_w)}

    def log_density(self, v: Tensor, y: Tensor | None = None) -> Tensor:
        """log f(v), or log f(v | y), (B,) nats, of reals v (B, C, H, W)."""
        return -torch.stack(list(self.density_terms(v, y).values())).sum(0)

    # --- integers and reals -----------------------------------------------------------------------

    def dequantise(self, x: Tensor, y: Tensor | None, rng: Rng, k: int) -> tuple[Tensor, Tensor]:
        """v in the cell of x by the k-th noise, (B, C, H, W), and log q(u | x), (B,) nats."""
        rng = rng.split("dequantise", k)
        if self.dequantiser is None:
            u = rng.uniform(self.spec.shape)
            return self.to_cell(x, u), u.new_zeros(len(u))
        eps = rng.normal(self.spec.shape)
        u, log_q = self.dequantiser(eps, self.to_real(x), self.condition(y))
        return self.to_cell(x, u), log_q

    def to_cell(self, x: Tensor, u: Tensor) -> Tensor:
        """Integer images and where in their cells, u in (0, 1)^D -> reals in (a, b)^D."""
        low, high = self.interval
        return low + (high - low) * in_cell(x, self.spec.levels, u)

    def to_centre(self, x: Tensor) -> Tensor:
        """Integer images -> the centres of their cells, in the model's floating type."""
        low, high = self.interval
        return low + (high - low) * ((x.to(self.dtype) + 0.5) / self.spec.levels)

    def to_pixels(self, v: Tensor) -> Tensor:
        """Reals -> the pixel in whose cell they lie. Inverse of `to_cell`."""
        low, high = self.interval
        return quantise((v - low) / (high - low), self.spec.levels)


class Dequantiser(nn.Module):
    """q(u | x): affine couplings that see x as channels which their masks hold fixed.

    Args:
        spec: Shape of the images.
        net: Network of a coupling, (2C, H, W) -> (4C, H, W).
        couplings: Number of couplings.
        cond: Length of the conditioning vector.
    """

    def __init__(self, spec: Spec, net: NetFactory, couplings: int, cond: int) -> None:
        super().__init__()
        fixed = torch.ones(spec.shape, dtype=torch.bool)
        masks = [torch.cat((checkerboard_mask(spec.shape, i % 2), fixed)) for i in range(couplings)]
        self.flow = Chain(AffineCoupling.with_net(mask, net, cond) for mask in masks)

    def forward(self, eps: Tensor, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Normal noise eps and images x in [-1, 1], (B, C, H, W) -> u in (0, 1), of that shape, and
        log q(u | x), (B,) nats.
        """
        both, log_det = self.flow(torch.cat((eps, x), dim=1), cond)
        h = both.chunk(2, dim=1)[0]
        zero = torch.zeros_like(eps)
        log_q = (
            sum_dims(gaussian_log_density(eps, zero, zero) - gaussian_log_density(h, zero, zero))
            - log_det
        )
        return torch.special.ndtr(h), log_q
