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

Sampling walks down a sub-sequence of the times; s < t are neighbours in it, and 0 is its end:

    ancestral     x_s ~ p(x_s | x_t), the same formulas with beta_t = 1 - abar_t / abar_s         (Nichol & Dhariwal, section 4)
    ddim          x_s = sqrt(abar_s) x0_hat + sqrt(1 - abar_s - v) eps_hat + sqrt(v) z                     (Song et al., eq. 12)
                  v = eta^2 (1 - abar_s) / (1 - abar_t) (1 - abar_t / abar_s)                              (Song et al., eq. 16)

The bound is that of the chain by ancestral steps at every time, with the noise sigma_1 at its end.
What is sampled follows another
law: without that last noise, where steps are left out, and with DDIM, whose images at eta = 0 are a
    function of x_T.

The conditional model of p(x_{t-1} | x_t, y) adds a linear map of the one-hot y to the features of t. Where labels are dropped in
training, the features of t alone are a model of p(x), and sampling may lean away from it
(classifier-free guidance):

    eps_tilde = (1 + w) eps_hat(x_t, t, y) - w eps_hat(x_t, t)                                            (Ho & Salimans, eq. 6)

References:
    Ho, Jain, Abbeel (2020), Denoising diffusion probabilistic models. arXiv:2006.11239
    Song, Meng, Ermon (2021), Denoising diffusion implicit models. arXiv:2010.02502
    Nichol, Dhariwal (2021), Improved denoising diffusion probabilistic models. arXiv:2102.09672
    Ho, Salimans (2022), Classifier-free diffusion guidance. arXiv:2207.12598
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from genbench.formulas.likelihood import gaussian_kl, gaussian_log_mass, sum_dims
from genbench.formulas.noise import Betas, betas
from genbench.formulas.pixels import bits_per_dim
from genbench.model import GenerativeModel
from genbench.nets.net import NetFactory
from genbench.nets.time import Fourier, Sinusoidal
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory

__all__ = ["DDPM", "ancestral_step", "ddim_step", "sub_sequence"]

Variance = Literal["posterior", "beta"]
Sampler = Literal["ancestral", "ddim"]

# (image, time) pairs per call of the network while a bound is summed: memory stays modest
_PAIRS = 1024


