r"""Denoising diffusion probabilistic model.

    q(x_t | x_0) = N(sqrt(abar_t) x_0, (1 - abar_t) I):    x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps,  eps ~ N(0, I) (eq. 4)
    p(x_{t-1} | x_t) = N(mu(x_t, x0_hat), sigma_t^2 I),    x0_hat = (x_t - sqrt(1 - abar_t) eps_hat(x_t, t)) / sqrt(abar_t)

where mu(x_t, x_0) is the mean of q(x_{t-1} | x_t, x_0), equation 7. The bound, in nats of the integer image, with D dimensions:

    -log p(x) <= L_T + sum_{t=2}^T L_{t-1} + L_0                                                                         (eq. 5)
    L_T       = KL(q(x_T | x_0) || N(0, I))
    L_{t-1}   = E KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)) = C_t D + lambda_t E |eps - eps_hat|^2,
                lambda_t = beta_t^2 / (2 sigma_t^2 (1 - beta_t) (1 - abar_t))                                           (eq. 12)
    L_0       = -E log p(x_0 | x_1),  masses of N(mu, sigma_1^2) on the bins of the pixels                              (eq. 13)

sigma_t^2 is the posterior variance (1 - abar_{t-1}) / (1 - abar_t) beta_t, for which C_t = 0, or
beta_t. The first is 0 at t = 1, which no decoder can use: as in the program that Ho et al.
published, sigma_1^2 is then that of t = 2.

Training draws one t per image, from which two weightings are made:

    simple        mean |eps - eps_hat|^2 / D,  t = 1, ..., T                                                            (eq. 14)
    variational   the bound in bits/dim: L_T + T L_{t-1}, whose expectation it is

x0_hat is set to [-1, 1], in training of the bound, in log_prob and in sampling alike, but not at t
= 1. Where t > 1, this moves it towards any x_0, so that no term grows. In L_0 a mean beyond -1 or 1
is right for an outer pixel, whose bin has no end on that side.

Sampling walks down a sub-sequence of the times by the steps of `Ancestral` or `DDIM` in
`formulas.samplers`. The bound is that of the chain by ancestral steps at every time, with the noise
sigma_1 at its end. What is sampled follows another law: without that last noise, where steps are
left out, and with DDIM, whose images at eta = 0 are a function of x_T.

The conditional model of p(x_{t-1} | x_t, y) adds a linear map of the one-hot y to the features of t. Where labels are dropped in
training, the features of t alone are a model of p(x), and sampling may lean away from it
(classifier-free guidance):

    eps_tilde = (1 + w) eps_hat(x_t, t, y) - w eps_hat(x_t, t)                                            (Ho & Salimans, eq. 6)

References:
    Ho, Jain, Abbeel (2020), Denoising diffusion probabilistic models. arXiv:2006.11239
    Ho, Salimans (2022), Classifier-free diffusion guidance. arXiv:2207.12598
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from genbench.formulas.chain import Chain, bound_tables, chain_sampler, prior_kl, time_shares
from genbench.formulas.likelihood import gaussian_log_mass, sum_dims
from genbench.formulas.noise import Level, Schedule, expand
from genbench.formulas.noise_end import check_end
from genbench.formulas.pixels import bits_per_dim, pull_inside
from genbench.formulas.samplers import Sampler, Variance, walk
from genbench.formulas.time_sums import estimated_sum, terms_at
from genbench.model import GenerativeModel
from genbench.nets.denoiser import TimedNet
from genbench.nets.net import NetFactory
from genbench.nets.time import Fourier, Sinusoidal
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory

__all__ = ["DDPM"]


class DDPM(GenerativeModel):
    """Noise prediction on a fixed chain of T steps; log_prob is a lower bound.

    Args:
        spec: The images.
        net: x_t -> eps_hat, conditioned on features of t, and of y.
        optimizer: Optimizer of all parameters.
        schedule: The path of which the chain has the levels t / T; alpha^2 + sigma^2 = 1 there, and
            the chain ends with noise (`noise_end.check_end`).
        T: Steps of the chain, at least 2.
        weighting: Training loss: eq. 14, or the bound itself.
        variance: sigma_t^2 of p(x_{t-1} | x_t).
        time: Features of t: geometric frequencies, or random ones.
        cond_width: Length of the conditioning vector made from t, even.
        conditional: Model p(x | y) of the data's labels in place of p(x).
        label_dropout: Probability p < 1 that training drops an image's label; guidance needs p > 0.
    """

    likelihood = "bound"
    abar: Tensor
    sigma2: Tensor
    weight: Tensor
    constant: Tensor

    def __init__(
        self,
        spec: Spec,
        net: NetFactory,
        optimizer: OptimizerFactory,
        schedule: Schedule,
        T: int = 1000,
        weighting: Literal["simple", "variational"] = "simple",
        variance: Variance = "posterior",
        time: Literal["sinusoidal", "fourier"] = "sinusoidal",
        cond_width: int = 128,
        conditional: bool = False,
        label_dropout: float = 0.0,
    ) -> None:
        super().__init__(spec, optimizer, conditional)
        if T < 2:
            raise ValueError(f"T is at least 2, not {T}")
        for name, value, known in (
            ("weighting", weighting, ("simple", "variational")),
            ("variance", variance, ("posterior", "beta")),
            ("time", time, ("sinusoidal", "fourier")),
        ):
            if value not in known:
                raise ValueError(f"{name} is one of {known}, not {value!r}")
        if not 0 <= label_dropout < 1 or (label_dropout and not conditional):
            raise ValueError(
                "label_dropout is 0 for a model of p(x), and below 1 for one of p(x | y), not"
                f" {label_dropout}"
            )
        self.T = T
        self.weighting = weighting
        self.variance = variance
        self.label_dropout = label_dropout
        for table, tensor in bound_tables(schedule.betas(T), variance).items():
            self.register_buffer(table, tensor, persistent=False)
        check_end(self.schedule.level(1.0), schedule)
        # Features see t in thousandths of the chain, or as a fraction of it, so that the times that
        # they tell apart do not depend on T.
        self.unit = (1000 if time == "sinusoidal" else 1) / T
        features = Sinusoidal(cond_width) if time == "sinusoidal" else Fourier(cond_width)
        self.denoiser = TimedNet(net, spec.shape, features, cond_width, self.classes)

    @property
    def schedule(self) -> Chain:
        """The chain; its time t is t / T there."""
        return Chain(self.abar)

    # --- training ---------------------------------------------------------------------------------

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        """Eq. 14, a mean square without unit, or an unbiased estimate of the bound in bits/dim."""
        t = 1 + rng.integers(self.T)
        x_0 = self.to_real(x)
        eps = rng.normal(self.spec.shape)
        cond = self.condition(y)
        if cond is not None and self.label_dropout:
            cond = cond * (rng.uniform((1,)) >= self.label_dropout)
        if self.weighting == "simple":
            eps_hat = self.predict_noise(self.diffuse(x_0, t, eps), t, cond)
            return {"loss": ((eps - eps_hat) ** 2).mean()}
        nats = self.last_term(x_0) + self.T * self.step_term(x, t, eps, cond)
        return {"loss": bits_per_dim(-nats.mean(), self.spec.dims)}

    def diffuse(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """x_t of eq. 4. t: int64 (B,)."""
        return self.schedule.diffuse(x_0, eps, t / self.T)

    def predict_noise(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """eps_hat(x_t, t, y), shape of x_t. t: int64 (B,). cond: y as `condition` gives it; without
        it eps_hat(x_t, t).
        """
        return self.denoiser(x_t, t.to(x_t.dtype) * self.unit, cond)

    def predict_data(
        self,
        x_t: Tensor,
        t: Tensor,
        cond: Tensor | None = None,
        clip: bool = True,
        guidance: float = 0.0,
    ) -> Tensor:
        """x0_hat by eps_tilde, inside [-1, 1] where `clip`, with the gradient of the unclipped one."""
        eps_hat = self.predict_noise(x_t, t, cond)
        if guidance:
            # This is eq. 6 of Ho and Salimans.
            eps_hat = eps_hat + guidance * (eps_hat - self.predict_noise(x_t, t))
        x_0 = self.schedule.from_noise(eps_hat, x_t, t / self.T)
        return pull_inside(x_0) if clip else x_0

    def denoise(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """x0_hat inside [-1, 1]. t: float64 (B,), steps over T. y: int64 (B,) of p(x | y)."""
        return self.predict_data(x_t, self.schedule.index(t), self.condition(y))

    # --- the bound --------------------------------------------------------------------------------

    def last_term(self, x_0: Tensor) -> Tensor:
        """L_T, (B,) nats."""
        return prior_kl(x_0, self.abar[-1])

    def step_term(
        self, x: Tensor, t: Tensor, eps: Tensor, cond: Tensor | None = None, clip: bool = True
    ) -> Tensor:
        """L_{t-1} for one noise, (B,) nats; L_0, which is not clipped, where t = 1. x: integers (B, C,
        H, W). t: int64 (B,).
        """
        x_0 = self.to_real(x)
        x_t = self.diffuse(x_0, t, eps)
        x0_hat = self.predict_data(x_t, t, cond, clip=False)
        first = expand(t, x_0) == 1
        if clip:
            x0_hat = torch.where(first, x0_hat, pull_inside(x0_hat))
        eps_hat = self.schedule.noise_of(x0_hat, x_t, t / self.T)
        square = (eps - eps_hat) ** 2
        inner = expand(self.constant[t], x_0) + expand(self.weight[t], x_0) * square
        # This is eq. 13. At t = 1 the posterior mean is x0_hat itself. At other times, x_0 takes
        # its place, to keep the gradients finite that are not used.
        mean = torch.where(first, x0_hat, x_0)
        log_s = 0.5 * self.sigma2[1].log().to(x_0.dtype)
        mass = gaussian_log_mass(x, self.spec.levels, mean, log_s)
        return sum_dims(torch.where(first, -mass, inner))

    def terms(
        self,
        x: Tensor,
        y: Tensor | None = None,
        rng: Rng | None = None,
        timesteps: int | None = None,
        clip: bool = True,
    ) -> dict[str, Tensor]:
        """L_T, the sum of L_{t-1} over t = 2, ..., T, and L_0, by one noise each: (B,) nats.

        Args:
            x: integers (B, C, H, W).
            y: int64 (B,) labels of a model of p(x | y).
            rng: One stream per image.
            timesteps: K: the sum is estimated, without bias, from K stratified times per image.
                Default: all T - 1.
            clip: x0_hat is set to [-1, 1] where t > 1, as in training and `sample`: no term is
                larger for it.
        """
        if timesteps is not None and timesteps < 1:
            raise ValueError(f"timesteps is at least 1, not {timesteps}")
        rng = rng or self.fixed_rng(x)
        first = self.terms_at(self.times_of(x, 1, 1), x, y, rng.split("first"), clip).sum(1)
        noise = rng.split("noise")
        if timesteps is None:
            inner = self.terms_at(self.times_of(x, 2, self.T), x, y, noise, clip).sum(1)
        else:
            inner = estimated_sum(
                lambda t: self.terms_at(t, x, y, noise, clip),
                self.constant * self.spec.dims,
                self.time_shares(),
                rng.split("offset").uniform(),
                timesteps,
            ).to(self.dtype)
        return {"L_T": self.last_term(self.to_real(x)), "L_{t-1}": inner, "L_0": first}

    def terms_at(self, t: Tensor, x: Tensor, y: Tensor | None, rng: Rng, clip: bool) -> Tensor:
        """`step_term` at K times per image: int64 (B, K) -> (B, K) nats."""
        cond = self.condition(y)

        def term(rows: Tensor, t: Tensor, eps: Tensor) -> Tensor:
            return self.step_term(x[rows], t, eps, None if cond is None else cond[rows], clip)

        return terms_at(term, t, rng, self.spec.shape)

    def times_of(self, x: Tensor, first: int, last: int) -> Tensor:
        """The times first, ..., last of every image, int64 (B, last - first + 1)."""
        return torch.arange(first, last + 1, device=x.device).expand(len(x), -1)

    def time_shares(self) -> Tensor:
        """p_t, float64 (T + 1,), by which K times are drawn; 0 at t = 0 and 1."""
        return time_shares(self.weight, self.abar)

    # --- sampling ---------------------------------------------------------------------------------

    @torch.no_grad()
    def trajectory(
        self,
        x: Tensor,
        rng: Rng,
        y: Tensor | None = None,
        sampler: Sampler | Literal["ancestral", "ddim"] = "ancestral",
        steps: int | None = None,
        eta: float = 0.0,
        clip: bool = True,
        guidance: float = 0.0,
    ) -> Iterator[Tensor]:
        """From x_T, the real images after every step, the last of which is x_0.

        Args:
            x: x_T, (B, C, H, W).
            rng: One stream per image.
            y: int64 (B,) labels of a model of p(x | y).
            sampler: Ancestral with the model's variance, DDIM, or any other.
            steps: Evaluations of the network, 1 to T. Default: T.
            eta: Noise of DDIM: 0 is deterministic given x_T, 1 has the posterior variance.
            clip: x0_hat is set to [-1, 1] in every step.
            guidance: w >= 0; away from 0 a step takes two evaluations of the network.
        """
        chosen = chain_sampler(sampler, self.variance, eta)
        if guidance < 0 or (guidance and not self.label_dropout):
            raise ValueError(
                "guidance is at least 0, and 0 for a model trained without label_dropout, not"
                f" {guidance}"
            )
        grid = self.schedule.levels(self.T if steps is None else steps)
        cond = self.condition(y)

        def denoise(x: Tensor, level: Level) -> Tensor:
            t = torch.full((len(x),), self.schedule.step(level), device=x.device)
            return self.predict_data(x, t, cond, clip, guidance)

        yield from walk(chosen, denoise, x, grid, rng)
