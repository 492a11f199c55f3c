r"""Variational autoencoder.

    p(x) = \int p(x|z) p(z) dz,    p(z) = N(0, I),    q(z|x) = N(m(x), diag s(x)^2)

    log p(x) >= ELBO = E_{q(z|x)} [log p(x|z)] - KL(q(z|x) || p(z))                                     (Kingma & Welling, eq. 3)
    log p(x) >= E_{z_1..z_K ~ q} log 1/K sum_k w_k,    w_k = p(x|z_k) p(z_k) / q(z_k|x)                 (Burda et al., eq. 8)

Weights that are annealed from q(z|x) to p(z|x) are an estimate instead (`genbench.formulas.ais`), nearer to log p(x) where q is poor.

The conditional model (Sohn et al.) hands y to both networks, as a one-hot vector, and keeps the
prior:

    p(x|y) = \int p(x|z, y) p(z) dz,    q(z|x, y) = N(m(x, y), diag s(x, y)^2)

The decoder p(x|z) is a distribution of integer pixels: logistic or Gaussian bin masses on [-1, 1], or Bernoulli for two levels.

References:
    Kingma, Welling (2014), Auto-Encoding Variational Bayes. arXiv:1312.6114
    Burda, Grosse, Salakhutdinov (2016), Importance Weighted Autoencoders. arXiv:1509.00519
    Higgins et al. (2017), beta-VAE.
    Sohn, Lee, Yan (2015), Learning Structured Output Representation using Deep Conditional
    Generative Models. NeurIPS 28
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.capabilities import Latent
from genbench.formulas.ais import annealed_importance
from genbench.formulas.likelihood import (
    gaussian_kl,
    gaussian_log_density,
    gaussian_log_mass,
    importance_weighted,
    location_and_scale,
    logistic_log_mass,
    sum_dims,
)
from genbench.formulas.pixels import bits_per_dim
from genbench.formulas.priors import Normal
from genbench.model import GenerativeModel
from genbench.nets.net import NetFactory
from genbench.records.parts import LikelihoodKind
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory

__all__ = ["VAE"]


class VAE(GenerativeModel):
    """Gaussian encoder and prior; log_prob is a lower bound, or an estimate by annealing.

    Args:
        spec: The images.
        encoder: x in [-1, 1] -> (m, log s), 2 x latent numbers.
        decoder: z -> parameters of p(x|z): (mean, log scale) per pixel, or one logit per pixel.
        optimizer: Optimizer of all parameters.
        latent: Dimension of z.
        likelihood_model: p(x|z). `bernoulli` needs two levels.
        beta: Weight of the KL in the training loss; 1 is the ELBO. Evaluation always uses 1.
        K: Samples of q per image in the training loss: 1 is the ELBO, more the importance-weighted
            bound, which has no beta.
        conditional: Model p(x | y) of the data's labels in place of p(x).
    """

    likelihood = "bound"

    def __init__(
        self,
        spec: Spec,
        encoder: NetFactory,
        decoder: NetFactory,
        optimizer: OptimizerFactory,
        latent: int = 16,
        likelihood_model: Literal["logistic", "gaussian", "bernoulli"] = "logistic",
        beta: float = 1.0,
        K: int = 1,
        conditional: bool = False,
    ) -> None:
        super().__init__(spec, optimizer, conditional)
        if likelihood_model == "bernoulli" and spec.levels != 2:
            raise ValueError(
                f"likelihood_model: bernoulli needs data of 2 levels, not {spec.levels}; use"
                " logistic or gaussian"
            )
        if likelihood_model not in ("logistic", "gaussian", "bernoulli"):
            raise ValueError(
                "likelihood_model is 'logistic', 'gaussian' or 'bernoulli', not"
                f" {likelihood_model!r}"
            )
        if latent < 1:
            raise ValueError(f"latent is at least 1, not {latent}")
        if K < 1 or (K > 1 and beta != 1):
            raise ValueError(
                f"K is at least 1, and 1 where beta is not; not {K} with beta {beta:g}"
            )
        self.latent = Latent((latent,), Normal())
        self.likelihood_model = likelihood_model
        self.beta = beta
        self.K = K
        C, H, W = spec.shape
        self.encoder = encoder(spec.shape, (2 * latent,), self.classes)
        self.decoder = decoder(
            (latent,), (C if likelihood_model == "bernoulli" else 2 * C, H, W), self.classes
        )

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """The negative ELBO and its two parts, or the negative bound of K samples (Burda et al., eq.
        8), in bits/dim.
        """
        parts = {
            name: bits_per_dim(-nats.mean(), self.spec.dims)
            for name, nats in self.terms(x, y, rng, self.K).items()
        }
        if self.K > 1:
            return {"loss": parts["importance-weighted"]}
        return {"loss": parts["reconstruction"] + self.beta * parts["kl"], **parts}

    def sample(
        self, rng: Rng, y: Tensor | None = None, decoder: Literal["sample", "mean"] = "sample"
    ) -> Tensor:
        """z ~ p(z), then x ~ p(x|z), or the mean of p(x|z) before rounding, which most papers show."""
        theta = self.decoder(self.latent.draw(rng), self.condition(y))
        if decoder == "mean":
            return self.decoded_mean(theta)
        if decoder != "sample":
            raise ValueError(f"decoder is 'sample' or 'mean', not {decoder!r}")
        u = rng.uniform(self.spec.shape)
        if self.likelihood_model == "bernoulli":
            return (u < torch.sigmoid(theta)).to(self.spec.dtype)
        mean, log_s = location_and_scale(theta)
        noise = (
            torch.logit(u)
            if self.likelihood_model == "logistic"
            else math.sqrt(2) * torch.erfinv(2 * u - 1)
        )
        return self.to_pixels(mean + log_s.exp() * noise)

    def terms(
        self, x: Tensor, y: Tensor | None = None, rng: Rng | None = None, K: int = 1, ais: int = 1
    ) -> dict[str, Tensor]:
        """-ELBO as reconstruction and KL (K = 1), the negative bound of K weights, or the estimate
        of annealed ones. (B,) nats.

        Args:
            x: integers (B, C, H, W).
            y: int64 (B,) labels of a model of p(x | y).
            rng: One stream per image.
            K: Importance weights, or annealed chains, per image.
            ais: Temperatures from q(z|x) to the posterior; 1 does not anneal.
        """
        if K < 1:
            raise ValueError(f"K is at least 1, not {K}")
        if ais < 1:
            raise ValueError(f"ais is at least 1 temperature, not {ais}")
        rng = rng or self.fixed_rng(x)
        m, log_s = self.encoder(self.to_real(x), self.condition(y)).chunk(2, dim=1)
        if K == ais == 1:
            z = m + log_s.exp() * rng.normal(self.latent.shape)
            kl = gaussian_kl(m, log_s, torch.zeros_like(m), torch.zeros_like(m))
            return {"reconstruction": -self.log_likelihood(x, z, y), "kl": sum_dims(kl)}

        def log_w(e: Tensor) -> Tensor:
            z = m + log_s.exp() * e
            prior = gaussian_log_density(z, torch.zeros_like(z), torch.zeros_like(z))
            return self.log_likelihood(x, z, y) + sum_dims(
                prior - gaussian_log_density(z, m, log_s)
            )

        log_p = importance_weighted(
            K, lambda k: annealed_importance(log_w, self.latent.dims, rng, ais)
        )
        return {"importance-weighted" if ais == 1 else "annealed": -log_p}

    def likelihood_kind(self, **options: Any) -> LikelihoodKind:
        if options.get("ais", 1) == 1:
            return "bound"
        return "estimate"

    def log_likelihood(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x|z), or log p(x|z, y), (B,) nats of the integer image."""
        theta = self.decoder(z, self.condition(y))
        if self.likelihood_model == "bernoulli":
            return -sum_dims(
                F.binary_cross_entropy_with_logits(theta, x.to(theta.dtype), reduction="none")
            )
        mass = logistic_log_mass if self.likelihood_model == "logistic" else gaussian_log_mass
        return sum_dims(mass(x, self.spec.levels, *location_and_scale(theta)))

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean of q(z|x), (B, latent)."""
        return self.encoder(self.to_real(x), self.condition(y)).chunk(2, dim=1)[0]

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean of p(x|z) as an integer image, integers (B, C, H, W)."""
        return self.decoded_mean(self.decoder(z, self.condition(y)))

    def decoded_mean(self, theta: Tensor) -> Tensor:
        """Decoder output -> the location of p(x|z), rounded."""
        if self.likelihood_model == "bernoulli":
            return (theta > 0).to(self.spec.dtype)
        return self.to_pixels(location_and_scale(theta)[0])
