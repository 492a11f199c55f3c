r"""Vector-quantised variational autoencoder (VQ-VAE).

    z_e(x)      encoder's output, h x w vectors of d numbers
    e_1..e_K    codebook
    z(x)        codes: at every place the k whose e_k is nearest to z_e(x)                           (eq. 1)
    z_q(x)      the vectors e_{z(x)} of the codes, which the decoder sees                            (eq. 2)
    sg          the identity, without a gradient

    L(x) = -log p(x | z_q(x)) + ||sg[z_e(x)] - z_q(x)||^2 + beta ||z_e(x) - sg[z_q(x)]||^2           (eq. 3)

The first term trains the decoder and, as if z_q were z_e, the encoder: the gradient goes straight
through the choice of the codes. The second moves the codebook, the third keeps the encoder near it.

The decoder p(x | z) is a distribution of integer pixels, logistic bin masses on [-1, 1], so that
codes have a code length:

    p(x) = sum_z p(z) p(x | z)  >=  p(z(x)) p(x | z(x)),
    -log p(x)  <=  -log p(z(x)) - log p(x | z(x))

The sum over z is not taken: of its terms one is left, and none is negative. What is left adds up to
at most 1 over all x, since all terms do. Here p(z) is uniform over the K^(h w) codes, as during the
training of the paper; `LatentPrior` learns a better one when this model is finished.

References:
    van den Oord, Vinyals, Kavukcuoglu (2017), Neural Discrete Representation Learning.
    arXiv:1711.00937
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from genbench.batch import ImageBuffer
from genbench.capabilities import Latent
from genbench.formulas.likelihood import location_and_scale, logistic_log_mass, sum_dims
from genbench.formulas.pixels import bits_per_dim
from genbench.formulas.priors import Codes
from genbench.model import GenerativeModel
from genbench.nets.net import NetFactory
from genbench.rng import Rng
from genbench.spec import MAX_LEVELS, Spec
from genbench.steps import Losses, OptimizerFactory

__all__ = ["VQVAE"]

# The codes of this many training images are remembered, so that codes which none of them has can be
# counted.
_WINDOW = 4_096


class VQVAE(GenerativeModel):
    """Images as grids of codes, under a uniform prior; log_prob is a lower bound.

    Args:
        spec: The images.
        encoder: x in [-1, 1] -> z_e, of shape (d, h, w).
        decoder: z_q, of shape (d, h, w) -> mean and log scale per pixel.
        optimizer: Optimizer of all parameters, those of the codebook among them.
        K: Number of codes, 2 to 65,536.
        grid: h and w.
        d: Length of a code's vector.
        beta: Weight of the commitment of the encoder to the codebook.
    """

    likelihood = "bound"

    def __init__(
        self,
        spec: Spec,
        encoder: NetFactory,
        decoder: NetFactory,
        optimizer: OptimizerFactory,
        K: int = 512,
        grid: tuple[int, int] = (4, 4),
        d: int = 16,
        beta: float = 0.25,
    ) -> None:
        super().__init__(spec, optimizer)
        if not 2 <= K <= MAX_LEVELS:
            raise ValueError(f"K is 2 to {MAX_LEVELS:,}, not {K}")
        if min(grid) < 1 or d < 1:
            raise ValueError(f"grid and d are at least 1, not {grid} and {d}")
        if beta < 0:
            raise ValueError(f"beta is at least 0, not {beta:g}")
        self.K = K
        self.beta = beta
        self.latent = Latent(tuple(grid), Codes(K))
        C, H, W = spec.shape
        self.encoder = encoder(spec.shape, (d, *grid), 0)
        self.decoder = decoder((d, *grid), (2 * C, H, W), 0)
        # The codes start small compared with the vectors of the encoder. These vectors then lie
        # around all codes, and not near a few of them.
        self.codebook = nn.Parameter(0.1 * torch.randn(K, d))
        self.recent = ImageBuffer(torch.full((_WINDOW, *grid), -1, dtype=torch.int32))

    @property
    def codes(self) -> Spec:
        """The grid of codes, as an image of one channel with K levels."""
        h, w = self.latent.shape
        return Spec((1, h, w), self.K)

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """Eq. 3 over D log 2, so that its first part is in bits/dim.

        `perplexity` is that of the codes of the batch, between 1 and K. `codes_in_use` is the share
        of the K codes that the 4,096 training images before the batch had, those of all processes;
        as long as there were fewer, of those that there were.
        """
        z_e = self.encoder(self.to_real(x))
        z = self.nearest(z_e)
        self.recent.keep(rng, z)
        z_q = self.vectors(z)
        # This is eq. 3. The gradient of z_q is passed on to z_e.
        straight_through = z_e + (z_q - z_e).detach()
        parts = {
            "reconstruction": -self.log_mass(x, straight_through),
            "codebook": sum_dims((z_e.detach() - z_q) ** 2),
            "commitment": self.beta * sum_dims((z_e - z_q.detach()) ** 2),
        }
        losses = {name: bits_per_dim(-part.mean(), self.spec.dims) for name, part in parts.items()}
        return {
            "loss": sum(losses.values(), z_e.new_zeros(())),
            **losses,
            "perplexity": perplexity(z, self.K),
            "codes_in_use": share_in_use(self.recent.rows, self.K),
        }

    def nearest(self, z_e: Tensor) -> Tensor:
        """z of eq. 1: vectors (B, d, h, w) -> codes, int64 (B, h, w)."""
        v = z_e.movedim(1, -1)
        # This is ||v - e||^2 without ||v||^2, which is the same for every e.
        distance = (self.codebook**2).sum(1) - 2 * v @ self.codebook.T
        return distance.argmin(-1)

    def vectors(self, z: Tensor) -> Tensor:
        """z_q of eq. 2: codes, int64 (B, h, w) -> vectors (B, d, h, w)."""
        return nn.functional.embedding(z, self.codebook).movedim(-1, 1)

    def log_mass(self, x: Tensor, z_q: Tensor) -> Tensor:
        """log p(x | z_q), (B,) nats of the integer image."""
        return sum_dims(
            logistic_log_mass(x, self.spec.levels, *location_and_scale(self.decoder(z_q)))
        )

    def terms(
        self, x: Tensor, y: Tensor | None = None, rng: Rng | None = None
    ) -> dict[str, Tensor]:
        """-log p(x | z(x)) and -log p(z(x)) = h w log K, (B,) nats."""
        z = self.tokens(x)
        reconstruction = -self.log_likelihood(x, z)
        return {
            "reconstruction": reconstruction,
            "codes": torch.full_like(reconstruction, self.latent.dims * math.log(self.K)),
        }

    def sample(
        self, rng: Rng, y: Tensor | None = None, decoder: Literal["sample", "mean"] = "sample"
    ) -> Tensor:
        """z uniform, then x ~ p(x | z), or the rounded mean of p(x | z)."""
        return self.draw(self.latent.draw(rng), rng, decoder)

    # --- what a model of the codes needs ----------------------------------------------------------

    @torch.no_grad()
    def tokens(self, x: Tensor) -> Tensor:
        """z(x): integer images (B, C, H, W) -> codes, int64 (B, h, w)."""
        return self.nearest(self.encoder(self.to_real(x)))

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z), (B,) nats of the integer image. z: int64 (B, h, w)."""
        return self.log_mass(x, self.vectors(z))

    @torch.no_grad()
    def draw(self, z: Tensor, rng: Rng, decoder: Literal["sample", "mean"] = "sample") -> Tensor:
        """x ~ p(x | z), or its rounded mean: integers (B, C, H, W). z: int64 (B, h, w)."""
        if decoder not in ("sample", "mean"):
            raise ValueError(f"decoder is 'sample' or 'mean', not {decoder!r}")
        mean, log_s = location_and_scale(self.decoder(self.vectors(z)))
        if decoder == "mean":
            return self.to_pixels(mean)
        noise = torch.logit(rng.uniform(self.spec.shape))
        return self.to_pixels(mean + log_s.exp() * noise)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """z(x), int64 (B, h, w)."""
        return self.tokens(x)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The rounded mean of p(x | z), integers (B, C, H, W)."""
        return self.draw(z, Rng(0, range(len(z)), self.dtype, z.device), "mean")


def perplexity(z: Tensor, K: int) -> Tensor:
    """exp of the entropy of the codes' frequencies: how many of K codes, if all were as frequent.

    Examples:
        >>> round(perplexity(torch.tensor([0, 1, 1, 0]), K=8).item(), 6)
        2.0
    """
    shares = torch.bincount(z.flatten(), minlength=K).double() / z.numel()
    return torch.special.entr(shares).sum().exp()


def share_in_use(z: Tensor, K: int) -> Tensor:
    """The share of K codes that occur; the others are dead, if they never do.

    Args:
        z: Codes, integers of any shape; -1 where there is none.
        K: Number of codes.

    Examples:
        >>> share_in_use(torch.tensor([0, 1, 1, 0, -1]), K=8).item()
        0.25
    """
    return (torch.bincount(z[z >= 0], minlength=K) > 0).float().mean()
