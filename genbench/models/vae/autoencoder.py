r"""Autoencoder whose codes get a density after training.

    x       integer image, as reals in [-1, 1]^D              z = E(x) in R^d        x' = D(z)

    loss    |x - D(E(x))|^2 + beta |E(x)|^2 / 2 + lambda |theta_D|^2          (Ghosh et al., section 3)
    prior   p(z) = sum_k pi_k N(z; mu_k, Sigma_k), by expectation maximisation on the codes of the
            training images, with full covariances                            (Ghosh et al., section 4)
    sample  z ~ p(z), then the pixels nearest to D(z)

With beta = lambda = 0 it is the autoencoder of Hinton & Salakhutdinov, without their layer-wise
start. The error is squared, and no cross-entropy: pixels are integers of any number of levels and not
probabilities, and of linear networks it leaves the subspace of principal components. beta keeps the
codes from growing while D shrinks; lambda makes D smooth, so that latents between codes have images
too. Neither network meets p(z) in training, so whatever covers the codes may be fitted: one Gaussian
leaves gaps between their clusters, which the mixture does not.

An image is D(z) of a z of fewer entries, so that nearly all images have probability 0: the density is
implicit.

References:
    Hinton, Salakhutdinov (2006), Reducing the dimensionality of data with neural networks. Science 313
    Ghosh, Sajjadi, Vergari, Black, Schoelkopf (2020), From variational to deterministic autoencoders.
    arXiv:1903.12436
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from genbench.batch import Batch
from genbench.capabilities import Latent
from genbench.formulas.gaussians import Full
from genbench.formulas.mixtures import FittedMixture, em_start, em_step
from genbench.model import GenerativeModel
from genbench.nets.net import NetFactory
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory, Player

__all__ = ["Autoencoder"]

# The fit of the mixture takes this many codes at once.
_CODES = 4096
# Every step of the fit adds a variance, which is this share of the variance of the codes, so that
# no component shrinks to a point.
_FLOOR = 1e-3
# The variance that is added is at least this, because all codes may be equal before the networks
# have learnt anything.
_LEAST = 1e-12


class Autoencoder(GenerativeModel):
    """Implicit density: codes are drawn of a mixture that was fitted to those of the training images.

    Args:
        spec: The images.
        encoder: E, x -> z.
        decoder: D, z -> reals around [-1, 1].
        optimizer: Optimizer of both networks.
        latent: d, the number of entries of z.
        beta: Weight of |z|^2 / 2.
        weight_penalty: lambda, the weight of the squares of the decoder's weights.
        components: Gaussians of the mixture.
        passes: Steps of expectation maximisation, each over all codes.
    """

    likelihood = None
    logits: Tensor

    def __init__(
        self,
        spec: Spec,
        encoder: NetFactory,
        decoder: NetFactory,
        optimizer: OptimizerFactory,
        latent: int = 16,
        beta: float = 1e-3,
        weight_penalty: float = 0.0,
        components: int = 10,
        passes: int = 50,
    ) -> None:
        super().__init__(spec, optimizer)
        if min(latent, components, passes) < 1:
            raise ValueError(
                "latent, components and passes are at least 1, "
                f"not {latent}, {components} and {passes}"
            )
        if not (0 <= beta < math.inf and 0 <= weight_penalty < math.inf):
            raise ValueError(
                f"beta and weight_penalty are at least 0, not {beta} and {weight_penalty}"
            )
        self.beta = beta
        self.weight_penalty = weight_penalty
        self.passes = passes
        self.E = encoder(spec.shape, (latent,), 0)
        self.D = decoder((latent,), spec.shape, 0)
        self.gaussians = Full(components, latent, learnt=False)
        self.register_buffer("logits", torch.zeros(1, components))

    @property
    def prior(self) -> FittedMixture:
        """p(z)."""
        return FittedMixture(self.gaussians, self.logits)

    @property
    def latent(self) -> Latent:
        """d entries of the prior p(z)."""
        return Latent((self.gaussians.mean.shape[1],), self.prior)

    def players(self) -> dict[str, Player]:
        """One, of the two networks: the mixture is fitted afterwards."""
        return {"model": Player([*self.E.parameters(), *self.D.parameters()], self.loss)}

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """The squared error of an image and its two penalties, without unit."""
        v = self.to_real(x)
        z = self.E(v)
        error = (v - self.D(z)).square().flatten(1).sum(1).mean()
        size = z.square().sum(1).mean() / 2
        losses = {"reconstruction": error, "code": size}
        total = error + self.beta * size
        if self.weight_penalty:
            weights = torch.stack([p.square().sum() for p in self.D.parameters()]).sum()
            losses["weights"] = weights
            total = total + self.weight_penalty * weights
        return {"loss": total, **losses}

    def sample(
        self,
        rng: Rng,
        y: Tensor | None = None,
        density: Literal["mixture", "gaussian"] = "mixture",
    ) -> Tensor:
        """z of the mixture, or of the one Gaussian of its mean and covariance, then its image."""
        if density == "mixture":
            return self.decode(self.prior.draw(rng, self.latent.shape))
        if density != "gaussian":
            raise ValueError(f"density is 'mixture' or 'gaussian', not {density!r}")
        mean, covariance = self.prior.moments()
        eps = rng.normal(self.latent.shape).double()
        return self.decode((mean + eps @ torch.linalg.cholesky(covariance).T).to(self.dtype))

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Integer images -> codes E(x), (B, d)."""
        return self.E(self.to_real(x))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Codes (B, d) -> the pixels nearest to D(z), integers (B, C, H, W)."""
        return self.to_pixels(self.D(z))

    @torch.no_grad()
    def finalize(self, batches: Iterable[Batch], rng: Rng) -> None:
        """Fit the mixture to the codes of all training images."""
        z = torch.cat([self.encode(batch.x).double() for batch in batches])
        group = torch.zeros(len(z), dtype=torch.int64, device=z.device)
        floor = max(_FLOOR * float(z.var(0, correction=0).mean()), _LEAST)
        em_start(self.gaussians, self.logits, z, group, floor, rng)
        for _ in range(self.passes):
            parts = zip(z.split(_CODES), group.split(_CODES), strict=True)
            em_step(self.gaussians, self.logits, parts, floor)
