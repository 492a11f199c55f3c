r"""RealNVP: affine couplings with checkerboard and channel-wise masks, at several scales.

    x   integer image, D entries of L levels        u   uniform noise, one per entry        v = (x + u) / L
    z   latent vector of D entries, z ~ N(0, I)     f   the flow, z = f(v), f^{-1} in closed form

    log f(v)  =  log N(f(v); 0, I) + log|det df/dv|                                                                      (eq. 3)
    log P(x) >=  E_u [ log mean_{k <= K} f((x + u_k) / L) ] - D log L            (K = 1: Theis et al. 2016, arXiv:1511.01844)

With variational dequantisation u_k ~ q(u | x), a flow of its own, learned with f by the same bound (Ho et al. 2019, Flow++,
arXiv:1902.00275, eq. 12); uniform noise is q = 1:

    log P(x) >=  E_u [ log mean_{k <= K} f((x + u_k) / L) / q(u_k | x) ] - D log L
    u = Phi(h),  h = g(eps; x),  eps ~ N(0, I),    log q(u | x) = log N(eps; 0, I) - log|det dh/deps| - log N(h; 0, I)

The conditional model hands y to the network of every coupling, as a one-hot vector, and keeps the
prior: z = f(v; y) and

    log f(v | y) = log N(f(v; y); 0, I) + log|det df/dv|

P(x) is the probability that `sample` gives x: the mass of its cell, where cells at the border reach
beyond the unit cube.

Not as in the paper: group instead of batch normalisation, and only inside the networks, so that an
image's density does not depend on its batch; the same number of couplings in every group, where the
paper has 3, 3 and, at the last scale, 4. Not as in Flow++: Phi in place of the sigmoid, so that q
is uniform where g is the identity.

References:
    Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP. arXiv:1605.08803
    Ho, Chen, Srinivas, Duan, Abbeel (2019), Flow++. arXiv:1902.00275
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from genbench.formulas.likelihood import gaussian_log_density, importance_weighted, sum_dims
from genbench.formulas.pixels import bits_per_dim, dequantise, in_cell, quantise
from genbench.model import GenerativeModel
from genbench.nets.bijections.coupling import (
    AffineCoupling,
    Bijection,
    Chain,
    FactorOut,
    Flatten,
    Logit,
    Squeeze,
    channel_mask,
    checkerboard_mask,
)
from genbench.nets.net import NetFactory
from genbench.rng import Rng
from genbench.spec import Shape, Spec
from genbench.steps import Losses, OptimizerFactory

__all__ = ["Dequantiser", "RealNVP"]


class RealNVP(GenerativeModel):
    """A flow of affine couplings.

    Args:
        spec: Shape and levels of the images.
        net: Network of a coupling, (C, H, W) -> (2C, H, W).
        optimizer: Optimizer of the weights.
        scales: Scales s: height and width are halved s - 1 times, and half of the entries leave
            each time.
        couplings: Couplings in a row between one change of mask type, squeeze or scale and the
            next.
        alpha: Margin of the logit transform, 0 < alpha < 1/2.
        dequantiser: Network of a coupling of q(u | x), (2C, H, W) -> (4C, H, W); none: u is uniform. It has `couplings` of them.
        conditional: Model p(x | y) of the data's labels in place of p(x).
    """

    likelihood = "bound"

    def __init__(
        self,
        spec: Spec,
        net: NetFactory,
        optimizer: OptimizerFactory,
        scales: int = 2,
        couplings: int = 4,
        alpha: float = 0.05,
        dequantiser: NetFactory | None = None,
        conditional: bool = False,
    ) -> None:
        super().__init__(spec, optimizer, conditional)
        most = _most_scales(spec.shape)
        if not 1 <= scales <= most:
            raise ValueError(
                f"RealNVP: images of shape {spec.shape} allow at most {most} scales and at least 1, not {scales}"
            )
        if couplings < 2:
            raise ValueError(
                f"RealNVP: couplings is at least 2, not {couplings}: a coupling leaves half of the entries alone"
            )
        self.flow = Chain(
            [
                Logit(alpha),
                _multi_scale(
                    spec.shape, partial(_coupling, net=net, cond=self.classes), scales, couplings
                ),
            ]
        )
        self.dequantiser = (
            Dequantiser(spec, dequantiser, couplings, self.classes) if dequantiser else None
        )
        self.dequantisation = "variational" if dequantiser else "uniform"

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """The negative bound of one noise and its parts, in bits/dim."""
        parts = {
            name: bits_per_dim(-nats.mean(), self.spec.dims)
            for name, nats in self.terms(x, y, rng).items()
        }
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def sample(self, rng: Rng, y: Tensor | None = None) -> Tensor:
        """z ~ N(0, I), then the cell that f^{-1}(z) lies in."""
        return self.decode(rng.normal((self.spec.dims,)), y)

    def terms(
        self, x: Tensor, y: Tensor | None = None, rng: Rng | None = None, K: int = 1
    ) -> dict[str, Tensor]:
        """The negative bound as prior, Jacobian, log q and cell volume (K = 1), or that of K
        noises. (B,) nats each.
        """
        rng = rng or self.fixed_rng(x)
        cell = self.spec.dims * math.log(self.spec.levels)
        if K == 1:
            v, log_q = self._dequantise(x, y, rng, 0)
            prior, jacobian = self._density_parts(v, y)
            terms = {"prior": -prior, "jacobian": -jacobian, "cell": torch.full_like(prior, cell)}
            if self.dequantiser is None:
                return terms
            return {**terms, "dequantiser": log_q}

        def log_w(k: int) -> Tensor:
            v, log_q = self._dequantise(x, y, rng, k)
            return self.log_density(v, y) - log_q

        return {"importance-weighted": cell - importance_weighted(K, log_w)}

    # --- the continuous model ---------------------------------------------------------------------

    def forward(self, v: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """v of shape (B, C, H, W) -> z of shape (B, D) and log|det dz/dv|, nats of shape (B,)."""
        return self.flow(v, self.condition(y))

    def inverse(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z of shape (B, D) -> v of shape (B, C, H, W), in the unit cube or beyond it by less than
        alpha / (1 - 2 alpha).
        """
        return self.flow.inverse(z, self.condition(y))

    def log_density(self, v: Tensor, y: Tensor | None = None) -> Tensor:
        """Exact log f(v), or log f(v | y), nats of shape (B,), for v of shape (B, C, H, W)."""
        prior, jacobian = self._density_parts(v, y)
        return prior + jacobian

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Integer images -> latents (B, D) of the centres of their cells."""
        return self((x.to(self.dtype) + 0.5) / self.spec.levels, y)[0]

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Latents (B, D) -> the integer images in whose cells they lie, uint8.

        Inverse of `encode`.
        """
        return quantise(self.inverse(z, y), self.spec.levels)

    def _dequantise(self, x: Tensor, y: Tensor | None, rng: Rng, k: int) -> tuple[Tensor, Tensor]:
        """v in the cell of x by the k-th noise, and log q(u | x), (B,) nats."""
        rng = rng.split("dequantise", k)
        if self.dequantiser is None:
            return dequantise(x, self.spec.levels, rng), torch.zeros(
                len(x), dtype=self.dtype, device=x.device
            )
        u, log_q = self.dequantiser(rng.normal(self.spec.shape), self.to_real(x), self.condition(y))
        return in_cell(x, self.spec.levels, u), log_q

    def _density_parts(self, v: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_det = self(v, y)
        return sum_dims(gaussian_log_density(z, torch.zeros_like(z), torch.zeros_like(z))), log_det


class Dequantiser(nn.Module):
    """q(u | x): the couplings see x as channels that their masks hold fixed.

    Args:
        spec: Shape of the images.
        net: Network of a coupling, (2C, H, W) -> (4C, H, W).
        couplings: How many of them.
        cond: Length of the conditioning vector.
    """

    def __init__(self, spec: Spec, net: NetFactory, couplings: int, cond: int) -> None:
        super().__init__()
        fixed = torch.ones(spec.shape, dtype=torch.bool)
        masks = [torch.cat((checkerboard_mask(spec.shape, i % 2), fixed)) for i in range(couplings)]
        self.flow = Chain(_coupling(mask, net, cond) for mask in masks)

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


def _multi_scale(
    shape: Shape, coupling: Callable[[Tensor], Bijection], scales: int, couplings: int
) -> Bijection:
    """Section 3.6: couplings by checkerboard, squeeze, couplings by channel, factor out.

    No channel masks at the last scale.
    """
    C, H, W = shape
    checkerboard = [coupling(checkerboard_mask(shape, i % 2)) for i in range(couplings)]
    if scales == 1:
        return Chain([*checkerboard, Flatten(shape)])
    squeezed = (4 * C, H // 2, W // 2)
    channelwise = [coupling(channel_mask(squeezed, i % 2)) for i in range(couplings)]
    rest = _multi_scale((2 * C, H // 2, W // 2), coupling, scales - 1, couplings)
    return FactorOut(Chain([*checkerboard, Squeeze(), *channelwise]), rest, squeezed)


def _coupling(mask: Tensor, net: NetFactory, cond: int) -> AffineCoupling:
    C, H, W = mask.shape
    return AffineCoupling(mask, net((C, H, W), (2 * C, H, W), cond))


def _most_scales(shape: Shape) -> int:
    """How often height and width can be halved, leaving two pixels for the last checkerboard, and
    one; 0 for a single pixel.
    """
    _, H, W = shape
    if H * W < 2:
        return 0
    return 1 + (_most_scales((1, H // 2, W // 2)) if H % 2 == W % 2 == 0 else 0)
