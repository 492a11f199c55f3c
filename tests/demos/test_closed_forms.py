"""The closed forms that demonstrations expect, computed once more in another way; and wrong mathematics, which they notice."""

from __future__ import annotations

import importlib
import math
from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import distributions

from genbench.demos import (
    diff_hvae,
    diff_reverse,
    gan_optimum,
    joint_table,
    kl_gaussians,
    lambda_small_t,
    langevin_up,
    reparam,
    reverse_gaussian,
    tweedie,
    vae_naive,
)
from genbench.demos.command import run_demonstration
from genbench.demos.line_mixture import mixture
from genbench.formulas.noise import Linear
from genbench.models.gan.games import LeastSquares, NonSaturating, Wasserstein
from genbench.rng import Rng


def test_joint_table_has_the_three_numbers_of_the_lecture():
    pairs = {
        (x, y): Fraction(count, 100)
        for x, row in enumerate(joint_table.PAIRS.tolist(), 1)
        for y, count in enumerate(row, 1)
    }
    assert sum(pairs.values()) == 1
    first = sum(p for (x, _), p in pairs.items() if x == 1)
    assert first == Fraction("0.36")
    assert sum(x * p for (x, _), p in pairs.items()) == Fraction("1.96")
    assert f"{float(pairs[1, 2] / first):.3f}" == "0.083"


@pytest.mark.parametrize("d", [1, 3])
def test_kl_of_gaussians_is_that_of_torch(d):
    p, q = (
        distributions.Independent(distributions.Normal(torch.full((d,), m), torch.full((d,), s)), 1)
        for m, s in (kl_gaussians.P, kl_gaussians.Q)
    )
    value = kl_gaussians.lecture_kl(kl_gaussians.P, kl_gaussians.Q, d)
    assert value == pytest.approx(distributions.kl_divergence(p, q).item(), rel=1e-5)


def test_jensen_shannon_divergence_is_that_of_scipy():
    p = gan_optimum.REAL.double() / gan_optimum.REAL.sum()
    q = gan_optimum.FAKE.double() / gan_optimum.FAKE.sum()
    value = float(gan_optimum.jensen_shannon(p, q))
    assert value == pytest.approx(jensenshannon(p.numpy(), q.numpy()) ** 2)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_variance_of_the_score_function_by_gauss_hermite(d):
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    weights = weights / weights.sum()
    eps = np.stack(np.meshgrid(*[nodes] * d, indexing="ij")).reshape(d, -1)
    w = np.prod(np.stack(np.meshgrid(*[weights] * d, indexing="ij")).reshape(d, -1), axis=0)
    z = reparam.m + reparam.s * eps
    estimate = (z**2).sum(0) * eps[0] / reparam.s
    assert (w * estimate).sum() == pytest.approx(2 * reparam.m)
    variance = (w * estimate**2).sum() - (2 * reparam.m) ** 2
    assert reparam.score_variance(d) == pytest.approx(variance)


def test_abar_by_gamma_functions_is_the_product():
    for T in (5, 100):
        product = math.prod(1 - Fraction(k, 1000 * T) for k in range(1, T + 1))
        closed = diff_reverse.log_abar(1 / (1000 * T), 1 / 1000, T)
        assert closed == pytest.approx(math.log(product), rel=1e-6)


def test_weights_of_the_bound_are_differences_of_signal_to_noise():
    beta = Linear().betas(20).tolist()
    abar = list(accumulate(beta, lambda product, b: product * (1 - b), initial=1.0))
    weights = []
    for t in range(2, 21):
        # L_{t-1} = (SNR_{t-1} - SNR_t) / 2 |x_0 - x_0_hat|^2, and |x_0 - x_0_hat|^2 = |eps - eps_hat|^2 / SNR_t
        snr, before = abar[t] / (1 - abar[t]), abar[t - 1] / (1 - abar[t - 1])
        weights.append((before - snr) / 2 / snr)
    tables = lambda_small_t.bound_tables(Linear().betas(20), "posterior")
    assert tables["weight"][2:].tolist() == pytest.approx(weights)


def test_moments_of_langevins_chain_follow_from_its_steps():
    a = 1 - langevin_up.h / 2
    mean, variance = 4.0, 0.0
    for _ in range(7):
        mean, variance = a * mean, a**2 * variance + langevin_up.h
    log_p = -0.5 * math.log(2 * math.pi) - 0.5 * (mean**2 + variance)
    assert langevin_up.expected(7, 4.0) == pytest.approx(log_p)


def test_third_derivative_of_two_equal_modes():
    m, s, y = 1.5, 0.7, reverse_gaussian.PLACE
    # (log p)' = m / s^2 tanh(u) - y / s^2 with u = m y / s^2
    u = m * y / s**2
    third = -2 * (m / s**2) ** 3 * math.tanh(u) / math.cosh(u) ** 2
    assert reverse_gaussian.third_derivative(reverse_gaussian.DATA, y) == pytest.approx(third)


def test_posterior_mean_of_a_gaussian_prior():
    x = torch.linspace(-8, 8, 3201, dtype=torch.float64)
    p = mixture([1.0], [0.3], [0.8]).density(x)
    x_t = torch.linspace(-2, 2, 9, dtype=torch.float64)
    by_bayes, by_score = tweedie.both_means(Linear(), tweedie.TIME, x, p / p.sum(), x_t)
    alpha, sigma = Linear().alpha(tweedie.TIME), Linear().sigma(tweedie.TIME)
    gain = alpha * 0.8**2 / (alpha**2 * 0.8**2 + sigma**2)
    known = 0.3 + gain * (x_t - alpha * 0.3)
    assert torch.allclose(by_bayes, known) and torch.allclose(by_score, known)


