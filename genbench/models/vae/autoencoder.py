r"""Autoencoder whose codes get a density after training.

    x       integer image, as reals in [-1, 1]^D              z = E(x) in R^d        x' = D(z)

    loss    |x - D(z)|^2 + beta |z|^2 / 2 + lambda |theta_D|^2                (Ghosh et al., section 3)
            + alpha |z|_1,    z = E(x + sigma eps),    eps ~ N(0, I)
    prior   p(z) = sum_k pi_k N(z; mu_k, Sigma_k), by expectation maximisation on the codes of the
            training images, with full covariances                            (Ghosh et al., section 4)
    sample  z ~ p(z), then the pixels nearest to D(z)

With beta = lambda = 0 it is the autoencoder of Hinton & Salakhutdinov, without their layer-wise
start. The error is squared, and no cross-entropy: pixels are integers of any number of levels and not
probabilities, and of linear networks it leaves the subspace of principal components. beta keeps the
codes from growing while D shrinks; lambda makes D smooth, so that latents between codes have images
too. Neither network meets p(z) in training, so whatever covers the codes may be fitted: one Gaussian
leaves gaps between their clusters, which the mixture does not.

Variants. sigma > 0 is a denoising autoencoder: where the networks are wide enough D(E(x~)) = E[x | x~]
of x~ = x + sigma eps, and so (D(E(x~)) - x~) / sigma^2 is the score of the noisy images (Vincent; Alain
& Bengio). Tied weights: D is E transposed, W^T z + c for E(x) = a(W x + b). alpha > 0 makes codes sparse,
those of a dictionary where D is linear; lambda or tied weights then keep D from growing while z shrinks.

An image is D(z) of a z of fewer entries, so that nearly all images have probability 0: the density is
implicit.

References:
    Hinton, Salakhutdinov (2006), Reducing the dimensionality of data with neural networks. Science 313
    Ghosh, Sajjadi, Vergari, Black, Schoelkopf (2020), From variational to deterministic autoencoders.
    arXiv:1903.12436
    Vincent (2011), A connection between score matching and denoising autoencoders. Neural Computation 23
    Alain, Bengio (2014), What regularized auto-encoders learn from the data-generating distribution.
        arXiv:1211.4246
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
from genbench.nets.linear import transposed
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
        decoder: D, z -> reals around [-1, 1]; None: E transposed, of a linear E.
        optimizer: Optimizer of both networks.
        latent: d, the number of entries of z.
        beta: Weight of |z|^2 / 2.
        weight_penalty: lambda, the weight of the squares of the decoder's weights.
        components: Gaussians of the mixture.
        passes: Steps of expectation maximisation, each over all codes.
        noise: sigma, the standard deviation of the noise that training adds to an image before it is
            encoded.
        sparsity: alpha, the weight of |z|_1.
    """

    likelihood = None
    logits: Tensor

    def __init__(
        self,
        spec: Spec,
        encoder: NetFactory,
        decoder: NetFactory | None,
        optimizer: OptimizerFactory,
        latent: int = 16,
        beta: float = 1e-3,
        weight_penalty: float = 0.0,
        components: int = 10,
        passes: int = 50,
        noise: float = 0.0,
        sparsity: float = 0.0,
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
        if weight_penalty and decoder is None:
            raise ValueError(f"weight_penalty is 0 for tied weights, not {weight_penalty}")
        if not (0 <= noise < math.inf and 0 <= sparsity < math.inf):
            raise ValueError(f"noise and sparsity are at least 0, not {noise} and {sparsity}")
        self.beta = beta
        self.weight_penalty = weight_penalty
        self.passes = passes
        self.noise = noise
        self.sparsity = sparsity
        self.E = encoder(spec.shape, (latent,), 0)
        self.D = decoder((latent,), spec.shape, 0) if decoder else transposed(self.E)
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
        """The squared error of an image and its penalties, without unit."""
        v = self.to_real(x)
        noisy = v
        if self.noise:
            noisy = v + self.noise * rng.split("noise").normal(v.shape[1:])
        z = self.E(noisy)
        error = (v - self.D(z)).square().flatten(1).sum(1).mean()
        size = z.square().sum(1).mean() / 2
        losses = {"reconstruction": error, "code": size}
        total = error + self.beta * size
        if self.sparsity:
            losses["sparsity"] = z.abs().sum(1).mean()
            total = total + self.sparsity * losses["sparsity"]
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
