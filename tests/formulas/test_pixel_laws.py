"""Distributions of pixels: masses of all images add up to one, draws have them, and one fixed scale is a squared error."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from genbench.formulas.pixel_laws import pixel_law
from genbench.formulas.pixels import to_real
from genbench.rng import Rng
from genbench.spec import Spec

pytestmark = pytest.mark.usefixtures("double")
CASES = [(kind, sigma, 5) for kind in ("gaussian", "logistic") for sigma in ("pixel", "one", 0.3)]
cases = pytest.mark.parametrize(("kind", "sigma", "levels"), [*CASES, ("bernoulli", "pixel", 2)])


def one_pixel(kind, sigma, levels):
    """A law of one pixel, every value of it, and what a decoder says."""
    law = pixel_law(kind, sigma, Spec((1, 1, 1), levels))
    if sigma == "one":
        law.log_s.data.fill_(-1.2)
    theta = torch.tensor([[0.2, -0.9]])[:, : law.channels, None, None]
    return law, torch.arange(levels, dtype=torch.uint8).view(-1, 1, 1, 1), theta


@cases
@torch.no_grad()
def test_masses_add_up_to_one_and_draws_have_them(kind, sigma, levels):
    law, x, theta = one_pixel(kind, sigma, levels)
    p = law.log_mass(x, theta.expand(levels, -1, 1, 1)).exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-12)
    n = 10_000
    drawn = law.draw(theta.expand(n, -1, 1, 1), Rng(0, range(n), torch.float64))
    counts = drawn.flatten().long().bincount(minlength=levels)
    assert stats.chisquare(counts.numpy(), (n * p).numpy()).pvalue > 1e-3
    assert law.centre(theta).item() == (1 if kind == "bernoulli" else round(1.2 * (levels - 1) / 2))


@pytest.mark.parametrize("sigma", [0.1, 0.7, 3.0])
def test_the_objective_of_one_fixed_scale_is_a_squared_error_and_a_constant(sigma):
    spec = Spec((2, 3, 3), 17)
    law = pixel_law("gaussian", sigma, spec)
    x = Rng(0, range(6)).integers(17, spec.shape).to(torch.uint8)
    mu = Rng(1, range(6), torch.float64).normal(spec.shape)
    error = (to_real(x, 17, torch.float64) - mu).square().flatten(1).sum(1)
    constant = 18 * (math.log(2 / 16) - math.log(sigma) - 0.5 * math.log(2 * math.pi))
    torch.testing.assert_close(law.objective(x, mu), constant - error / (2 * sigma**2))


@torch.no_grad()
def test_the_objective_is_near_the_log_mass_of_inner_bins_much_narrower_than_the_scale():
    spec = Spec((1, 4, 4), 256)
    law = pixel_law("gaussian", 0.3, spec)
    x = Rng(0, range(6)).integers(254, spec.shape).add(1).to(torch.uint8)
    mu = Rng(1, range(6), torch.float64).normal(spec.shape).clamp(-1, 1)
    torch.testing.assert_close(law.objective(x, mu), law.log_mass(x, mu), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["gaussian", "logistic"])
def test_one_learnt_scale_is_that_of_pixels_which_share_it(kind):
    spec = Spec((2, 2, 2), 17)
    one = pixel_law(kind, "one", spec)
    one.log_s.data.fill_(-0.7)
    mu = Rng(1, range(3), torch.float64).normal(spec.shape)
    x = Rng(0, range(3)).integers(17, spec.shape).to(torch.uint8)
    theta = torch.cat((mu, torch.full_like(mu, -0.7)), dim=1)
    expected = pixel_law(kind, "pixel", spec).log_mass(x, theta)
    assert torch.equal(one.log_mass(x, mu), expected)
    assert torch.equal(one.objective(x, mu), expected)
    (slope,) = torch.autograd.grad(one.log_mass(x, mu).sum(), one.log_s)
    assert float(slope) != 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("gaussian", "two", Spec((1, 1, 1), 5)), "sigma is 'pixel', 'one' or a number above 0"),
        (("gaussian", 0.0, Spec((1, 1, 1), 5)), "sigma is a finite number above 0"),
        (("bernoulli", 0.5, Spec((1, 1, 1), 2)), "sigma is 'pixel' where likelihood_model is"),
        (("bernoulli", "pixel", Spec((1, 1, 1), 5)), "needs data of 2 levels, not 5"),
        (("poisson", "pixel", Spec((1, 1, 1), 5)), "likelihood_model is 'logistic'"),
    ],
)
def test_wrong_arguments(arguments, line):
    with pytest.raises(ValueError, match=line):
        pixel_law(*arguments)
