"""Diffusion: the forward process, the bound, the samplers, and the networks they are made of."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from genbench.capabilities import Denoises
from genbench.formulas.chain import sub_sequence
from genbench.formulas.noise import CLEAN, Cosine, Level, Linear, Schedule, Straight
from genbench.formulas.pixels import bits_per_dim, to_real
from genbench.formulas.samplers import DDIM, Ancestral, Euler, Stochastic, ancestral_step, ddim_step
from genbench.formulas.time_sums import stratified_times
from genbench.models.diffusion.ddpm import DDPM
from genbench.nets.mlp import MLP
from genbench.nets.net import Net
from genbench.nets.time import Fourier, Sinusoidal
from genbench.nets.unet import UNet
from genbench.rng import Rng
from genbench.spec import Labels, Spec

LINEAR, COSINE = Linear(), Cosine()
POINTS = Spec((1, 1, 2), 16)
PIXELS = torch.cartesian_prod(torch.arange(16), torch.arange(16)).view(-1, 1, 1, 2).to(torch.uint8)


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-2)


def small(T=8, spec=POINTS, width=16, schedule: Schedule = LINEAR, **options) -> DDPM:
    torch.manual_seed(0)
    net = partial(MLP, width=width, depth=2)
    model = DDPM(spec, net, adam, schedule, T, cond_width=width // 2, **options)
    return model.to(torch.get_default_dtype())


def streams(n, seed=0) -> Rng:
    return Rng(seed, range(n), torch.get_default_dtype())


def level(abar) -> Level:
    """The level of a chain at which abar of the squared scale is left."""
    return Level(float(abar) ** 0.5, (1 - float(abar)) ** 0.5)


def term_per_step(model: DDPM, x, y=None, rng=None, clip=True) -> Tensor:
    """(L_0, L_1, ..., L_{T-1}, L_T), (B, T + 1) nats, by the noises of `terms` over all times."""
    first = model.terms_at(model.times_of(x, 1, 1), x, y, rng.split("first"), clip)
    inner = model.terms_at(model.times_of(x, 2, model.T), x, y, rng.split("noise"), clip)
    return torch.cat((first, inner, model.last_term(model.to_real(x))[:, None]), dim=1)


class Denoiser(Net):
    """eps_hat of an exact E[x_0 | x_t]; its conditioning vector is t itself."""

    def __init__(self, abar: Tensor, posterior_mean) -> None:
        super().__init__()
        self.abar, self.posterior_mean = abar, posterior_mean

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        abar = self.abar[cond[:, 0].round().long()].view(-1, 1, 1, 1)
        return (x - abar.sqrt() * self.posterior_mean(x, abar)) / (1 - abar).sqrt()


def exact(T: int, posterior_mean, spec=POINTS, **options) -> DDPM:
    model = small(T, spec, **options)
    model.denoiser.time, model.unit = nn.Unflatten(0, (-1, 1)), 1.0
    model.denoiser.net = Denoiser(model.abar, posterior_mean)
    return model


def gaussian(m: float, s: float):
    return lambda x, abar: m + abar.sqrt() * s**2 / (abar * s**2 + 1 - abar) * (x - abar.sqrt() * m)


def test_denoise_is_the_posterior_mean_at_a_time_per_image(double):
    T, m, s = 20, 0.1, 0.3
    model = exact(T, gaussian(m, s))
    k = torch.tensor([1, 3, 12, 20])
    abar = model.abar[k].view(-1, 1, 1, 1)
    x_t = abar.sqrt() * m + 0.5 * streams(4).normal((1, 1, 2))
    expected = m + abar.sqrt() * s**2 / (abar * s**2 + 1 - abar) * (x_t - abar.sqrt() * m)
    expected = expected.clamp(-1, 1)
    assert isinstance(model, Denoises)
    torch.testing.assert_close(model.denoise(x_t, k / T), expected, rtol=1e-9, atol=1e-12)


# --- schedules and the forward process --------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [LINEAR, COSINE])
@pytest.mark.parametrize("T", [20, 50, 100, 1000])
def test_noise_ends_at_a_standard_normal(schedule, T):
    beta = schedule.betas(T)
    assert beta.shape == (T,) and beta.dtype == torch.float64
    assert beta.min() > 0 and beta.max() <= 0.999 and (beta.diff() >= 0).all()
    assert torch.cumprod(1 - beta, 0)[-1] < 1e-3


@pytest.mark.parametrize("T", [8, 1000])
def test_a_chain_that_ends_with_an_image_is_refused(T):
    """abar_T is about exp(-0.55), so that alpha is about 0.76."""
    with pytest.raises(ValueError, match=r"^the schedule Linear ends at alpha = 0\.7[56]"):
        small(T, schedule=Linear(last=1.0))


def test_schedules_agree_with_diffusers():
    from diffusers import DDPMScheduler

    linear, cosine = (
        DDPMScheduler(1000, beta_schedule=name).betas.double()
        for name in ("linear", "squaredcos_cap_v2")
    )
    torch.testing.assert_close(LINEAR.betas(1000), linear, rtol=1e-5, atol=0)
    torch.testing.assert_close(COSINE.betas(1000), cosine, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("t, s", [(9, 8), (30, 29), (100, 99), (100, 40)])
def test_posterior_is_bayes_rule(double, t, s):
    """q(x_s | x_t, x_0) from its definition by quadrature."""
    abar = torch.cumprod(1 - LINEAR.betas(100), 0)
    abar_t, abar_s, x_0, x_t = float(abar[t - 1]), float(abar[s - 1]), 0.7, -0.4
    grid = torch.linspace(-12, 12, 400_001, dtype=torch.float64)
    log_q = Normal(abar_s**0.5 * x_0, (1 - abar_s) ** 0.5).log_prob(grid)
    log_q = log_q + Normal((abar_t / abar_s) ** 0.5 * grid, (1 - abar_t / abar_s) ** 0.5).log_prob(
        torch.tensor(x_t).double()
    )
    q = log_q.softmax(0)
    mean, variance = ancestral_step(
        torch.tensor(x_t).double(), torch.tensor(x_0).double(), level(abar_t), level(abar_s)
    )
    expected = (q * grid).sum()
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-9)
    assert variance == pytest.approx(float((q * (grid - expected) ** 2).sum()), rel=1e-7)


def test_diffused_moments(double):
    model, x_0 = small(T=50), torch.full((20_000, 1, 1, 2), 0.6)
    for t in (1, 25, 50):
        x_t = model.diffuse(x_0, torch.full((20_000,), t), streams(20_000).normal((1, 1, 2)))
        abar = float(torch.cumprod(1 - LINEAR.betas(50), 0)[t - 1])
        assert float(x_t.mean()) == pytest.approx(
            0.6 * abar**0.5, abs=4 * math.sqrt((1 - abar) / 40_000)
        )
        assert float(x_t.var()) == pytest.approx(1 - abar, rel=0.03)


# --- the bound --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variance", ["posterior", "beta"])
@pytest.mark.parametrize("schedule", [LINEAR, COSINE])
@pytest.mark.parametrize("clip", [True, False])
def test_terms_are_kl_divergences(double, variance, schedule, clip):
    """Each term for a known noise, from the definition of its distributions."""
    T, x = 50, PIXELS[::7]
    model = small(T, variance=variance, schedule=schedule)
    beta = schedule.betas(T)
    abar = torch.cat((torch.ones(1), torch.cumprod(1 - beta, 0)))
    x_0, eps = to_real(x, 16, torch.float64), streams(len(x)).normal((1, 1, 2))
    with torch.no_grad():
        for step in (1, 2, 3, 25, 50):
            t = torch.full((len(x),), step)
            a, b = abar[step], abar[step - 1]
            x_t = a.sqrt() * x_0 + (1 - a).sqrt() * eps
            x0_hat = (x_t - (1 - a).sqrt() * model.predict_noise(x_t, t)) / a.sqrt()
            x0_hat = x0_hat.clamp(-1, 1) if clip and step > 1 else x0_hat
            posterior = [(1 - abar[i - 1]) / (1 - abar[i]) * beta[i - 1] for i in range(1, T + 1)]
            if step == 1:
                p = Normal(x0_hat, (beta[0] if variance == "beta" else posterior[1]).sqrt())
                below = torch.where(x == 0, 0.0, p.cdf(x_0 - 1 / 15))
                expected = -(torch.where(x == 15, 1.0, p.cdf(x_0 + 1 / 15)) - below).log()
                usable = expected.flatten(1).isfinite().all(1)
                assert usable.sum() > 5
            else:
                means = [
                    b.sqrt() * beta[step - 1] / (1 - a) * v
                    + (1 - beta[step - 1]).sqrt() * (1 - b) / (1 - a) * x_t
                    for v in (x_0, x0_hat)
                ]
                sigma2 = beta[step - 1] if variance == "beta" else posterior[step - 1]
                expected = kl_divergence(
                    Normal(means[0], posterior[step - 1].sqrt()), Normal(means[1], sigma2.sqrt())
                )
                usable = torch.ones(len(x), dtype=torch.bool)
            actual = model.step_term(x, t, eps, clip=clip)
            torch.testing.assert_close(
                actual[usable], expected.sum((1, 2, 3))[usable], rtol=1e-6, atol=1e-9
            )
    last = kl_divergence(Normal(abar[T].sqrt() * x_0, (1 - abar[T]).sqrt()), Normal(0.0, 1.0)).sum(
        (1, 2, 3)
    )
    torch.testing.assert_close(model.last_term(x_0), last, rtol=1e-9, atol=1e-12)


def test_clipping_only_tightens(double):
    model = small(T=20, schedule=COSINE)
    clipped, free = (
        term_per_step(model, PIXELS, rng=streams(256), clip=clip) for clip in (True, False)
    )
    assert (clipped <= free + 1e-12).all() and (clipped < free - 0.1).any()
    assert torch.equal(clipped[:, 0], free[:, 0])


@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_a_mean_beyond_the_last_bin_is_right_for_outer_pixels(double, variance):
    """L_0 of a black pixel falls as the mean goes on below -1: the first bin has no lower end."""
    model = small(T=50, variance=variance)
    x, t = torch.zeros(1, 1, 1, 2, dtype=torch.uint8), torch.ones(1, dtype=torch.int64)
    eps, terms = torch.zeros(1, 1, 1, 2), []
    for beyond in (0.0, 0.01, 0.1):
        x_1 = model.diffuse(to_real(x, 16, torch.float64), t, eps)
        noise = (x_1 - (-1 - beyond) * model.abar[1].sqrt()) / (1 - model.abar[1]).sqrt()
        model.predict_noise = lambda x_t, t, cond=None, noise=noise: noise
        terms.append(float(model.step_term(x, t, eps, clip=True)))
    p = Normal(-1.0, float(model.sigma2[1]) ** 0.5)
    assert terms[0] == pytest.approx(-2 * float(p.cdf(torch.tensor(-1 + 1 / 15)).log()), rel=1e-6)
    assert terms[0] > terms[1] > terms[2] >= 0


def test_the_bound_is_trained_as_it_is_scored(double):
    """The loss over all times is the bound of `log_prob`, also where x0_hat is far outside [-1, 1]: clipped, it learns nonetheless."""
    T, eps = 12, streams(12).normal((1, 1, 2))
    model = small(T, weighting="variational", schedule=COSINE)
    nn.init.constant_(model.denoiser.net.last.bias, 30.0)
    x, t = PIXELS[37:38].expand(T, -1, -1, -1), torch.arange(1, 13)
    with torch.no_grad():
        trained = model.loss(x, None, EveryTime(eps))["loss"]
        # the noises of `log_prob`, that of t = 1 before those of t = 2, ..., T, are replaced by these
        noises = iter([eps[:1], eps[1:].movedim(0, 1)])
        model.terms_at = lambda t, x, y, rng, clip: model.step_term(
            x.expand(t.shape[1], -1, -1, -1), t[0], next(noises).reshape(-1, 1, 1, 2), clip=clip
        )[None]
        scored = model.log_prob(x[:1])
    torch.testing.assert_close(trained, bits_per_dim(scored, 2)[0], rtol=1e-12, atol=0)
    x_t = model.diffuse(to_real(x, 16, torch.float64), t, eps)
    assert (model.predict_data(x_t, t).detach().abs() == 1).all()
    assert (model.predict_data(x_t, t, clip=False).detach().abs()[1:] > 1).all()
    nats = model.step_term(x, t, eps)[1:].mean()
    (gradient,) = torch.autograd.grad(nats, model.denoiser.net.last.bias)
    assert (gradient > 0).all()


@pytest.mark.parametrize("schedule", [LINEAR, COSINE])
def test_a_few_times_are_a_better_estimate_than_even_ones(double, schedule):
    """Root mean square noise of ten times of a hundred, with the exact net of a Gaussian; and no term has twice its even weight."""
    model, n = exact(100, gaussian(0.1, 0.4), schedule=schedule, variance="beta"), 2000
    x, shares = PIXELS[100:101].expand(n, -1, -1, -1), model.time_shares()
    even = (torch.arange(101) >= 2) / 99
    assert float((even / shares)[2:].max()) <= 2
    deviations = []
    for p in (shares, even):
        model.time_shares = lambda p=p: p
        deviations.append(float(model.terms(x, rng=streams(n), timesteps=10)["L_{t-1}"].std()))
    assert deviations[0] < 0.6 * deviations[1]


class EveryTime:
    """One image per time step, with chosen noise."""

    def __init__(self, eps: Tensor) -> None:
        self.eps = eps

    def integers(self, high: int) -> Tensor:
        return torch.arange(high)

    def normal(self, shape) -> Tensor:
        return self.eps


@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_losses_are_what_they_estimate(double, variance):
    """Over all times, the variational loss is the bound and the simple one the mean square of eq. 14."""
    T, eps = 12, streams(12).normal((1, 1, 2))
    x, t = PIXELS[37:38].expand(T, -1, -1, -1), torch.arange(1, 13)
    model = small(T, weighting="variational", variance=variance)
    nats = model.last_term(to_real(x[:1], 16, torch.float64)) + model.step_term(x, t, eps).sum()
    torch.testing.assert_close(
        model.loss(x, None, EveryTime(eps))["loss"], bits_per_dim(-nats, 2)[0]
    )
    model.weighting = "simple"
    x_t = model.diffuse(to_real(x, 16, torch.float64), t, eps)
    torch.testing.assert_close(
        model.loss(x, None, EveryTime(eps))["loss"],
        nn.functional.mse_loss(model.predict_noise(x_t, t), eps),
    )


@pytest.mark.parametrize("variance", ["posterior", "beta"])
@pytest.mark.parametrize("T, K", [(2, 1), (11, 1), (11, 3), (11, 30), (1000, 50)])
def test_strata_visit_times_in_proportion(double, T, K, variance):
    """Over all offsets, time t occurs K p_t times: dividing its term by p_t is unbiased, whatever the terms are."""
    model, n = small(T, variance=variance), 100_000
    weight = model.time_shares()
    t = stratified_times(weight, (torch.arange(n) + 0.5) / n, K)
    assert t.shape == (n, K) and t.min() >= 2 and t.max() <= T and (t.diff(dim=1) >= 0).all()
    assert float(weight.sum()) == pytest.approx(1) and (weight[:2] == 0).all()
    torch.testing.assert_close(
        t.flatten().bincount(minlength=T + 1) / n, K * weight, rtol=0, atol=3 * K / n
    )
    L = torch.rand(T + 1, generator=torch.Generator().manual_seed(0))
    assert float((L / weight)[t].mean()) == pytest.approx(float(L[2:].sum()), rel=1e-2)


def test_fewer_timesteps_are_unbiased(double):
    """Means over streams agree within their standard error; the terms of each step add up to the whole."""
    model, n = small(T=30, variance="beta"), 4000
    x = PIXELS[100:101].expand(n, -1, -1, -1)
    full = model.terms(x, rng=streams(n))
    assert list(full) == ["L_T", "L_{t-1}", "L_0"] and all(v.shape == (n,) for v in full.values())
    for K in (1, 4, 13):
        some = model.terms(x, rng=streams(n, seed=1), timesteps=K)["L_{t-1}"]
        error = math.sqrt(float(some.var() + full["L_{t-1}"].var()) / n)
        assert (
            abs(float(some.mean() - full["L_{t-1}"].mean())) < 4 * error < 0.2 * float(some.mean())
        )
    per_step = term_per_step(model, x, rng=streams(n))
    assert per_step.shape == (n, 31)
    torch.testing.assert_close(per_step.sum(1), -model.log_prob(x, rng=streams(n)))
    torch.testing.assert_close(per_step[:, [0, -1]], torch.stack((full["L_0"], full["L_T"]), 1))


def test_every_term_has_its_own_noise(double):
    """A net that predicts nothing leaves |eps|^2, chi-squared of two degrees of freedom, independent over times and images."""
    model = small(T=40)
    for parameter in model.denoiser.net.last.parameters():
        nn.init.zeros_(parameter)
    squares = term_per_step(model, PIXELS, rng=streams(256), clip=False)[:, 1:-1] / model.weight[2:]
    assert float(squares.mean()) == pytest.approx(2, rel=0.06)
    correlation = torch.corrcoef(squares.T) - torch.eye(39)
    assert correlation.abs().max() < 0.4


def expected_bound(model: DDPM, nodes: int, y: int | None = None) -> Tensor:
    """E[sum of terms] of every image of the universe, (256,) nats, by Gauss-Hermite quadrature over both noises. y: its label."""
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    z, w = torch.tensor(z), torch.tensor(w / w.sum())
    eps, weight = torch.cartesian_prod(z, z).view(-1, 1, 1, 2), torch.outer(w, w).flatten()
    total = model.last_term(to_real(PIXELS, 16, torch.float64))
    x, noise = PIXELS.repeat_interleave(len(eps), 0), eps.repeat(256, 1, 1, 1)
    cond = None if y is None else model.condition(torch.full((len(x),), y))
    with torch.no_grad():
        for t in range(1, model.T + 1):
            terms = model.step_term(x, torch.full((len(x),), t), noise, cond)
            total = total + (terms.view(256, -1) * weight).sum(1)
    return total


@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_total_probability_of_a_trained_net(double, variance):
    """A lower bound of a probability on a universe of 256 images sums to at most one, before and after training."""
    model = small(T=6, schedule=COSINE, weighting="variational", variance=variance)
    before = float((-expected_bound(model, 8)).exp().sum())
    x = PIXELS[[17, 34, 200, 201]].repeat(32, 1, 1, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for k in range(200):
        optimizer.zero_grad()
        model.loss(x, None, Rng(0, range(128 * k, 128 * (k + 1)), torch.float64))["loss"].backward()
        optimizer.step()
    after = float((-expected_bound(model, 8)).exp().sum())
    assert 0 < before < after <= 1 and after > 0.02


@pytest.mark.parametrize("variance, least, loosest", [("posterior", 0.2, 2.0), ("beta", 0.75, 0.4)])
def test_total_probability_of_the_best_net(double, variance, least, loosest):
    """With E[x_0 | x_t] itself the bound is as tight as it gets, so that a forgotten term or factor would exceed one."""
    levels = to_real(torch.arange(16), 16, torch.float64)
    log_p = 0.7 * torch.sin(1.3 * torch.arange(16.0)) - 0.1 * torch.arange(16.0)

    def posterior_mean(x: Tensor, abar: Tensor) -> Tensor:
        log_q = log_p - (x[..., None] - abar[..., None].sqrt() * levels) ** 2 / (
            2 * (1 - abar[..., None])
        )
        return log_q.softmax(-1) @ levels

    model = exact(20, posterior_mean, variance=variance, schedule=COSINE)
    bound = expected_bound(model, 8)
    truth = -log_p.log_softmax(0)
    truth = (truth[:, None] + truth).flatten()
    assert least < float((-bound).exp().sum()) <= 1
    # the cross-entropy of the true distribution cannot beat its entropy
    gap = float(((-truth).exp() * (bound - truth)).sum())
    assert 0 <= gap < loosest


def path_weight(model: DDPM, x: Tensor, rng: Rng) -> Tensor:
    """log p(x, x_1, ..., x_T) / q(x_1, ..., x_T | x) of one path from q per image, whose exponential has the mean p(x). (B,) nats."""
    T = model.T
    beta = 1 - model.abar[1:] / model.abar[:-1]
    x_t = [to_real(x, model.spec.levels, torch.float64)]
    log_w = torch.zeros(len(x))
    for t in range(1, T + 1):
        step = Normal((1 - beta[t - 1]).sqrt() * x_t[-1], beta[t - 1].sqrt())
        x_t.append(step.mean + step.stddev * rng.normal(model.spec.shape))
        log_w = log_w - step.log_prob(x_t[-1]).flatten(1).sum(1)
    log_w = log_w + Normal(0.0, 1.0).log_prob(x_t[T]).flatten(1).sum(1)
    for t in range(T, 1, -1):
        x0_hat = model.predict_data(x_t[t], torch.full((len(x),), t))
        mean, _ = ancestral_step(
            x_t[t], x0_hat, level(model.abar[t]), level(model.abar[t - 1]), model.variance
        )
        log_w = log_w + Normal(mean, model.sigma2[t].sqrt()).log_prob(x_t[t - 1]).flatten(1).sum(1)
    return log_w + log_mass_of_last_step(model, x, x_t[1])


def log_mass_of_last_step(model: DDPM, x: Tensor, x_1: Tensor) -> Tensor:
    """log p(x | x_1), (B,) nats: the outer bins have no end."""
    last = Normal(
        model.predict_data(x_1, torch.ones(len(x), dtype=torch.int64), clip=False),
        model.sigma2[1].sqrt(),
    )
    centre = to_real(x, model.spec.levels, torch.float64)
    half = 1 / (model.spec.levels - 1)
    above = torch.where(x == model.spec.levels - 1, 1.0, last.cdf(centre + half))
    below = torch.where(x == 0, 0.0, last.cdf(centre - half))
    return (above - below).log().flatten(1).sum(1)


@torch.no_grad()
def chain_and_its_means(model: DDPM, n: int) -> tuple[Tensor, Tensor, Tensor]:
    """By the same streams: images of the chain with the noise sigma_1 at its end, of its last means, and those of `sample`."""
    rng = streams(n).split("sample")
    *_, x_1, _ = model.trajectory(rng.normal(model.spec.shape), rng)
    mean = model.predict_data(x_1, torch.ones(n, dtype=torch.int64), clip=False)
    noisy = mean + model.sigma2[1].sqrt() * streams(n).split("last").normal(model.spec.shape)
    return model.to_pixels(noisy), model.to_pixels(mean), model.sample(streams(n).split("sample"))


def frequencies_of(x: Tensor) -> Tensor:
    """How often each image of the universe of points occurs, (256,)."""
    i, j = x.flatten(1).long().unbind(1)
    return torch.bincount(16 * i + j, minlength=256) / len(x)


def test_the_bound_is_of_the_chain_with_its_last_noise_and_samples_are_its_rounded_means(double):
    """E w = p(x) = how often the chain ends in x; E bound <= E log mean of eight w <= log p(x). Samples lack its last noise."""
    n = 20_000
    draws = 64
    model = small(T=6, schedule=COSINE)
    for i, parameter in enumerate(model.parameters()):
        parameter.data += 0.1 * Rng(i, [0], torch.float64).normal(parameter.shape)[0]
    chain, means, samples = chain_and_its_means(model, n)
    assert torch.equal(samples, means)

    x = PIXELS.repeat(draws, 1, 1, 1)
    with torch.no_grad():
        log_w = path_weight(model, x, streams(len(x))).view(draws, 256)
        bound = model.log_prob(x, None, streams(len(x)).split("bound")).view(draws, 256)
    mass = log_w.exp().mean(0)
    error = log_w.exp().std(0) / draws**0.5
    total_error = float(error.square().sum().sqrt())
    assert abs(float(mass.sum()) - 1) < 5 * total_error < 0.5

    # 256 cells: a mean of a hundred and more chi-squares of one degree of freedom is within 5 sqrt(2 / 100) of 1
    surely = 1 + 5 * math.sqrt(2 / 100)
    frequency = frequencies_of(chain)
    cells = mass > 20 / n
    assert int(cells.sum()) > 100
    noise = mass * (1 - mass) / n
    assert float(((frequency - mass) ** 2 / (error**2 + noise))[cells].mean()) < surely
    assert float((chain != samples).any(dim=3).double().mean()) > 0.1
    weighted = log_w.view(8, -1, 256).logsumexp(0) - math.log(8)
    rise = (weighted.mean(0) - bound.mean(0)).mean()
    rise_error = math.hypot(
        float(weighted.mean(1).std()) / 8**0.5, float(bound.mean(1).std()) / draws**0.5
    )
    assert rise > 5 * rise_error
    for values in (bound, weighted):
        q = values.mean(0).exp()
        spread = (q**2 * values.var(0) / len(values) + q * (1 - q) / n).sqrt()
        assert float(((q - frequency) / spread).max()) < 5


# --- p(x | y) ---------------------------------------------------------------------------------------------------------


LABELLED = Spec((1, 1, 2), 16, y=Labels(2))


class ByLabel(Net):
    """A `Denoiser` per label; its conditioning vector is t + 1000 y."""

    def __init__(self, *denoisers: Denoiser) -> None:
        super().__init__()
        self.denoisers = nn.ModuleList(denoisers)

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        t = cond % 1000
        answers = torch.stack([denoiser(x, t) for denoiser in self.denoisers])
        return answers[(cond[:, 0] // 1000).long(), torch.arange(len(x))]


def exact_by_label(T: int, *posterior_means, **options) -> DDPM:
    model = small(T, LABELLED, conditional=True, **options)
    model.denoiser.time, model.unit = nn.Unflatten(0, (-1, 1)), 1.0
    model.denoiser.label = nn.Linear(2, 1, bias=False)
    model.denoiser.label.weight.data = torch.tensor([[0.0, 1000.0]])
    model.denoiser.net = ByLabel(*(Denoiser(model.abar, mean) for mean in posterior_means))
    return model


def test_total_probability_of_the_best_conditional_net(double):
    """With E[x_0 | x_t, y] the bound of log p(x | y) is as tight as that of a model of one class, and loose for another y."""
    levels = to_real(torch.arange(16), 16, torch.float64)
    log_p = [
        0.7 * torch.sin(1.3 * torch.arange(16.0)) - slope * torch.arange(16.0)
        for slope in (0.1, -0.3)
    ]

    def posterior_mean(x: Tensor, abar: Tensor, log_p: Tensor) -> Tensor:
        log_q = log_p - (x[..., None] - abar[..., None].sqrt() * levels) ** 2 / (
            2 * (1 - abar[..., None])
        )
        return log_q.softmax(-1) @ levels

    model = exact_by_label(
        20, *(partial(posterior_mean, log_p=p) for p in log_p), variance="beta", schedule=COSINE
    )
    bounds = [expected_bound(model, 8, y) for y in range(2)]
    for y in range(2):
        truth = -log_p[y].log_softmax(0)
        truth = (truth[:, None] + truth).flatten()
        assert 0.7 < float((-bounds[y]).exp().sum()) <= 1
        gap, wrong = (
            float(((-truth).exp() * (bound - truth)).sum()) for bound in (bounds[y], bounds[1 - y])
        )
        assert 0 <= gap < 0.5 < 2 < wrong


def test_conditional_terms_and_samples_follow_their_labels_row_by_row(double):
    model, y = small(conditional=True, spec=LABELLED), torch.tensor([1, 0, 0, 1, 1])
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    x, rng = PIXELS[[40, 90, 99, 120, 136]], streams(5)
    with torch.no_grad():
        for options in ({}, {"timesteps": 3}):
            whole = model.log_prob(x, y, rng, **options)
            alone = torch.cat(
                [
                    model.log_prob(x[i : i + 1], y[i : i + 1], rng[i : i + 1], **options)
                    for i in range(5)
                ]
            )
            torch.testing.assert_close(whole, alone, rtol=1e-9, atol=1e-9)
            assert ((whole - model.log_prob(x, 1 - y, rng, **options)).abs() > 1e-3).all()
        torch.testing.assert_close(
            term_per_step(model, x, y, rng).sum(1), -model.log_prob(x, y, rng)
        )
        drawn = model.sample(rng[:], y)
        assert torch.equal(
            drawn, torch.cat([model.sample(rng[:][i : i + 1], y[i : i + 1]) for i in range(5)])
        )
        assert (drawn != model.sample(rng[:], 1 - y)).any()


def test_guidance_is_its_formula(double):
    """Equation 6 of Ho and Salimans (2022) in one DDIM step from T to 0, and the guided mean of two Gaussians."""
    model, y = small(conditional=True, spec=LABELLED, label_dropout=0.2), torch.tensor([1, 0, 0])
    for parameter in model.denoiser.net.parameters():
        nn.init.normal_(parameter, std=0.5)
    x, t, cond = streams(3).normal((1, 1, 2)), torch.full((3,), model.T), model.condition(y)
    with torch.no_grad():
        given, alone = model.predict_noise(x, t, cond), model.predict_noise(x, t)
        assert (
            torch.equal(model.predict_noise(x, t, 0 * cond), alone)
            and (given - alone).abs().min() > 1e-3
        )
        for w in (0.0, 1.5):
            eps, abar = (1 + w) * given - w * alone, model.abar[-1]
            (x_0,) = model.trajectory(x, streams(3), y, "ddim", steps=1, clip=False, guidance=w)
            torch.testing.assert_close(x_0, (x - (1 - abar).sqrt() * eps) / abar.sqrt())


def test_training_drops_its_share_of_labels(double):
    model, n, seen = small(conditional=True, spec=LABELLED, label_dropout=0.3), 4000, []
    model.denoiser.label.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    y = torch.arange(n) % 2
    model.loss(PIXELS[[7]].expand(n, -1, -1, -1), y, streams(n))
    kept = seen[0].sum(1) == 1
    assert torch.equal(seen[0][kept], model.condition(y)[kept]) and not seen[0][~kept].any()
    assert float((~kept).double().mean()) == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / n))


def test_each_label_gets_its_own_images(double):
    model, y = (
        small(T=30, width=32, spec=LABELLED, conditional=True, label_dropout=0.1, variance="beta"),
        torch.arange(128) % 2,
    )
    x = PIXELS[[34, 221]][y]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for k in range(200):
        optimizer.zero_grad()
        model.loss(x, y, Rng(0, range(128 * k, 128 * (k + 1)), torch.float64))["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        assert (
            model.log_prob(x, y, streams(128)) > model.log_prob(x, 1 - y, streams(128))
        ).double().mean() > 0.95
        for guidance in (0.0, 1.0):
            drawn = model.sample(streams(128), y, guidance=guidance).double().mean((1, 2, 3))
            assert ((drawn > 7.5) == (y == 1)).double().mean() > 0.9


# --- samplers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [2, 7, 50])
def test_sub_sequences(T):
    for steps in range(1, T + 1):
        times = sub_sequence(T, steps)
        assert len(times) == steps and times[0] == T and min([*times[:-1], T]) >= 1
        assert all(a > b > 0 for a, b in itertools.pairwise(times)) and max(
            np.diff([0, *times[::-1]])
        ) <= -(-T // steps)
    assert sub_sequence(T, T) == list(range(T, 0, -1))


def wavy(x: Tensor, t: int) -> Tensor:
    return 0.8 * torch.sin(3 * x) + 0.3 * x + 0.001 * t


@pytest.mark.parametrize(
    "variance, theirs", [("posterior", "fixed_small"), ("beta", "fixed_large")]
)
@pytest.mark.parametrize("steps", [1000, 50])
def test_ancestral_steps_agree_with_diffusers(double, variance, theirs, steps):
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(
        1000, beta_schedule="linear", variance_type=theirs, timestep_spacing="trailing"
    )
    scheduler.set_timesteps(steps)
    check_steps(scheduler, steps, partial(ancestral_step, variance=variance))


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1000, 50])
def test_ddim_steps_agree_with_diffusers(double, eta, steps):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(1000, beta_schedule="linear", timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    check_steps(
        scheduler, steps, partial(ddim_step, eta=eta), eta=eta, use_clipped_model_output=True
    )


def check_steps(scheduler, steps, step, **options) -> None:
    times = sub_sequence(1000, steps)
    assert [t - 1 for t in times] == scheduler.timesteps.tolist()
    # diffusers computes its tables in float32
    scheduler.betas, scheduler.alphas_cumprod = (
        LINEAR.betas(1000),
        torch.cumprod(1 - LINEAR.betas(1000), 0),
    )
    abar = torch.cat((torch.ones(1), scheduler.alphas_cumprod))
    for i in {0, 1, steps // 2, steps - 2, steps - 1}:
        t, s = times[i], [*times, 0][i + 1]
        x = streams(5, seed=i).normal((1, 4, 4))
        x0_hat = ((x - (1 - abar[t]).sqrt() * wavy(x, t)) / abar[t].sqrt()).clamp(-1, 1)
        mean, variance = step(x, x0_hat, level(abar[t]), level(abar[s]))
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(7))
        theirs = scheduler.step(
            wavy(x, t), t - 1, x, generator=torch.Generator().manual_seed(7), **options
        ).prev_sample
        torch.testing.assert_close(
            mean + (variance**0.5 * noise if t > 1 else 0.0), theirs, rtol=1e-9, atol=1e-9
        )


def test_trajectory_agrees_with_diffusers(double):
    """The whole deterministic path, through the model."""
    from diffusers import DDIMScheduler

    model, scheduler = (
        small(T=1000),
        DDIMScheduler(1000, beta_schedule="linear", timestep_spacing="trailing"),
    )
    scheduler.set_timesteps(20)
    x = start = streams(6).normal((1, 1, 2))
    for t in scheduler.timesteps:
        with torch.no_grad():
            eps = model.predict_noise(x, torch.full((6,), int(t) + 1))
        x = scheduler.step(eps, t, x, use_clipped_model_output=True).prev_sample
    *_, ours = model.trajectory(start, streams(6), None, "ddim", 20)
    torch.testing.assert_close(ours, x, rtol=1e-3, atol=1e-4)
    assert torch.equal(model.sample(streams(6), sampler="ddim", steps=20), model.to_pixels(x))


@pytest.mark.parametrize(
    ("words", "sampler"),
    [
        ({}, Ancestral("beta")),
        ({"sampler": "ddim", "eta": 0.5}, DDIM(0.5)),
        ({"sampler": "ddim"}, Euler()),
    ],
)
def test_a_word_is_a_sampler_with_the_options_beside_it(double, words, sampler):
    model = small(variance="beta")
    words = model.sample(streams(200), steps=4, **words)
    assert torch.equal(words, model.sample(streams(200), steps=4, sampler=sampler))


@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_the_last_ancestral_step_shows_the_mean(double, variance):
    """Algorithm 2 of Ho et al.: z = 0 at t = 1, where beta_1 is a variance too."""
    model = small(T=8, variance=variance)
    with torch.no_grad():
        *_, x_1, x_0 = model.trajectory(streams(5).normal((1, 1, 2)), streams(5), None, "ancestral")
        x0_hat = model.predict_data(x_1, torch.ones(5, dtype=torch.int64))
    mean, _ = ancestral_step(x_1, x0_hat, level(model.abar[1]), CLEAN, variance)
    torch.testing.assert_close(x_0, mean, rtol=0, atol=1e-12)


def test_full_noise_ddim_is_ancestral(double):
    x, x_0 = streams(5).normal((1, 1, 2)), streams(5, seed=1).normal((1, 1, 2))
    mean, variance = ddim_step(x, x_0, level(0.3), level(0.5), eta=1.0)
    expected, posterior = ancestral_step(x, x_0, level(0.3), level(0.5), "posterior")
    torch.testing.assert_close(mean, expected)
    assert variance == pytest.approx(posterior)


@pytest.mark.parametrize(
    "options",
    [{"sampler": "ancestral"}, {"sampler": "ddim", "steps": 150}, {"sampler": "ddim", "eta": 1.0}],
)
@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_samplers_reproduce_a_gaussian(double, options, variance):
    """With the exact noise of N(m, s^2)."""
    m, s, n = 0.3, 0.5, 2000
    model = exact(400, gaussian(m, s), variance=variance)
    rng = streams(n)
    *_, x = model.trajectory(rng.normal((1, 1, 2)), rng, clip=False, **options)
    assert float(x.mean()) == pytest.approx(m, abs=4 * s / math.sqrt(2 * n))
    assert float(x.std()) == pytest.approx(s, rel=4 / math.sqrt(4 * n))


def test_ddim_is_of_first_order(double):
    """The map from x_T to x_0 is affine for a Gaussian; its slope tends to s like 1 / steps."""
    model, errors = exact(1000, gaussian(0.3, 0.5)), []
    for steps in (25, 50, 100, 200):
        *_, x = model.trajectory(
            torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1), streams(2), None, "ddim", steps, clip=False
        )
        errors.append(abs(float(x[1] - x[0]) / 2 - 0.5))
    ratios = [a / b for a, b in itertools.pairwise(errors)]
    assert errors[0] < 0.1 and all(1.7 < ratio < 2.3 for ratio in ratios)


@pytest.mark.parametrize("options", [{"steps": 5}, {"sampler": "ddim", "steps": 5, "eta": 0.7}, {}])
def test_an_image_does_not_depend_on_its_batch(double, options):
    spec = Spec((1, 4, 4), 5)
    torch.manual_seed(0)
    model = DDPM(spec, partial(UNet, width=8), adam, LINEAR, T=10, cond_width=8).double()
    for parameter in model.denoiser.net.parameters():
        nn.init.normal_(parameter, std=0.2)
    rng = streams(6)
    *_, whole = model.trajectory(rng.normal(spec.shape), rng, **options)
    rng = streams(6)[2:4]
    *_, part = model.trajectory(rng.normal(spec.shape), rng, **options)
    torch.testing.assert_close(part, whole[2:4], rtol=0, atol=1e-10)
    images = model.sample(streams(6), **options)
    assert (
        images.dtype == torch.uint8
        and images.shape == (6, 1, 4, 4)
        and images.max() < 5
        and images.float().std() > 0
    )
    assert torch.equal(images[2:4], model.sample(streams(6)[2:4], **options))
    for timesteps in (None, 4):
        whole = model.log_prob(images, rng=streams(6), timesteps=timesteps)
        part = model.log_prob(images[2:4], rng=streams(6)[2:4], timesteps=timesteps)
        torch.testing.assert_close(part, whole[2:4], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.sample(streams(1), steps=0),
        lambda m: m.sample(streams(1), steps=9),
        lambda m: m.sample(streams(1), sampler="no-such-word"),
        lambda m: m.sample(streams(1), eta=0.5),
        lambda m: m.sample(streams(1), sampler=Euler(), eta=0.5),
        lambda m: m.sample(streams(1), sampler=Stochastic()),
        lambda m: DDIM(1.5),
        lambda m: Ancestral("no-such-word"),
        lambda m: m.sample(streams(1), sampler="ddim", eta=1.5),
        lambda m: m.terms(PIXELS, timesteps=0),
        lambda m: m.log_prob(PIXELS, timesteps=-1),
        lambda m: m.sample(streams(1), guidance=1.0),
        lambda m: small(spec=LABELLED, conditional=True).sample(
            streams(1), torch.tensor([0]), guidance=1.0
        ),
        lambda m: small(spec=LABELLED, conditional=True, label_dropout=1.0),
        lambda m: small(label_dropout=0.1),
        lambda m: small(T=1),
        lambda m: small(schedule=Straight()),
        lambda m: small(weighting="no-such-word"),
        lambda m: small(variance="no-such-word"),
        lambda m: small(time="no-such-word"),
        lambda m: Sinusoidal(7),
    ],
)
def test_wrong_options_are_refused_in_one_line(call):
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        call(small())


def test_training_learns_points():
    """The bound falls below the 4 bits/dim of a uniform table, and samples lie on the data."""
    model, steps = small(T=100, width=64, time="fourier", variance="beta"), 500
    x = PIXELS[[34, 221]].repeat(64, 1, 1, 1)
    optimizer = torch.optim.Adam(model.parameters())
    for k in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - k / steps)
        optimizer.zero_grad()
        model.loss(x, None, Rng(0, range(128 * k, 128 * (k + 1))))["loss"].backward()
        optimizer.step()
    assert float(bits_per_dim(model.log_prob(x), 2).mean()) < 3.8
    samples = model.sample(streams(200), sampler="ddim", steps=20).flatten(1).int()
    distance = (samples[:, None] - PIXELS[[34, 221]].flatten(1).int()).abs().amax(2)
    near = distance.min(1).values <= 3
    assert near.float().mean() > 0.6 and 0.3 < (distance.argmin(1) == 0).float().mean() < 0.7


# --- time features ----------------------------------------------------------------------------------------------------


def test_sinusoidal_features_agree_with_diffusers(double):
    from diffusers.models.embeddings import get_timestep_embedding

    t = torch.tensor([0.0, 1.0, 37.5, 1000.0])
    expected = get_timestep_embedding(t, 12, flip_sin_to_cos=True, downscale_freq_shift=0)
    torch.testing.assert_close(Sinusoidal(12)(t), expected.double(), rtol=0, atol=1e-3)


def test_fourier_features_are_a_function_of_their_seed(double):
    t = torch.linspace(0, 1, 5)
    torch.manual_seed(1)
    a = Fourier(512, scale=2.0)
    torch.manual_seed(2)
    b, other = Fourier(512, scale=2.0), Fourier(512, scale=2.0, seed=1)
    assert torch.equal(a(t), b(t)) and not torch.equal(a(t), other(t)) and "w" in a.state_dict()
    assert float(a.w.std()) == pytest.approx(4 * math.pi, rel=0.15)
    # their kernel is the characteristic function of the frequencies: E cos w d = exp(-(2 pi s d)^2 / 2)
    d = torch.tensor([0.0, 0.05, 0.1])
    kernel = (a(d) @ a(torch.zeros(1)).T / 256).squeeze(1)
    torch.testing.assert_close(kernel, torch.exp(-((4 * math.pi * d) ** 2) / 2), rtol=0, atol=0.15)


# --- U-Net ------------------------------------------------------------------------------------------------------------


def excited(net: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    return net.double()


@pytest.mark.parametrize("injection", ["add", "adagn"])
@pytest.mark.parametrize(
    "shape, options",
    [
        ((1, 8, 8), {"width": 8}),
        (
            (3, 4, 12),
            {"width": 5, "multipliers": (1, 3, 2), "blocks": 2, "attention": (0, 2), "heads": 5},
        ),
        ((2, 3, 5), {"width": 7, "multipliers": (1,), "attention": (), "heads": 1}),
        ((1, 8, 8), {"width": 9, "multipliers": (2, 1, 2), "attention": (), "heads": 3}),
        ((2, 8, 12), {"width": 8, "patch": 2}),
    ],
)
def test_unet_shapes_gradients_and_conditioning(double, shape, options, injection):
    net = UNet(shape, (2, *shape[1:]), cond=6, injection=injection, **options).double()
    x, c = streams(3).normal(shape), streams(3, seed=1).normal((6,))
    assert torch.equal(net(x, c), torch.zeros(3, 2, *shape[1:]))
    out = excited(net)(x, c)
    assert out.shape == (3, 2, *shape[1:]) and out.std() > 0
    # squares of outputs weighted unequally, else a normalisation could hide a parameter
    (out * streams(3, seed=2).normal(out.shape[1:])).sum().backward()
    silent = [
        name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert not silent
    with torch.no_grad():
        assert not torch.allclose(net(x, c), net(x, c.flip(0)))
        torch.testing.assert_close(net(x[1:2], c[1:2]), out[1:2], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("injection", ["add", "adagn"])
def test_unet_injection_is_its_formula(double, injection):
    """A residual block, layer by layer, from the equations."""
    block = (
        excited(UNet((1, 4, 4), (1, 4, 4), cond=3, width=8, injection=injection))
        .down[0]
        .stages[0]
        .block
    )
    h, c = streams(2).normal((8, 4, 4)), streams(2, seed=1).normal((3,))
    n, silu = block.before[0], nn.functional.silu
    u, w = (
        block.before[2](silu(n(h))),
        (c @ block.inject.weight.T + block.inject.bias)[:, :, None, None],
    )
    a = block.norm(u + w) if injection == "add" else (1 + w[:, :8]) * block.norm(u) + w[:, 8:]
    torch.testing.assert_close(block(h, c), h + block.after[1](silu(a)))


def test_unet_on_patches_keeps_every_pixel_in_its_place(double):
    """With 1x1 kernels at the border layers and an identity between them, patches are cut and put together again."""
    net = excited(
        UNet((1, 4, 6), (1, 4, 6), width=4, heads=1, multipliers=(1,), attention=(), patch=2)
    )
    seen = []
    net.first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net.last = nn.Identity()
    net.up[-1].register_forward_hook(lambda *_: seen[0])
    x = streams(2).normal((1, 4, 6))
    assert torch.equal(net(x), x)
    assert torch.equal(seen[0][0, :, 1, 2], x[0, 0, 2:4, 4:6].flatten())


def test_unet_without_conditioning(double):
    net = excited(UNet((1, 4, 4), (1, 4, 4), width=4, heads=1))
    assert net(streams(2).normal((1, 4, 4))).shape == (2, 1, 4, 4)


def test_unet_attention_agrees_with_torch(double):
    attention = excited(UNet((1, 4, 4), (1, 4, 4), width=6, heads=3)).middle[0].attention
    h = streams(2).normal((12, 2, 2))
    tokens = attention.norm(h).flatten(2).permute(2, 0, 1)
    expected, _ = nn.functional.multi_head_attention_forward(
        tokens, tokens, tokens, 12, 3, attention.qkv.weight[:, :, 0, 0], attention.qkv.bias, None, None, False, 0.0,
        attention.out.weight[:, :, 0, 0], attention.out.bias,
    )  # fmt: skip
    torch.testing.assert_close(attention(h), h + expected.permute(1, 2, 0).view_as(h))


@pytest.mark.parametrize(
    "shape, options",
    [
        ((1, 6, 8), {"multipliers": (1, 2, 2)}),
        ((1, 8, 6), {"multipliers": (1, 2, 2)}),
        ((2,), {}),
        ((1, 8, 8), {"attention": (2,)}),
        ((1, 8, 8), {"heads": 5}),
        ((1, 8, 8), {"blocks": 0}),
        ((1, 8, 8), {"patch": 0}),
        ((1, 8, 10), {"patch": 2}),
        ((1, 8, 8), {"multipliers": ()}),
        ((1, 8, 8), {"injection": "concat"}),
    ],
)
def test_unet_refuses_what_does_not_fit(shape, options):
    with pytest.raises(ValueError, match=r"^UNet: [^\n]+$"):
        UNet(shape, shape, **options)