class DDPM(GenerativeModel):
    """Noise prediction on a fixed chain of T steps; log_prob is a lower bound.

    Args:
        spec: The images.
        net: x_t -> eps_hat, conditioned on features of t, and of y.
        optimizer: Optimizer of all parameters.
        T: Steps of the chain, at least 2.
        schedule: beta_t.
        weighting: Training loss: eq. 14, or the bound itself.
        variance: sigma_t^2 of p(x_{t-1} | x_t).
        time: Features of t: geometric frequencies, or random ones.
        cond_width: Length of the conditioning vector made from t, even.
        conditional: Model p(x | y) of the data's labels in place of p(x).
        label_dropout: Probability that training drops an image's label, 0 <= p < 1; guidance needs
            p > 0.
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
        T: int = 1000,
        schedule: Betas = "linear",
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
                f"label_dropout is 0 for a model of p(x), and below 1 for one of p(x | y), not {label_dropout}"
            )
        self.T = T
        self.weighting = weighting
        self.variance = variance
        self.label_dropout = label_dropout
        self._register(betas(schedule, T))
        # t in thousandths of the chain, or as a fraction of it: what features tell apart should not
        # depend on T
        self.unit = (1000 if time == "sinusoidal" else 1) / T
        features = Sinusoidal(cond_width) if time == "sinusoidal" else Fourier(cond_width)
        self.time = nn.Sequential(
            features,
            nn.Linear(cond_width, cond_width),
            nn.SiLU(),
            nn.Linear(cond_width, cond_width),
        )
        self.label = nn.Linear(self.classes, cond_width, bias=False) if conditional else None
        self.net = net(spec.shape, spec.shape, cond_width)

    def _register(self, beta: Tensor) -> None:
        """What depends on t alone, float64 of shape (T + 1,), by t = 0, ..., T; nothing but abar_0
        = 1 has a meaning at 0.
        """
        beta = torch.cat((beta.new_zeros(1), beta))
        abar = torch.cumprod(1 - beta, dim=0)
        posterior = torch.zeros_like(beta)
        posterior[1:] = (1 - abar[:-1]) / (1 - abar[1:]) * beta[1:]
        sigma2 = beta.clone() if self.variance == "beta" else posterior.clone()
        if self.variance == "posterior":
            sigma2[1] = posterior[2]
        weight = torch.zeros_like(beta)
        constant = torch.zeros_like(beta)
        # eq. 12 and the part of the KL that no mean can change
        weight[2:] = (beta**2 / (2 * sigma2 * (1 - beta) * (1 - abar)))[2:]
        constant[2:] = (0.5 * (torch.log(sigma2 / posterior) + posterior / sigma2 - 1))[2:]
        for name, value in (
            ("abar", abar),
            ("sigma2", sigma2),
            ("weight", weight),
            ("constant", constant),
        ):
            self.register_buffer(name, value, persistent=False)

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
            return {
                "loss": ((eps - self.predict_noise(self.diffuse(x_0, t, eps), t, cond)) ** 2).mean()
            }
        nats = self.last_term(x_0) + self.T * self.step_term(x, t, eps, cond)
        return {"loss": bits_per_dim(-nats.mean(), self.spec.dims)}

    def diffuse(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """x_t of eq. 4. t: int64 (B,)."""
        return self._at(self.abar.sqrt(), t) * x_0 + self._at((1 - self.abar).sqrt(), t) * eps

    def predict_noise(self, x_t: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        """eps_hat(x_t, t, y), shape of x_t. t: int64 (B,). cond: y as `condition` gives it; without
        it eps_hat(x_t, t).
        """
        features = self.time(t.to(x_t.dtype) * self.unit)
        return self.net(
            x_t, features if self.label is None or cond is None else features + self.label(cond)
        )

    def guided_noise(self, x_t: Tensor, t: Tensor, cond: Tensor | None, guidance: float) -> Tensor:
        """eps_tilde, shape of x_t; with guidance = w = 0 it is eps_hat."""
        eps_hat = self.predict_noise(x_t, t, cond)
        # eq. 6 of Ho and Salimans
        if guidance:
            return eps_hat + guidance * (eps_hat - self.predict_noise(x_t, t))
        return eps_hat

    def predict_data(
        self,
        x_t: Tensor,
        t: Tensor,
        cond: Tensor | None = None,
        clip: bool = True,
        guidance: float = 0.0,
    ) -> Tensor:
        """x0_hat, inside [-1, 1] where `clip`; its gradient is that of the unclipped one, which
        would be 0 outside.
        """
        noise = self._at((1 - self.abar).sqrt(), t) * self.guided_noise(x_t, t, cond, guidance)
        x_0 = (x_t - noise) / self._at(self.abar.sqrt(), t)
        if clip:
            return pull_inside(x_0)
        return x_0

    # --- the bound --------------------------------------------------------------------------------

    def last_term(self, x_0: Tensor) -> Tensor:
        """L_T, (B,) nats."""
        mean = self.abar[-1].sqrt().to(x_0.dtype) * x_0
        zero = torch.zeros_like(x_0)
        return sum_dims(
            gaussian_kl(mean, zero + 0.5 * torch.log1p(-self.abar[-1]).to(x_0.dtype), zero, zero)
        )

    def step_term(
        self, x: Tensor, t: Tensor, eps: Tensor, cond: Tensor | None = None, clip: bool = True
    ) -> Tensor:
        """L_{t-1} for one noise, (B,) nats; L_0, which is not clipped, where t = 1. x: uint8 (B, C,
        H, W). t: int64 (B,).
        """
        x_0 = self.to_real(x)
        x_t = self.diffuse(x_0, t, eps)
        x0_hat = self.predict_data(x_t, t, cond, clip=False)
        first = self._expand(t) == 1
        if clip:
            x0_hat = torch.where(first, x0_hat, pull_inside(x0_hat))
        eps_hat = (x_t - self._at(self.abar.sqrt(), t) * x0_hat) / self._at(
            (1 - self.abar).sqrt(), t
        )
        inner = self._at(self.constant, t) + self._at(self.weight, t) * (eps - eps_hat) ** 2
        # eq. 13; at t = 1 the posterior mean is x0_hat itself. x_0 elsewhere keeps the unused
        # gradients finite
        mean = torch.where(first, x0_hat, x_0)
        log_s = 0.5 * self.sigma2[1].log().to(x_0.dtype)
        return sum_dims(
            torch.where(first, -gaussian_log_mass(x, self.spec.levels, mean, log_s), inner)
        )

    def terms(
        self,
        x: Tensor,
        y: Tensor | None = None,
        rng: Rng | None = None,
        timesteps: int | None = None,
        clip: bool = True,
    ) -> dict[str, Tensor]:
        """L_T, the sum of L_{t-1} over t = 2, ..., T, and L_0: (B,) nats each, for one noise per
        term.

        Args:
            x: uint8 (B, C, H, W).
            y: int64 (B,) labels of a model of p(x | y).
            rng: One stream per image.
            timesteps: K: the sum is estimated, without bias, from K stratified times per image.
                Default: all T - 1.
            clip: x0_hat is set to [-1, 1] where t > 1, as in training and `sample`: no term is
                larger for it.
        """
        if timesteps is not None and timesteps < 1:
            raise ValueError(f"timesteps is at least 1, not {timesteps}")
        given = (x, self.condition(y), rng or self.fixed_rng(x), clip)
        inner = (
            self._all_inner(*given).sum(1)
            if timesteps is None
            else self._some_inner(*given, timesteps)
        )
        return {
            "L_T": self.last_term(self.to_real(x)),
            "L_{t-1}": inner,
            "L_0": self._first(*given).sum(1),
        }

    def term_per_step(
        self, x: Tensor, y: Tensor | None = None, rng: Rng | None = None, clip: bool = True
    ) -> Tensor:
        """(L_0, L_1, ..., L_{T-1}, L_T), (B, T + 1) nats that add up to those of `terms` over all
        times.
        """
        given = (x, self.condition(y), rng or self.fixed_rng(x), clip)
        last = self.last_term(self.to_real(x))[:, None]
        return torch.cat((self._first(*given), self._all_inner(*given), last), dim=1)

    def strata(self, u: Tensor, K: int) -> Tensor:
        """K times of {2, ..., T} by one offset in (0, 1) per image, systematically from
        `time_shares`: (B,) -> int64 (B, K).
        """
        cumulative = self.time_shares().cumsum(0)
        points = (torch.arange(K, device=u.device) + u[:, None].double()) / K
        return torch.searchsorted(cumulative / cumulative[-1], points).clamp(2, self.T)

    def time_shares(self) -> Tensor:
        """p_t, float64 (T + 1,), by which K times are drawn; 0 at t = 0 and 1.

        Half of it is in proportion to lambda_t min(1, abar_t / (1 - abar_t)): about the largest L_{t-1} / D, for |eps - eps_hat|^2 is
        D where nothing is learnt, and abar_t / (1 - abar_t) |x_0 - x0_hat|^2, which is small at the end of the chain. The other half
        is even, so that no term has more than twice the weight that even times would give it,
        whatever the schedule.
        """
        largest = self.weight * (self.abar / (1 - self.abar).clamp(min=1e-12)).clamp(max=1)
        even = (torch.arange(self.T + 1, device=largest.device) >= 2) / (self.T - 1)
        return 0.5 * largest / largest.sum() + 0.5 * even

    def _first(self, x: Tensor, cond: Tensor | None, rng: Rng, clip: bool) -> Tensor:
        """L_0, (B, 1) nats."""
        t = torch.ones(len(x), 1, dtype=torch.int64, device=x.device)
        return self._step_terms(x, t, cond, rng.split("first"), clip)

    def _all_inner(self, x: Tensor, cond: Tensor | None, rng: Rng, clip: bool) -> Tensor:
        """L_1, ..., L_{T-1}, (B, T - 1) nats."""
        t = torch.arange(2, self.T + 1, device=x.device).expand(len(x), -1)
        return self._step_terms(x, t, cond, rng.split("noise"), clip)

    def _some_inner(self, x: Tensor, cond: Tensor | None, rng: Rng, clip: bool, K: int) -> Tensor:
        """Their sum from K times, (B,) nats: E_{t ~ p} L_{t-1} / p_t, but for C_t D, whose sum is
        known.
        """
        t = self.strata(rng.split("offset").uniform(), K)
        constant = self.constant * self.spec.dims
        scale = 1 / self.time_shares()[t]
        varying = (self._step_terms(x, t, cond, rng.split("noise"), clip) - constant[t]) * scale
        return (varying.mean(1) + constant.sum()).to(self.dtype)

    @torch.no_grad()
    def _step_terms(
        self, x: Tensor, t: Tensor, cond: Tensor | None, rng: Rng, clip: bool
    ) -> Tensor:
        """`step_term` at K times per image: int64 (B, K) -> (B, K) nats.

        The k-th noise is the k-th child of the stream.
        """
        parts = []
        for some in torch.arange(t.shape[1], device=x.device).split(
            max(1, _PAIRS // max(1, len(x)))
        ):
            eps = torch.stack(
                [rng.split("x_t", int(k)).normal(self.spec.shape) for k in some], dim=1
            )
            images = x.repeat_interleave(len(some), dim=0)
            c = None if cond is None else cond.repeat_interleave(len(some), dim=0)
            terms = self.step_term(images, t[:, some].flatten(), eps.flatten(0, 1), c, clip)
            parts.append(terms.unflatten(0, (len(x), -1)))
        return torch.cat(parts, dim=1)

    # --- sampling ---------------------------------------------------------------------------------

    @torch.no_grad()
    def trajectory(
        self,
        x: Tensor,
        rng: Rng,
        y: Tensor | None = None,
        sampler: Sampler = "ancestral",
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
            sampler: Ancestral, or DDIM.
            steps: Evaluations of the network, 1 to T. Default: T.
            eta: Noise of DDIM: 0 is deterministic given x_T, 1 has the posterior variance.
            clip: x0_hat is set to [-1, 1] in every step.
            guidance: w >= 0; away from 0 a step takes two evaluations of the network.
        """
        if sampler not in ("ancestral", "ddim"):
            raise ValueError(f"sampler is 'ancestral' or 'ddim', not {sampler!r}")
        if eta and sampler == "ancestral":
            raise ValueError("eta is an option of sampler = 'ddim'")
        if not 0 <= eta <= 1:
            raise ValueError(f"eta is from 0 to 1, not {eta}")
        if guidance < 0 or (guidance and not self.label_dropout):
            raise ValueError(
                f"guidance is at least 0, and 0 for a model trained without label_dropout, not {guidance}"
            )
        cond = self.condition(y)
        times = sub_sequence(self.T, self.T if steps is None else steps)
        for t, s in zip(times, [*times[1:], 0]):
            x0_hat = self.predict_data(
                x, torch.full((len(x),), t, device=x.device), cond, clip, guidance
            )
            abar_t = float(self.abar[t])
            abar_s = float(self.abar[s])
            if sampler == "ddim":
                x, variance = ddim_step(x, x0_hat, abar_t, abar_s, eta)
            else:
                x, variance = ancestral_step(x, x0_hat, abar_t, abar_s, self.variance)
            # Algorithm 2: the last step shows the mean
            if s > 0 and variance > 0:
                x = x + variance**0.5 * rng.normal(self.spec.shape)
            yield x

    def _at(self, values: Tensor, t: Tensor) -> Tensor:
        """values[t] in the model's floating type, (B, 1, 1, 1)."""
        return self._expand(values[t].to(self.dtype))

    def _expand(self, t: Tensor) -> Tensor:
        return t.view(-1, *(1,) * len(self.spec.shape))


