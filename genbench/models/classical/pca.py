r"""Principal component analysis, and the Gaussian of which it is the most likely one.

    v     integer image x as reals, 2 (x + 1/2) / L - 1 in (-1, 1)^D            mu, S   mean and covariance of v
    S = sum_k lambda_k u_k u_k^T,   lambda_1 >= lambda_2 >= ...,    U = (u_1, ..., u_d),  Lambda = diag(lambda_1, ..., lambda_d)

    z ~ N(0, I_d),   v | z ~ N(mu + W z, sigma^2 I)                                                  (eq. 2)
    p(v) = N(v; mu, W W^T + sigma^2 I)                                                               (eq. 4)
    z | v ~ N(M^{-1} W^T (v - mu), sigma^2 M^{-1}),   M = W^T W + sigma^2 I                          (eq. 6)

The likelihood has its maximum at

    sigma^2 = mean of lambda_{d+1}, ..., lambda_D,    W = U (Lambda - sigma^2 I)^{1/2}               (eq. 7, 8)

so that M = Lambda. PCA is the limit sigma -> 0: a point of the plane mu + span U, whose code is its
projection in units of the standard deviation, z = Lambda^{-1/2} U^T (v - mu). Of all planes it is the
one that is nearest to the images. As it has no density, samples are of the Gaussian of the codes.

Both are found by two passes over the training images, without a step of an optimizer. To every lambda
the variance of the noise is added that fills the cells of the pixels. Integer images are scored by
uniform dequantisation: `models/dequantised.py`. The probabilistic code is drawn towards 0, so that its
image is no projection: reconstructions are nearest to the images with `probabilistic: false`.

References:
    Tipping, Bishop (1999), Probabilistic principal component analysis. J. R. Stat. Soc. B 61
    Pearson (1901), On lines and planes of closest fit to systems of points in space. Philosophical
        Magazine 2
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from genbench.batch import Batch
from genbench.capabilities import Latent
from genbench.formulas.pixels import bits_per_dim
from genbench.formulas.priors import Normal
from genbench.models.dequantised import Dequantised
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory, Player

__all__ = ["PCA"]


class PCA(Dequantised):
    """A Gaussian whose covariance is of rank d and a multiple of the identity, or the plane of rank d alone.

    Args:
        spec: The images.
        optimizer: Is not used: two passes do everything.
        latent: d, the number of principal components.
        probabilistic: Whether there is noise, sigma > 0, and with it a density.
        floor: Variance that is added to every pixel, in squared grey levels; 1/12 is that of the
            noise in a cell.
    """

    interval = (-1.0, 1.0)

    def __init__(
        self,
        spec: Spec,
        optimizer: OptimizerFactory = torch.optim.Adam,
        latent: int = 16,
        probabilistic: bool = True,
        floor: float = 1 / 12,
    ) -> None:
        super().__init__(spec, optimizer)
        most = spec.dims - probabilistic
        if not 1 <= latent <= most:
            raise ValueError(f"latent is 1 to {most} for {spec.dims} pixels, not {latent}")
        if not 0 < floor < math.inf:
            raise ValueError(f"floor is above 0, or constant pixels have no density; not {floor:g}")
        self.probabilistic = probabilistic
        if not probabilistic:
            self.likelihood = None
            self.dequantisation = None
        self.floor = floor * (2 / spec.levels) ** 2
        self.latent = Latent((latent,), Normal())
        self.mu = _fitted(torch.zeros(spec.dims))
        self.U = _fitted(torch.eye(spec.dims, latent))
        self.lambdas = _fitted(torch.full((latent,), 0.5))
        self.variance = _fitted(torch.tensor(0.25 * probabilistic))  # sigma^2

    @property
    def W(self) -> Tensor:  # noqa: N802
        """W = U (Lambda - sigma^2 I)^{1/2}, float64 (D, d)."""
        return self.U.double() * self._signal().sqrt()

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Integer images -> E[z | v] at the centres of their cells, (B, d)."""
        # eq. 6 with M = Lambda
        gain = self._signal().sqrt() / self.lambdas.double()
        return ((self._centre(x) - self.mu.double()) @ self.U.double() * gain).to(self.dtype)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Codes (B, d) -> the pixels of mu + W z, integers (B, C, H, W)."""
        return self._image(self._mean(z))

    def sample(self, rng: Rng, y: Tensor | None = None) -> Tensor:
        """z ~ N(0, I), then v ~ N(mu + W z, sigma^2 I), then the cell that v lies in."""
        v = self._mean(self.latent.draw(rng.split("z")))
        if self.probabilistic:
            e = rng.split("e").normal(self.mu.shape).double()
            v = v + self.variance.double().sqrt() * e
        return self._image(v)

    def terms(
        self, x: Tensor, y: Tensor | None = None, rng: Rng | None = None, K: int = 1
    ) -> dict[str, Tensor]:
        """A lower bound of log P(x) by K noises; see `Dequantised`. Without sigma there is none."""
        if not self.probabilistic:
            raise TypeError("PCA has an implicit density unless it is probabilistic")
        return super().terms(x, y, rng, K)

    def density_terms(self, v: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """-log p(v), (B,) nats: the squares within the plane, and those of the distance to it."""
        lambdas = self.lambdas.double()
        variance = self.variance.double()
        apart = v.double().flatten(1) - self.mu.double()
        a = apart @ self.U.double()
        left = apart - a @ self.U.double().T
        D, d = self.U.shape
        squares = (a.square() / lambdas).sum(1) + left.square().sum(1) / variance
        log_det = lambdas.log().sum() + (D - d) * variance.log()
        return {"density": 0.5 * (squares + log_det + D * math.log(2 * math.pi))}

    def dequantise(self, x: Tensor, y: Tensor | None, rng: Rng, k: int) -> tuple[Tensor, Tensor]:
        """In float64, as the density."""
        return super().dequantise(x, y, rng.to(x.device, torch.float64), k)

    def players(self) -> dict[str, Player]:
        """None: `finalize` does everything."""
        return {}

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """What is smallest: -log_prob in bits/dim, or the squared distance to the plane."""
        if self.probabilistic:
            nll = bits_per_dim(self.log_prob(x, y, rng), self.spec.dims).mean()
            return {"loss": nll.to(self.dtype)}
        left = self._centre(x) - self._mean(self.encode(x))
        return {"loss": left.square().sum(1).mean().to(self.dtype)}

    @torch.no_grad()
    def finalize(self, batches: Iterable[Batch], rng: Rng) -> None:
        """mu by a first pass over the training images, S by a second one, then eq. 7 and 8."""
        images = 0
        total = self.mu.double() * 0
        for batch in batches:
            images = images + len(batch.x)
            total = total + self._centre(batch.x).sum(0)
        mu = total / images
        S = self.floor * torch.eye(len(mu), dtype=mu.dtype, device=mu.device)
        for batch in batches:
            apart = self._centre(batch.x) - mu
            S = S + apart.T @ apart / images
        self._become(mu, S)

    def _become(self, mu: Tensor, S: Tensor) -> None:
        """The maximum of the likelihood for a mean (D,) and a covariance (D, D)."""
        d = self.U.shape[1]
        lambdas, vectors = torch.linalg.eigh(S)
        lambdas = lambdas.flip(0)
        U = vectors.flip(1)[:, :d]
        # A vector and its negative are as good. The one whose largest entry is positive is taken.
        largest = U.gather(0, U.abs().argmax(0)[None])
        self.mu.copy_(mu)
        self.U.copy_(U * largest.sign())
        self.lambdas.copy_(lambdas[:d])
        if self.probabilistic:
            self.variance.copy_(lambdas[d:].mean())

    def _signal(self) -> Tensor:
        """Lambda - sigma^2 I, float64 (d,)."""
        # Rounding may make the difference negative where the two are equal.
        return (self.lambdas.double() - self.variance.double()).clamp(min=0)

    def _mean(self, z: Tensor) -> Tensor:
        """mu + W z, float64 (B, D)."""
        return self.mu.double() + z.double() @ self.W.T

    def _image(self, v: Tensor) -> Tensor:
        """Reals (B, D) -> integer images (B, C, H, W)."""
        return self.to_pixels(v).unflatten(1, self.spec.shape)

    def _centre(self, x: Tensor) -> Tensor:
        """v at the centres of the cells, float64 (B, D)."""
        return (2 * x.double().flatten(1) + 1) / self.spec.levels - 1


def _fitted(value: Tensor) -> nn.Parameter:
    """A value that no gradient learns."""
    return nn.Parameter(value, requires_grad=False)
