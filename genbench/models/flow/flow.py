r"""Normalising flows: an exact density of reals by one bijection.

    v   dequantised image in (0, 1)^D (`models/dequantised.py`)
    f   a bijection, z = f(v), with f^{-1} and the Jacobian's determinant in closed form
    p   the prior of the latent vector z of D entries: standard normal, or standard logistic

    log f(v) = log p(f(v)) + log|det df/dv|                                     (change of variables)

The conditional model hands y to the bijection as a one-hot vector and keeps the prior. Which method
it is depends on the bijection: `genbench.nets.bijections.realnvp.RealNVP` (Dinh et al. 2017),
`genbench.nets.bijections.nice.NICE` (Dinh et al. 2014), or one of one's own.

References:
    Rezende, Mohamed (2015), Variational inference with normalizing flows. arXiv:1505.05770
    Dinh, Krueger, Bengio (2014), NICE: Non-linear independent components estimation.
    arXiv:1410.8516
    Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP. arXiv:1605.08803
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from genbench.capabilities import Latent
from genbench.formulas.likelihood import sum_dims
from genbench.formulas.pixels import bits_per_dim
from genbench.formulas.priors import Logistic, Monotone, Normal
from genbench.models.dequantised import Dequantised, Dequantiser
from genbench.nets.bijections.bijection import Bijection, BijectionFactory
from genbench.nets.net import NetFactory
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory

__all__ = ["Flow"]


class Flow(Dequantised):
    """A bijection between dequantised images and a latent vector of a simple prior.

    Args:
        spec: Shape and levels of the images.
        bijection: f, (C, H, W) -> (D,).
        optimizer: Optimizer of the weights.
        prior: p(z), standard normal or standard logistic.
        dequantiser: Network of a coupling of q(u | x), (2C, H, W) -> (4C, H, W). Default: u is
            uniform.
        dequantiser_couplings: Number of couplings of q(u | x).
        conditional: Model p(x | y) of the data's labels in place of p(x).
    """

    def __init__(
        self,
        spec: Spec,
        bijection: BijectionFactory,
        optimizer: OptimizerFactory,
        prior: Literal["normal", "logistic"] = "normal",
        dequantiser: NetFactory | None = None,
        dequantiser_couplings: int = 4,
        conditional: bool = False,
    ) -> None:
        super().__init__(spec, optimizer, conditional)
        if prior not in ("normal", "logistic"):
            raise ValueError(f"prior is 'normal' or 'logistic', not {prior!r}")
        if dequantiser_couplings < 2:
            raise ValueError(
                f"dequantiser_couplings is at least 2, not {dequantiser_couplings}: "
                "a coupling leaves half of the entries alone"
            )
        self.prior: Monotone = Normal() if prior == "normal" else Logistic()
        self.latent = Latent((spec.dims,), self.prior)
        self.bijection: Bijection = bijection(spec.shape, self.classes)
        if dequantiser is not None:
            self.dequantiser = Dequantiser(spec, dequantiser, dequantiser_couplings, self.classes)
            self.dequantisation = "variational"

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """The negative bound of one noise and its parts, in bits/dim."""
        parts = {
            name: bits_per_dim(-nats.mean(), self.spec.dims)
            for name, nats in self.terms(x, y, rng).items()
        }
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def sample(self, rng: Rng, y: Tensor | None = None) -> Tensor:
        """z ~ p(z), then the cell that f^{-1}(z) lies in."""
        return self.decode(self.latent.draw(rng), y)

    def density_terms(self, v: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Prior and Jacobian, (B,) nats each."""
        z, log_det = self(v, y)
        return {"prior": -sum_dims(self.prior.log_density(z)), "jacobian": -log_det}

    def forward(self, v: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """v of shape (B, C, H, W) -> z of shape (B, D) and log|det dz/dv|, nats of shape (B,)."""
        return self.bijection(v, self.condition(y))

    def inverse(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """z of shape (B, D) -> v of shape (B, C, H, W)."""
        return self.bijection.inverse(z, self.condition(y))

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Integer images -> latents of the centres of their cells, (B, D)."""
        z, _ = self(self.to_centre(x), y)
        return z

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Latents (B, D) -> the images in whose cells f^{-1}(z) lies, integers (B, C, H, W).

        Inverse of `encode`.
        """
        return self.to_pixels(self.inverse(z, y))
