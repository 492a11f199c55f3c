r"""Variational autoencoder.

    p(x) = \int p(x|z) p(z) dz,    p(z) = N(0, I),    q(z|x) = N(m(x), diag s(x)^2)

    log p(x) >= ELBO = E_{q(z|x)} [log p(x|z)] - KL(q(z|x) || p(z))                                     (Kingma & Welling, eq. 3)
    log p(x) >= E_{z_1..z_K ~ q} log 1/K sum_k w_k,    w_k = p(x|z_k) p(z_k) / q(z_k|x)                 (Burda et al., eq. 8)

Weights that are annealed from q(z|x) to p(z|x) are an estimate instead (`genbench.formulas.ais`), nearer to log p(x) where q is poor.

The conditional model (Sohn et al.) hands y to both networks, as a one-hot vector, and keeps the
prior:

    p(x|y) = \int p(x|z, y) p(z) dz,    q(z|x, y) = N(m(x, y), diag s(x, y)^2)

What is varied: p(x|z), a distribution of integer pixels (`genbench.formulas.pixel_laws`); q(z|x), also richer
than diagonal (`genbench.nets.posteriors`); p(z), also learnt (`genbench.nets.priors`). The KL is in closed
form for Gaussian q and p(z) = N(0, I), else log q(z|x) - log p(z) of the same draw. Training minimises

    1/N sum_n -log p(x|z_n) + beta min(1, t / T) sum_j max(lambda, E_x KL_j),    z_n ~ q(z|x),   t images seen

with the N samples of Kingma & Welling (their L), the free bits lambda of each latent j (Kingma et al.
2016), or d lambda of all where log q and log p have no parts, and a warm-up of T images (Sonderby et al.).

References:
    Kingma, Welling (2014), Auto-Encoding Variational Bayes. arXiv:1312.6114
    Burda, Grosse, Salakhutdinov (2016), Importance Weighted Autoencoders. arXiv:1509.00519
    Higgins et al. (2017), beta-VAE.
    Sohn, Lee, Yan (2015), Learning Structured Output Representation using Deep Conditional
    Generative Models. NeurIPS 28
    Kingma et al. (2016), Improving variational inference with inverse autoregressive flow. arXiv:1606.04934
    Sonderby et al. (2016), Ladder variational autoencoders. arXiv:1602.02282
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from genbench.capabilities import Latent
from genbench.formulas.ais import annealed_importance
from genbench.formulas.likelihood import importance_weighted, log_ratio, sum_dims
from genbench.formulas.pixel_laws import pixel_law
from genbench.formulas.pixels import bits_per_dim
from genbench.formulas.priors import Normal, Reals
from genbench.model import GenerativeModel
from genbench.nets.net import NetFactory
from genbench.nets.posteriors import Diagonal, Parts, PosteriorFactory
from genbench.nets.priors import LearntPriorFactory
from genbench.records.parts import LikelihoodKind
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory, warmup_factor

__all__ = ["VAE"]

# A score maps images and a decoder's numbers theta to log p(x|theta), (B,) nats.
PixelScore = Callable[[Tensor, Tensor], Tensor]


class VAE(GenerativeModel):
    """Encoder, decoder and prior; log_prob is a lower bound, or an estimate by annealing.

    Args:
        spec: The images.
        encoder: x in [-1, 1] -> the numbers that q(z|x) takes, of the diagonal one (m, log s).
        decoder: z -> parameters of p(x|z): mean and log scale, mean, or logit of every pixel.
        optimizer: Optimizer of all parameters.
        latent: d, the dimension of z.
        likelihood_model: p(x|z). `bernoulli` needs two levels.
        beta: Weight of the KL in the training loss; 1 is the ELBO. Evaluation always uses 1.
        K: Samples of q per image in the training loss: 1 is the ELBO, more the importance-weighted
            bound, which has no beta.
        conditional: Model p(x | y) of the data's labels in place of p(x).
        sigma: Scale of p(x|z): of every pixel by the decoder, one that is learnt, or a number.
        posterior: q(z|x). Default: Gaussian with diagonal covariance.
        prior: p(z). Default: N(0, I).
        N: Samples of q per image over which the training loss averages the ELBO.
        free_bits: lambda: nats per latent, on the mean of a batch, below which the KL is not pushed.
        kl_warmup_images: T, images over which the weight of the KL rises from 0.
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
        sigma: Literal["pixel", "one"] | float = "pixel",
        posterior: PosteriorFactory | None = None,
        prior: LearntPriorFactory | None = None,
        N: int = 1,
        free_bits: float = 0.0,
        kl_warmup_images: int = 0,
    ) -> None:
        super().__init__(spec, optimizer, conditional)
        if latent < 1:
            raise ValueError(f"latent is at least 1, not {latent}")
        if K < 1 or (K > 1 and beta != 1):
            raise ValueError(
                f"K is at least 1, and 1 where beta is not; not {K} with beta {beta:g}"
            )
        if N < 1 or min(free_bits, kl_warmup_images) < 0:
            least = "N is at least 1, free_bits and kl_warmup_images at least 0, not"
            raise ValueError(f"{least} {N}, {free_bits} and {kl_warmup_images}")
        if K > 1 and (N > 1 or free_bits or kl_warmup_images):
            raise ValueError(f"N, free_bits and kl_warmup_images are of the ELBO: K is 1, not {K}")
        self.d = latent
        self.beta = beta
        self.K = K
        self.N = N
        self.free_bits = free_bits
        self.batch_coupled = free_bits > 0
        self.kl_warmup_images = kl_warmup_images
        self.pixels = pixel_law(likelihood_model, sigma, spec)
        self.posterior = Diagonal(latent) if posterior is None else posterior(latent)
        _, H, W = spec.shape
        self.encoder = encoder(spec.shape, (self.posterior.numbers,), self.classes)
        self.decoder = decoder((latent,), (self.pixels.channels, H, W), self.classes)
        self.prior = None if prior is None else prior(spec.shape, latent)
        if self.prior is not None:
            self.prior.check(self.posterior)

    @property
    def law(self) -> Reals:
        """p(z) with the parameters of now."""
        return Normal() if self.prior is None else self.prior.law(self.encode_pseudo)

    @property
    def latent(self) -> Latent:
        """d entries of p(z)."""
        return Latent((self.d,), self.law)

    def encode_pseudo(self, u: Tensor) -> Parts:
        """What q(z|u) is made of, of images u of reals; of p(x | y), the labels take turns."""
        return self.infer(u, torch.arange(len(u), device=u.device) % max(self.classes, 1))

    def infer(self, v: Tensor, y: Tensor | None) -> Parts:
        """What q(z|x) is made of, from reals v."""
        return self.posterior.split(self.encoder(v, self.condition(y)))

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """The negative ELBO and its two parts, or the negative bound of K samples (Burda et al.,
        eq. 8), in bits/dim.
        """
        D = self.spec.dims
        if self.K > 1:
            log_p = self.weighted(x, y, rng, self.K, 1, self.pixels.objective)
            return {"loss": bits_per_dim(log_p.mean(), D)}
        reconstruction, kl = self.elbo(x, y, rng, self.N, self.pixels.objective)
        parts = {
            "reconstruction": bits_per_dim(-reconstruction.mean(), D),
            "kl": bits_per_dim(-sum_dims(kl).mean(), D),
        }
        rate = parts["kl"]
        if self.free_bits:
            least = self.free_bits * self.d / kl.shape[1]
            rate = bits_per_dim(-kl.mean(0).clamp(min=least).sum(), D)
        weight = self.beta * warmup_factor(self.images_seen, self.kl_warmup_images)
        return {"loss": parts["reconstruction"] + weight * rate, **parts}

    def sample(
        self, rng: Rng, y: Tensor | None = None, decoder: Literal["sample", "mean"] = "sample"
    ) -> Tensor:
        """z ~ p(z), then x ~ p(x|z), or the mean of p(x|z) before rounding, which most papers show."""
        theta = self.decoder(self.latent.draw(rng), self.condition(y))
        if decoder == "mean":
            return self.pixels.centre(theta)
        if decoder != "sample":
            raise ValueError(f"decoder is 'sample' or 'mean', not {decoder!r}")
        return self.pixels.draw(theta, rng)

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
        if K == ais == 1:
            reconstruction, kl = self.elbo(x, y, rng, 1, self.pixels.log_mass)
            return {"reconstruction": reconstruction, "kl": sum_dims(kl)}
        log_p = self.weighted(x, y, rng, K, ais, self.pixels.log_mass)
        return {"importance-weighted" if ais == 1 else "annealed": -log_p}

    def elbo(
        self, x: Tensor, y: Tensor | None, rng: Rng, N: int, score: PixelScore
    ) -> tuple[Tensor, Tensor]:
        """-log p(x|z), (B,) nats, and the KL by its parts, (B, d) or (B, 1): means of N draws."""
        phi = self.infer(self.to_real(x), y)
        errors = []
        draws = []
        for _ in range(N):
            z, log_q = self.posterior(phi, rng.normal((self.d,)))
            errors.append(-score(x, self.decoder(z, self.condition(y))))
            draws.append((z, log_q))
        kl = self.posterior.kl(phi) if self.prior is None else None
        if kl is None:
            law = self.law
            ratios = [log_ratio(law.log_density(z), log_q()) for z, log_q in draws]
            kl = -torch.stack(ratios).mean(0)
        return torch.stack(errors).mean(0), kl

    def weighted(
        self, x: Tensor, y: Tensor | None, rng: Rng, K: int, ais: int, score: PixelScore
    ) -> Tensor:
        """log of the mean of K weights, importance weights or annealed ones, (B,) nats."""
        phi = self.infer(self.to_real(x), y)
        law = self.law

        def log_w(e: Tensor) -> Tensor:
            z, log_q = self.posterior(phi, e)
            log_prior = law.log_density(z)
            log_p = score(x, self.decoder(z, self.condition(y)))
            return log_p + sum_dims(log_ratio(log_prior, log_q()))

        return importance_weighted(K, lambda k: annealed_importance(log_w, self.d, rng, ais))

    def likelihood_kind(self, **options: Any) -> LikelihoodKind:
        if options.get("ais", 1) == 1:
            return "bound"
        return "estimate"

    def log_likelihood(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x|z), or log p(x|z, y), (B,) nats of the integer image."""
        return self.pixels.log_mass(x, self.decoder(z, self.condition(y)))

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean of q(z|x), or of a flow the latent of no noise, (B, d)."""
        return self.posterior.centre(self.infer(self.to_real(x), y))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean of p(x|z) as an integer image, integers (B, C, H, W)."""
        return self.pixels.centre(self.decoder(z, self.condition(y)))
