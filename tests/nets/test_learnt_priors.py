"""Learnt priors: densities that integrate to one, draws that have them, quantiles and norms."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from scipy import stats

from genbench.nets.mlp import MLP
from genbench.nets.priors import FlowPrior, GaussianMixture, VampPrior
from genbench.rng import Rng

pytestmark = pytest.mark.usefixtures("double")
SHAPE = (1, 2, 2)


def normal(seed, *shape):
    return Rng(seed, range(shape[0]), torch.float64).normal(shape[1:])


def encode(u, d=2):
    """A q(z|u) of its own for every pseudo-input."""
    h = u.flatten(1) @ normal(5, 4, 2 * d)
    return h[:, :d], 0.3 * h[:, d:] - 0.5


def made(kind, d):
    """The law of a prior with large weights."""
    prior = {
        "mixture": partial(GaussianMixture, components=3),
        "vamp": partial(VampPrior, components=4),
        "flow": partial(FlowPrior, net=partial(MLP, width=16), couplings=4),
    }[kind](SHAPE, d)
    for i, p in enumerate(prior.parameters()):
        p.data = normal(i, max(1, len(p.shape) and p.shape[0]), *p.shape[1:]).view(p.shape) * 0.4
    return prior.law(partial(encode, d=d))


CASES = [("mixture", 1), ("vamp", 1), ("mixture", 2), ("vamp", 2), ("flow", 2)]
cases = pytest.mark.parametrize(("kind", "d"), CASES)


def grid(d, n):
    """Points of [-15, 15]^d and the volume of each."""
    line = torch.linspace(-15, 15, n)
    return torch.cartesian_prod(*[line] * d).view(-1, d), (30 / (n - 1)) ** d


@cases
@torch.no_grad()
def test_a_density_integrates_to_one(kind, d):
    z, volume = grid(d, 401)
    log_p = made(kind, d).log_density(z)
    assert log_p.shape == (len(z), 1)
    assert float(log_p.exp().sum() * volume) == pytest.approx(1, abs=1e-5)


@cases
@torch.no_grad()
def test_draws_have_the_density(kind, d):
    """Chi-square over cells, whose masses are sums over a grid."""
    law = made(kind, d)
    n = 20_000
    drawn = law.draw(Rng(3, range(n), torch.float64), (d,))
    assert drawn.shape == (n, d)
    z, volume = grid(d, 401)
    # half-way between points of the grid, whose sums are then those of the midpoint rule
    edges = (torch.tensor([-26.0, -13.0, -4.0, 4.0, 13.0, 26.0]) + 0.5) * 30 / 400
    radix = 7 ** torch.arange(d)
    cell = lambda v: (torch.bucketize(v.contiguous(), edges) * radix).sum(1)  # noqa: E731
    mass = torch.zeros(7**d).index_add(0, cell(z), law.log_density(z)[:, 0].exp() * volume)
    counts = cell(drawn).bincount(minlength=7**d).double()
    many = mass * n > 10
    expected = torch.cat((mass[many], 1 - mass[many].sum()[None])) * n
    observed = torch.cat((counts[many], n - counts[many].sum()[None]))
    assert many.sum() > 3
    statistic = float(((observed - expected) ** 2 / expected.clamp(min=1)).sum())
    assert stats.chi2.sf(statistic, int(many.sum())) > 1e-3


@cases
@torch.no_grad()
def test_quantiles_and_norm_are_those_of_draws(kind, d):
    law = made(kind, d)
    n = 20_000
    z = law.draw(Rng(4, range(n), torch.float64), (d,))
    assert law.norm(d) == pytest.approx(float(z.square().sum(1).mean().sqrt()), rel=0.03)
    scores = torch.linspace(-2, 2, 5)
    quantiles = law.quantiles(scores, d)
    assert quantiles.shape == (5, d)
    for q, score in zip(quantiles, scores, strict=True):
        share = float(torch.special.ndtr(score))
        # a flow's are of draws, too
        error = math.sqrt(3 * share * (1 - share) / n)
        assert bool(((z < q).double().mean(0) - share).abs().max() < 4 * error)


@torch.no_grad()
def test_the_flow_s_inverse_undoes_it_and_its_determinant_is_autograds():
    law = made("flow", 3)
    z = normal(1, 4, 3)
    eps, log_det = law.f(z[..., None, None])
    torch.testing.assert_close(law.f.inverse(eps).flatten(1), z)
    for i in range(4):
        jacobian = torch.autograd.functional.jacobian(
            lambda v: law.f(v[None, :, None, None])[0].flatten(), z[i]
        )
        torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, log_det[i])


def test_gradients_reach_pseudo_inputs_and_encoder():
    prior = VampPrior(SHAPE, 2, components=3)
    weight = normal(5, 4, 4).requires_grad_()

    def by_weight(u):
        h = u.flatten(1) @ weight
        return h[:, :2], h[:, 2:]

    value = prior.law(by_weight).log_density(normal(0, 6, 2)).sum()
    for gradient in torch.autograd.grad(value, (prior.w, weight)):
        assert bool((gradient != 0).all())


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (lambda: GaussianMixture(SHAPE, 2, 0), "components is at least 1, not 0"),
        (lambda: VampPrior(SHAPE, 2, 0), "components is at least 1, not 0"),
        (lambda: FlowPrior(SHAPE, 1, MLP), "latent is at least 2, not 1"),
        (lambda: FlowPrior(SHAPE, 2, MLP, couplings=1), "couplings is at least 2, not 1"),
    ],
)
def test_wrong_arguments(wrong, line):
    with pytest.raises(ValueError, match=line):
        wrong()
