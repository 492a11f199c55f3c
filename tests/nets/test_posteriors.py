"""Posteriors: densities against the Jacobian of autograd, inverses by hand, and the Gaussian's divergence by many draws."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from genbench.nets.masked_mlp import MaskedMLP
from genbench.nets.posteriors import IAF, Diagonal, Isotropic, Planar, invertible
from genbench.rng import Rng

pytestmark = pytest.mark.usefixtures("double")
KINDS = {
    "diagonal": Diagonal,
    "isotropic": Isotropic,
    "iaf": lambda d: IAF(d, steps=3, context=2, width=16, depth=2),
    "planar": lambda d: Planar(d, steps=3),
}


def normal(seed, *shape):
    return Rng(seed, range(shape[0]), torch.float64).normal(shape[1:])


def made(kind, d, seed=0):
    """A posterior with weights that matter, and what an encoder says of five images."""
    posterior = KINDS[kind](d)
    for i, p in enumerate(posterior.parameters()):
        p.data = 0.4 * normal(10 * seed + i, *p.shape)
    return posterior.requires_grad_(False), posterior.split(normal(99 + seed, 5, posterior.numbers))


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_log_q_is_that_of_the_jacobian_of_autograd(kind, d):
    """log q(z) = log N(e) - log|det dz/de|, image by image."""
    posterior, phi = made(kind, d)
    e = normal(7, 5, d)
    z, log_q = posterior(phi, e)
    assert z.shape == (5, d)
    for i in range(5):
        own = tuple(part[i : i + 1] for part in phi)
        jacobian = torch.autograd.functional.jacobian(
            lambda v, own=own: posterior(own, v[None])[0][0], e[i]
        )
        log_det = torch.linalg.slogdet(jacobian)
        expected = Normal(0.0, 1.0).log_prob(e[i]).sum() - log_det.logabsdet
        torch.testing.assert_close(log_q()[i].sum(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["iaf", "planar"])
def test_a_flow_is_a_density_that_integrates_to_one(kind):
    """d = 1: z grows with e, so that the density of its grid can be summed."""
    posterior, phi = made(kind, 1)
    e = torch.linspace(-9, 9, 4001)[:, None]
    for i in range(5):
        own = tuple(part[i : i + 1].expand(len(e), -1) for part in phi)
        z, log_q = posterior(own, e)
        assert bool((z.diff(dim=0) > 0).all())
        assert float(torch.trapezoid(log_q()[:, 0].exp(), z[:, 0])) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_centre_is_the_latent_of_no_noise(kind):
    posterior, phi = made(kind, 3)
    z, _ = posterior(phi, torch.zeros(5, 3))
    assert torch.equal(posterior.centre(phi), z)


@pytest.mark.parametrize("kind", ["diagonal", "isotropic"])
def test_a_gaussian_has_its_divergence_and_others_have_none(kind):
    posterior, (m, log_s) = made(kind, 3)
    expected = kl_divergence(Normal(m, log_s.exp()), Normal(torch.zeros(3), torch.ones(3)))
    torch.testing.assert_close(posterior.kl((m, log_s)), expected)
    assert (log_s.std(1) == 0).all() == (kind == "isotropic")
    flow, phi = made("iaf", 3)
    assert flow.kl(phi) is None


def test_an_entry_of_the_masked_network_sees_earlier_ones_and_the_condition_alone():
    d = 6
    net = MaskedMLP((d,), (2, d), 3, width=40, depth=3)
    x = normal(0, 1, d)
    cond = normal(1, 1, 3)
    seen = torch.autograd.functional.jacobian(lambda v: net(v, cond)[0], x)[:, :, 0]
    earlier = torch.ones(d, d).tril(-1).bool()
    for numbers in seen:
        assert bool((numbers[~earlier] == 0).all())
        assert bool((numbers[earlier] != 0).all())
    by_cond = torch.autograd.functional.jacobian(lambda c: net(x, c)[0], cond)
    assert bool((by_cond != 0).all())


def test_iaf_is_algorithm_1_of_kingma_et_al():
    posterior, (m, log_s, c) = made("iaf", 4)
    e = normal(7, 5, 4)
    z = log_s.exp() * e + m
    log_q = -(log_s + e**2 / 2 + math.log(2 * math.pi) / 2).sum(1)
    for t, net in enumerate(posterior.nets):
        z = z.flip(1) if t else z
        mu, g = net(z, c).unbind(1)
        sigma = torch.sigmoid(g + 2)
        z = sigma * z + (1 - sigma) * mu
        log_q = log_q - sigma.log().sum(1)
    mine, of_mine = posterior((m, log_s, c), e)
    torch.testing.assert_close(mine, z)
    torch.testing.assert_close(of_mine().sum(1), log_q)


def test_planar_steps_stay_invertible_and_without_u_are_none():
    u = 10 * normal(0, 1000, 3)
    w = normal(1, 1000, 3)
    assert bool(((invertible(u, w) * w).sum(1) > -0.9991).all())
    torch.testing.assert_close(invertible(0 * u, w), 0 * u, rtol=0, atol=1e-12)
    assert bool(invertible(u, 0 * w).isfinite().all())


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (lambda: IAF(2, steps=0), "IAF: steps and context are at least 1, not 0 and 16"),
        (lambda: Planar(2, steps=0), "Planar: steps is at least 1, not 0"),
        (lambda: MaskedMLP((2,), (2, 2), width=0), "width and depth are at least 1, not 0 and 1"),
        (lambda: MaskedMLP((2, 1), (2, 2)), "inputs are"),
    ],
)
def test_wrong_arguments(wrong, line):
    with pytest.raises(ValueError, match=line):
        wrong()