def test_second_moment_of_the_encoders_weights_in_one_dimension():
    v, t = vae_naive.v, vae_naive.t
    z = np.linspace(-12, 12, 20001) * t
    posterior = np.exp(-(z**2) / (2 * v)) / math.sqrt(2 * math.pi * v)
    q = np.exp(-(z**2) / (2 * t**2)) / math.sqrt(2 * math.pi * t**2)
    second = np.trapezoid(posterior**2 / q, z)
    assert t**2 / (v * math.sqrt(2 * t**2 / v - 1)) == pytest.approx(second)


def test_covariances_of_the_forward_process_are_those_of_its_levels():
    levels = diff_hvae.levels(12)
    q, p = diff_hvae.covariances(12)
    alpha = torch.tensor([level.alpha for level in levels], dtype=torch.float64)
    sigma = torch.tensor([level.sigma for level in levels], dtype=torch.float64)
    assert torch.allclose(q.diagonal(), alpha**2 * diff_hvae.c**2 + sigma**2)
    assert torch.allclose(q[0], alpha * diff_hvae.c**2)
    assert p[12, 12] == 1


def test_mixture_on_the_line():
    data = mixture([0.3, 0.7], [-1.0, 0.5], [0.4, 0.9])
    x = torch.linspace(-9, 9, 3601, dtype=torch.float64)
    places = torch.tensor([-1.2, 0.1, 2.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(data.log_density(places).sum(), places)
    places = places.detach()
    assert torch.allclose(data.score(places), slope)
    # the noisy density is an integral over x
    noise = distributions.Normal(0.8 * x, 0.5).log_prob(places[:, None]).exp()
    convolved = torch.trapezoid(data.density(x) * noise, x)
    assert torch.allclose(data.noisy(0.8, 0.5).density(places), convolved)
    draws = data.draw(Rng(0, range(20_000)))
    error = draws.std() / len(draws) ** 0.5
    assert abs(draws.mean() - (0.3 * -1.0 + 0.7 * 0.5)) < 4 * error
    second = 0.3 * (1 + 0.16) + 0.7 * (0.25 + 0.81)
    assert abs((draws**2).mean() - second) < 4 * (draws**2).std() / len(draws) ** 0.5


class Negated(Linear):
    """A chain whose score has the wrong sign."""

    def from_score(self, score, x_t, t):
        return super().from_score(-score, x_t, t)


def reversed_kl(kl):
    return lambda m_q, log_s_q, m_p, log_s_p: kl(m_p, log_s_p, m_q, log_s_q)


def replaced_by(thing):
    return lambda _: thing


def without_alpha(by_score):
    def mistaken(log_p, x_t):
        mean, variance = by_score(log_p, x_t)
        return mean, variance * 0.8**2

    return mistaken


# what is replaced in a demonstration, and by which mistake of the thing that was there
MISTAKES = {
    "ae_pca": ("squared_error", lambda _: lambda x, y: (x - y).abs().sum(1).mean()),
    "jensen": ("gap", lambda gap: lambda X, p: -gap(X, p)),
    "elbo_gap": ("gaussian_kl", reversed_kl),
    "elbo_derivations": ("kl", lambda kl: lambda q, p: kl(p, q)),
    "elbo_free_q": ("elbo", lambda elbo: lambda x, m, log_t: elbo(x, m, log_t) + log_t),
    "kl_gaussians": ("gaussian_kl", reversed_kl),
    "likelihood_product": ("log_likelihood", lambda f: lambda x, theta: f(1 - x, theta)),
    "gan_logd": ("Minimax", replaced_by(NonSaturating)),
    "gan_optimum": ("Minimax", replaced_by(LeastSquares)),
    "gan_oscillate": ("descent", lambda f: lambda x, t=0.0: f(x) * torch.tensor([1.0, -1.0])),
    "wgan_smooth": ("Minimax", replaced_by(Wasserstein)),
    "elbo_is_ae": ("gaussian_log_density", lambda f: lambda x, m, log_s: f(x, m, log_s) + log_s),
    "tweedie": ("Linear", replaced_by(Negated)),
    "score_only": ("by_score", without_alpha),
    "diff_reverse": ("denoise", lambda f: lambda x, level: 0.999 * f(x, level)),
    "reverse_gaussian": ("third_derivative", lambda f: lambda p, y: 1.01 * f(p, y)),
    "lambda_small_t": ("bound_tables", lambda f: lambda beta, _: f(beta, "beta")),
    "diff_hvae": ("posterior", lambda f: lambda level: (f(level)[0], 1.01 * f(level)[1])),
}


@pytest.mark.parametrize("module", MISTAKES)
def test_wrong_mathematics_disagrees(module, monkeypatch):
    name, mistake = MISTAKES[module]
    demonstration = importlib.import_module(f"genbench.demos.{module}")
    monkeypatch.setattr(demonstration, name, mistake(getattr(demonstration, name)))
    assert not run_demonstration(module.replace("_", "-")).passed