class PullInside(torch.autograd.Function):
    """x_0 set to [-1, 1], with the gradient of x_0 itself: a clamp has none outside, where nothing
    would be learnt.
    """

    @staticmethod
    def forward(ctx: Any, x_0: Tensor) -> Tensor:
        return x_0.clamp(-1, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def pull_inside(x_0: Tensor) -> Tensor:
    """`PullInside` of x_0."""
    return cast(Tensor, PullInside.apply(x_0))


def ancestral_step(
    x_t: Tensor, x_0: Tensor, abar_t: float, abar_s: float, variance: Variance
) -> tuple[Tensor, float]:
    """Mean and variance of p(x_s | x_t), given the predicted x_0. At neighbouring times this is eq.

    7 of Ho et al.
    """
    beta = 1 - abar_t / abar_s
    mean = (abar_s**0.5 * beta * x_0 + (1 - beta) ** 0.5 * (1 - abar_s) * x_t) / (1 - abar_t)
    return mean, beta if variance == "beta" else (1 - abar_s) / (1 - abar_t) * beta


def ddim_step(
    x_t: Tensor, x_0: Tensor, abar_t: float, abar_s: float, eta: float
) -> tuple[Tensor, float]:
    """Mean and variance of DDIM's x_s given x_t and the predicted x_0.

    The noise is that which x_0 leaves of x_t.
    """
    eps = (x_t - abar_t**0.5 * x_0) / (1 - abar_t) ** 0.5
    # eq. 16, then eq. 12 of Song et al.
    v = eta**2 * (1 - abar_s) / (1 - abar_t) * (1 - abar_t / abar_s)
    return abar_s**0.5 * x_0 + (1 - abar_s - v) ** 0.5 * eps, v


def sub_sequence(T: int, steps: int) -> list[int]:
    """`steps` distinct times from T downwards, evenly spread; the step after the last of them goes
    to 0.
    """
    if not 1 <= steps <= T:
        raise ValueError(f"steps is from 1 to T = {T}, not {steps}")
    return [i * T // steps for i in range(steps, 0, -1)]
