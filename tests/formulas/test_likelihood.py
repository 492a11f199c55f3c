"""Bin masses that add up to one, tails that stay finite, and the two ways between integers and reals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch.distributions import Normal, kl_divergence

from genbench.formulas.likelihood import (
    gaussian_kl,
    gaussian_log_density,
    gaussian_log_mass,
    logistic_log_mass,
    sum_dims,
)
from genbench.formulas.pixels import bits_per_dim, dequantise, quantise, to_pixels, to_real
from genbench.rng import Rng

LEVELS = pytest.mark.parametrize("levels", [2, 3, 17, 256])
KINDS = {
    "logistic": (logistic_log_mass, stats.logistic),
    "gaussian": (gaussian_log_mass, stats.norm),
}
kinds = pytest.mark.parametrize(("log_mass", "law"), KINDS.values(), ids=KINDS)
MASSES = pytest.mark.parametrize("log_mass", [logistic_log_mass, gaussian_log_mass])


def grid(
    levels,
    dtype,
    means=(-9, -1.3, -1, -0.4, 0, 0.017, 0.5, 1, 2.2),
    log_scales=(-7, -5, -3, -1.5, 0, 2, 5),
):
    """Every pixel under every mean and scale: x of shape (levels, 1), mean and log s of shape (n,)."""
    mean, log_s = torch.cartesian_prod(
        torch.tensor(means, dtype=dtype), torch.tensor(log_scales, dtype=dtype)
    ).unbind(1)
    return torch.arange(levels).to(torch.uint8)[:, None], mean, log_s


def edges(x, levels, mean, log_s):
    """Bin edges in units of the scale, from the definition: half-way between the centres."""
    centre, half = 2 * x.double().numpy() / (levels - 1) - 1, 1 / (levels - 1)
    scale = np.exp(log_s.numpy())
    return (centre - half - mean.numpy()) / scale, (centre + half - mean.numpy()) / scale


@LEVELS
@MASSES
@pytest.mark.parametrize(
    ("dtype", "narrowest"), [(torch.float64, -7), (torch.float32, -5), (torch.float32, -7)]
)
def test_masses_of_the_bins_add_up_to_one(log_mass, levels, dtype, narrowest):
    """Up to the rounding of the edges: neighbouring bins compute the one between them each for itself, off by eps / s.

    The density at an edge, at most 1/2, makes that a mass; the densities of all edges add up to (L - 1) s / 2 where s is wide.
    """
    x, mean, log_s = grid(levels, dtype)
    mean, log_s = mean[log_s >= narrowest], log_s[log_s >= narrowest]
    mass = log_mass(x, levels, mean, log_s)
    assert mass.dtype == dtype
    error = torch.finfo(dtype).eps * (levels - 1 + math.exp(-narrowest))
    assert float((mass.exp().sum(0) - 1).abs().max()) < error


@LEVELS
@kinds
def test_masses_are_differences_of_the_distribution_function(log_mass, law, levels):
    x, mean, log_s = grid(levels, torch.float64)
    a, b = edges(x, levels, mean, log_s)
    a[0], b[-1] = -np.inf, np.inf
    # the difference is taken on the side where both are small
    expected = np.where(a > 0, law.sf(a) - law.sf(b), law.cdf(b) - law.cdf(a))
    np.testing.assert_allclose(
        log_mass(x, levels, mean, log_s).exp().numpy(), expected, rtol=1e-9, atol=1e-300
    )


def test_logistic_mass_far_in_the_tail():
    """sigma(b) - sigma(a) = sinh((b - a)/2) / (2 cosh(a/2) cosh(b/2)), in logarithms."""
    x, mean, log_s = grid(256, torch.float64, means=(-40, -2, 3), log_scales=(-7, -4, 0))
    a, b = edges(x, 256, mean, log_s)
    log_cosh = lambda t: np.abs(t) + np.log1p(np.exp(-2 * np.abs(t))) - math.log(2)  # noqa: E731
    log_sinh = lambda t: t + np.log(-np.expm1(-2 * t)) - math.log(2)  # noqa: E731
    expected = log_sinh((b - a) / 2) - math.log(2) - log_cosh(a / 2) - log_cosh(b / 2)
    value = logistic_log_mass(x, 256, mean, log_s).numpy()
    np.testing.assert_allclose(value[1:-1], expected[1:-1], rtol=1e-10)


def test_gaussian_mass_far_in_the_tail():
    x, mean, log_s = grid(256, torch.float64, means=(-40, -2, 3), log_scales=(-7, -4, 0))
    a, b = edges(x, 256, mean, log_s)
    # N(b) - N(a) on the lower side, by scipy's log of the distribution function
    near, far = np.where(a + b > 0, -a, b), np.where(a + b > 0, -b, a)
    expected = special.log_ndtr(near) + np.log(
        -np.expm1(special.log_ndtr(far) - special.log_ndtr(near))
    )
    value = gaussian_log_mass(x, 256, mean, log_s).numpy()
    np.testing.assert_allclose(value[1:-1], expected[1:-1], rtol=1e-9)


@LEVELS
@MASSES
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_values_and_gradients_are_finite_in_far_tails(log_mass, levels, dtype):
    x, mean, log_s = grid(
        levels, dtype, means=(-60, -3, -1, 0, 1, 3, 60), log_scales=(-7, -3, 0, 5)
    )
    mean, log_s = mean.requires_grad_(), log_s.requires_grad_()
    value = log_mass(x, levels, mean, log_s)
    assert torch.isfinite(value).all()
    assert bool((value <= 1e-6).all())
    for gradient in torch.autograd.grad(value.sum(), (mean, log_s)):
        assert torch.isfinite(gradient).all()


@MASSES
def test_float32_gradients_in_far_tails_are_those_of_float64(log_mass):
    """An encoder that starts far off is pulled back by this gradient."""
    gradients = []
    for dtype in (torch.float32, torch.float64):
        x, mean, log_s = grid(256, dtype, means=(-60, -4, 5), log_scales=(-7, -3, 0))
        mean, log_s = mean.requires_grad_(), log_s.requires_grad_()
        gradients.append(
            torch.stack(
                torch.autograd.grad(log_mass(x, 256, mean, log_s).sum(), (mean, log_s))
            ).double()
        )
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-3)


@LEVELS
@MASSES
def test_the_score_has_mean_zero(log_mass, levels):
    """sum_x p(x) grad log p(x) = grad 1 = 0: a gradient of the right mass, and not of something else."""
    x, mean, log_s = grid(levels, torch.float64, log_scales=(-4, -2, 0, 1))
    mean, log_s = mean.requires_grad_(), log_s.requires_grad_()
    value = log_mass(x, levels, mean, log_s)
    for gradient in torch.autograd.grad((value.detach().exp() * value).sum(), (mean, log_s)):
        assert float(gradient.abs().max()) < 1e-8


@MASSES
def test_gradients_are_those_of_differences(log_mass):
    x = torch.tensor([[0, 1, 5, 15, 16]], dtype=torch.uint8)
    mean = torch.tensor([-0.9, -0.2, 0.3, 0.8, 2.0], dtype=torch.float64, requires_grad=True)
    log_s = torch.tensor([-2.0, -1.0, 0.5, -0.3, -1.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m, s: log_mass(x, 17, m, s), (mean, log_s))


def test_gaussian_kl_and_density_are_those_of_torch(double):
    m_q, log_s_q, m_p, log_s_p = Rng(0, range(4), torch.float64).normal((200,))
    q, p = Normal(m_q, log_s_q.exp()), Normal(m_p, log_s_p.exp())
    torch.testing.assert_close(
        gaussian_kl(m_q, log_s_q, m_p, log_s_p), kl_divergence(q, p), rtol=1e-11, atol=1e-12
    )
    torch.testing.assert_close(
        gaussian_log_density(m_p, m_q, log_s_q), q.log_prob(m_p), rtol=1e-11, atol=1e-12
    )


def test_gaussian_kl_to_the_standard_normal_is_the_isotropic_formula(double):
    """KL(N(m, s^2 I) || N(0, I)) = (d s^2 + |m|^2 - d - 2 d log s) / 2, and zero to itself."""
    m, s, zero = Rng(1, [0], torch.float64).normal((7,))[0], 0.3, torch.zeros(7)
    kl = gaussian_kl(m, torch.full((7,), math.log(s)), zero, zero).sum()
    assert math.isclose(
        float(kl), (7 * s**2 + float(m @ m) - 7 - 14 * math.log(s)) / 2, rel_tol=1e-12
    )
    assert not gaussian_kl(m, m, m, m).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pixels_to_reals_and_back(dtype):
    for levels in range(2, 257):
        x = torch.arange(levels).to(torch.uint8)
        v = to_real(x, levels, dtype)
        assert v.dtype == dtype
        assert (float(v[0]), float(v[-1])) == (-1, pytest.approx(1, abs=1e-6))
        assert to_pixels(v, levels).dtype == torch.uint8
        assert torch.equal(to_pixels(v, levels), x)
        # the nearest centre owns everything up to half-way
        for shift in (-0.99, 0.99):
            assert torch.equal(to_pixels(v + shift / (levels - 1), levels), x)
    assert to_pixels(torch.tensor([-7.0, 7.0]), 256).tolist() == [0, 255]


class Given(Rng):
    """Streams whose uniforms are given."""

    def uniform(self, shape=()):
        return torch.tensor(self.value, dtype=self.dtype).expand(len(self), *shape)


# the smallest and the largest number that `Rng.uniform` can draw
@pytest.mark.parametrize("u", [2.0**-24, 0.3, 0.5, 1 - 2.0**-24])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dequantised_pixels_stay_in_their_cells(u, dtype):
    rng = Given(0, [0], dtype)
    rng.value = u
    for levels in range(2, 257):
        x = torch.arange(levels).to(torch.uint8)[None]
        v = dequantise(x, levels, rng)
        assert v.dtype == dtype
        assert bool(((v > 0) & (v < 1)).all())
        assert torch.equal(quantise(v, levels), x), f"{levels} levels"


@LEVELS
def test_dequantised_pixels_are_uniform_in_their_cells(levels):
    x = Rng(2, range(50)).integers(levels, (1, 20, 20)).to(torch.uint8)
    v = dequantise(x, levels, Rng(3, range(50)))
    assert torch.equal(quantise(v, levels), x)
    assert stats.kstest((v.double() * levels - x).flatten().numpy(), "uniform").pvalue > 1e-3
    assert quantise(torch.tensor([-0.1, 0.0, 1.0, 1.3]), levels).tolist() == [
        0,
        0,
        levels - 1,
        levels - 1,
    ]


def test_bits_per_dim():
    """A uniform image costs log2(levels) bits per dimension; -D ln 2 nats are one bit each."""
    assert float(
        bits_per_dim(torch.tensor(-12 * math.log(256), dtype=torch.float64), 12)
    ) == pytest.approx(8, abs=1e-12)
    assert bits_per_dim(
        torch.tensor([-6 * math.log(2), 0], dtype=torch.float64), 6
    ).tolist() == pytest.approx([1, 0])


def test_sum_dims_sums_an_image():
    v = Rng(4, range(3)).normal((2, 4, 5))
    torch.testing.assert_close(sum_dims(v), torch.stack([image.sum() for image in v]))
    assert sum_dims(v).shape == (3,)
