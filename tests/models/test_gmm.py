"""Gaussian mixtures: against scikit-learn, against dense covariances, on universes that can be listed."""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import torch
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import GaussianMixture
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal, Normal

from genbench.batch import Batch
from genbench.data.digits import Digits
from genbench.formulas.factor_analysers import LowRank
from genbench.formulas.gaussians import Diagonal, Full
from genbench.models.classical.gmm import GMM
from genbench.rng import Rng
from genbench.spec import Labels, Spec

KINDS = ["full", "diagonal", "low-rank"]
SMALL = Spec((1, 1, 2), levels=4, y=Labels(2))


def images(spec: Spec, n: int, seed: int = 0) -> torch.Tensor:
    """Correlated integer images, around three centres."""
    rng = Rng(seed, range(n), torch.float64)
    mix = 0.6 * torch.tril(torch.ones(spec.dims, spec.dims, dtype=torch.float64))
    v = (rng.integers(3)[:, None] - 1) * 0.5 * spec.levels + spec.levels / 12 * rng.normal(
        (spec.dims,)
    ) @ mix.T
    return (
        (v + spec.levels / 2).floor().clamp(0, spec.levels - 1).to(torch.uint8).view(n, *spec.shape)
    )


def batches(x: torch.Tensor, size: int = 64, y: torch.Tensor | None = None) -> list[Batch]:
    rows = torch.arange(len(x)).split(size)
    return [Batch(x[r], None if y is None else y[r], Rng(0, r)) for r in rows]


def fitted(spec: Spec, x: torch.Tensor, y: torch.Tensor | None = None, **options) -> GMM:
    model = GMM(spec, conditional=y is not None, **options).double().eval()
    model.finalize(batches(x, y=y), Rng(0, [0], torch.float64))
    return model


def universe(spec: Spec) -> torch.Tensor:
    return (
        torch.cartesian_prod(*[torch.arange(spec.levels)] * spec.dims)
        .to(torch.uint8)
        .view(-1, *spec.shape)
    )


@pytest.mark.parametrize(("kind", "theirs"), [("full", "full"), ("diagonal", "diag")])
def test_em_is_that_of_scikit_learn(double, kind, theirs):
    spec = Spec((1, 2, 2), 16)
    x, K, floor = images(spec, 600), 3, 1 / 12 * (2 / 16) ** 2
    v = ((2 * x.double().flatten(1) + 1) / 16 - 1).numpy()
    model = GMM(spec, components=K, covariance=kind, passes=1).double()
    model._start(batches(x), Rng(0, [0], torch.float64))
    means, variance = model.gaussians.mean.numpy().copy(), v.var(0, ddof=1) + floor
    precisions = (
        np.tile(np.diag(1 / variance), (K, 1, 1))
        if kind == "full"
        else np.tile(1 / variance, (K, 1))
    )
    for _ in range(10):
        model.em_step(batches(x))
    oracle = GaussianMixture(
        K, covariance_type=theirs, reg_covar=floor, max_iter=10, tol=0, means_init=means, weights_init=np.full(K, 1 / K),
        precisions_init=precisions,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="did not converge"):
        oracle.fit(v)
    torch.testing.assert_close(
        model.gaussians.mean, torch.tensor(oracle.means_), rtol=1e-6, atol=1e-8
    )
    torch.testing.assert_close(
        model.logits.softmax(1)[0], torch.tensor(oracle.weights_), rtol=1e-6, atol=1e-8
    )
    log_p = model._mixed(model.gaussians.log_density(torch.tensor(v))).logsumexp((1, 2))
    torch.testing.assert_close(log_p, torch.tensor(oracle.score_samples(v)), rtol=1e-6, atol=1e-8)


def excited(gaussians: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for i, p in enumerate(gaussians.parameters()):
            p.add_(0.3 * Rng(i, [0], torch.float64).normal(p.shape)[0])
    return gaussians.double()


def dense(gaussians, c: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance matrix of Gaussian c."""
    mean = gaussians.mean[c].double()
    if isinstance(gaussians, Full):
        return mean, gaussians.L(c) @ gaussians.L(c).T
    if isinstance(gaussians, Diagonal):
        return mean, torch.diag(torch.exp(2 * gaussians.log_s[c]))
    return mean, gaussians.factor[c] @ gaussians.factor[c].T + torch.diag(
        gaussians.log_psi[c].exp()
    )


MADE = [lambda: Full(3, 5, False), lambda: Diagonal(3, 5, False), lambda: LowRank(3, 5, 2, False)]


@pytest.mark.parametrize("make", MADE)
def test_densities_are_those_of_the_dense_covariances(double, make):
    gaussians, v = excited(make()), Rng(9, range(7), torch.float64).normal((5,))
    mine = gaussians.log_density(v)
    for c in range(3):
        mean, covariance = dense(gaussians, c)
        torch.testing.assert_close(
            mine[:, c], MultivariateNormal(mean, covariance).log_prob(v), rtol=1e-10, atol=1e-10
        )


def test_low_rank_density_is_that_of_torch(double):
    g, v = excited(LowRank(2, 6, 3, False)), Rng(9, range(7), torch.float64).normal((6,))
    for c in range(2):
        oracle = LowRankMultivariateNormal(g.mean[c], g.factor[c], g.log_psi[c].exp())
        torch.testing.assert_close(
            g.log_density(v)[:, c], oracle.log_prob(v), rtol=1e-10, atol=1e-10
        )


@pytest.mark.parametrize("make", [lambda: Diagonal(2, 12, False), lambda: LowRank(2, 12, 2, False)])
def test_densities_keep_their_digits_where_pixels_hardly_vary(double, make):
    """With variances of 1e-9, v^2 / psi is 1e9 and a difference of such terms holds 1e-6 at best; a sum of squares holds 1e-11.

    The oracle inverts the covariance matrix with 60 decimals.
    """
    gaussians = excited(make())
    if isinstance(gaussians, LowRank):
        gaussians.log_psi -= 20
    else:
        gaussians.log_s -= 10
    v = gaussians.draw(torch.tensor([0, 0, 0, 1, 1, 1]), Rng(9, range(6), torch.float64))
    log_density = gaussians.log_density(v)
    with mpmath.workdps(60):
        for row, c in enumerate([0, 0, 0, 1, 1, 1]):
            covariance = mpmath.diag(
                [mpmath.exp(2 * scale.item()) for scale in half_log_variance(gaussians)[c]]
            )
            if isinstance(gaussians, LowRank):
                factor = mpmath.matrix(gaussians.factor[c].tolist())
                covariance += factor * factor.T
            d = mpmath.matrix((v[row]).tolist()) - mpmath.matrix(gaussians.mean[c].tolist())
            square = (d.T * mpmath.inverse(covariance) * d)[0]
            oracle = (
                -(square + mpmath.log(mpmath.det(covariance)) + 12 * mpmath.log(2 * mpmath.pi)) / 2
            )
            assert abs(float(oracle - log_density[row, c].item())) < 1e-9
    # the same kernels see other shapes when a point is alone
    alone = torch.cat([gaussians.log_density(point[None]) for point in v])
    own = torch.tensor([0, 0, 0, 1, 1, 1])[:, None]
    torch.testing.assert_close(alone.gather(1, own), log_density.gather(1, own), rtol=0, atol=1e-9)


def half_log_variance(gaussians: torch.nn.Module) -> torch.Tensor:
    """Logarithm of the standard deviation of every pixel's own noise, (C, D)."""
    return gaussians.log_s if isinstance(gaussians, Diagonal) else gaussians.log_psi / 2


@pytest.mark.parametrize("make", MADE)
def test_draws_have_the_mean_and_the_covariance(double, make):
    gaussians, n = excited(make()), 20_000
    v = gaussians.draw(torch.ones(n, dtype=torch.int64), Rng(4, range(n), torch.float64))
    mean, covariance = dense(gaussians, 1)
    spread = covariance.diagonal().sqrt()
    assert (((v.mean(0) - mean) / spread).abs() < 5 / n**0.5).all()
    assert (((v.T.cov() - covariance) / spread[:, None] / spread).abs() < 0.05).all()


@pytest.mark.parametrize("kind", KINDS)
def test_em_never_loses_likelihood(double, kind):
    """With the variance of u as the floor the likelihood may stop rising at the end, but it never falls by more than that costs."""
    spec = Spec((1, 3, 3), 32)
    x = images(spec, 500)
    model = GMM(spec, components=4, covariance=kind, rank=2, floor=1e-9).double()
    model._start(batches(x), Rng(0, [0], torch.float64))
    trace = [model.em_step(batches(x)) for _ in range(15)]
    assert all(after >= before - 1e-6 for before, after in pairwise(trace))
    assert trace[-1] > trace[0] + 1


@pytest.mark.parametrize("kind", KINDS)
def test_em_does_not_depend_on_the_batches(double, kind):
    x = images(SMALL, 300)
    models = []
    for size in (300, 17):
        model = GMM(SMALL, components=2, covariance=kind, rank=1).double()
        model._start(batches(x, 300), Rng(0, [0], torch.float64))
        for _ in range(3):
            model.em_step(batches(x, size))
        models.append(model)
    for a, b in zip(models[0].parameters(), models[1].parameters()):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_em_recovers_a_known_mixture(double):
    spec = Spec((1, 1, 2), 256)
    rng, n = Rng(0, range(4000), torch.float64), 4000
    means, k = (
        torch.tensor([[-0.5, 0.0], [0.5, 0.3]], dtype=torch.float64),
        (rng.uniform() < 0.25).long(),
    )
    v = means[k] + torch.tensor([0.1, 0.05], dtype=torch.float64) * rng.normal((2,))
    x = ((v + 1) / 2 * 256).floor().to(torch.uint8).view(n, 1, 1, 2)
    model = fitted(spec, x, components=2, covariance="diagonal", passes=20)
    order = model.gaussians.mean[:, 0].argsort()
    torch.testing.assert_close(model.gaussians.mean[order], means, rtol=0, atol=0.01)
    torch.testing.assert_close(
        model.logits.softmax(1)[0, order],
        torch.tensor([0.75, 0.25], dtype=torch.float64),
        rtol=0,
        atol=0.03,
    )
    torch.testing.assert_close(
        model.gaussians.log_s.exp(),
        torch.tensor([[0.1, 0.05]] * 2, dtype=torch.float64),
        rtol=0.06,
        atol=0,
    )


def test_a_component_without_points_keeps_its_shape(double):
    x = images(SMALL, 50)
    model = GMM(SMALL, components=2, covariance="full").double()
    model._start(batches(x), Rng(0, [0], torch.float64))
    with torch.no_grad():
        model.gaussians.mean[1] = 100.0
    model.em_step(batches(x))
    assert (model.gaussians.mean[1] == 100).all()
    assert torch.isfinite(model.log_prob(x)).all()


@pytest.mark.parametrize("conditional", [False, True])
def test_exact_masses_of_a_universe_add_up_and_samples_have_them(double, conditional):
    x, y = images(SMALL, 400), Rng(1, range(400)).integers(2)
    model = fitted(
        SMALL, x, y if conditional else None, components=2, covariance="diagonal", passes=5
    )
    everything, n = universe(SMALL), 40_000
    for label in (0, 1):
        labels = torch.full((n,), label)
        p = model.log_prob(everything, labels[: len(everything)] if conditional else None).exp()
        assert math.isclose(float(p.sum()), 1, abs_tol=1e-10)
        drawn = (
            model.sample(Rng(3, range(n), torch.float64), labels if conditional else None)
            .flatten(1)
            .long()
        )
        frequency = torch.bincount(drawn[:, 0] * 4 + drawn[:, 1], minlength=16) / n
        assert ((frequency - p).abs() < 5 * (p / n).sqrt() + 1e-4).all()


@pytest.mark.parametrize("kind", ["full", "low-rank"])
def test_the_bound_is_below_the_mass_that_samples_have(double, kind):
    """The mass of a cell by quadrature over its area; the border cells' beyond it only add to that."""
    model = fitted(SMALL, images(SMALL, 400), components=2, covariance=kind, rank=1, passes=5)
    everything, n = universe(SMALL), 40
    t = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    u = torch.cartesian_prod(t, t)
    v = 2 * (everything.flatten(1).double()[:, None] + u) / 4 - 1
    log_f = (
        model._mixed(model.gaussians.log_density(v.flatten(0, 1))).logsumexp((1, 2)).view(16, -1)
    )
    inside = log_f.logsumexp(1) - math.log(n * n) - 2 * math.log(2)
    draws = torch.stack(
        [model.log_prob(everything, None, Rng(k, range(16), torch.float64)) for k in range(200)]
    )
    assert (draws.mean(0) <= inside + 4 * draws.std(0) / 200**0.5).all()
    # the bound closes as the number of noises grows
    tight = torch.stack(
        [
            model.log_prob(everything, None, Rng(k, range(16), torch.float64), K=64)
            for k in range(20)
        ]
    ).mean(0)
    assert (tight >= draws.mean(0) - 0.05).all()
    torch.testing.assert_close(tight, inside, rtol=0, atol=0.15)
    drawn = model.sample(Rng(3, range(20_000), torch.float64)).flatten(1).long()
    frequency = torch.bincount(drawn[:, 0] * 4 + drawn[:, 1], minlength=16) / 20_000
    assert (inside.exp() <= frequency + 5 * (frequency / 20_000).sqrt() + 1e-3).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_minus_log_prob_per_dimension_in_bits(double, kind):
    x = images(SMALL, 50)
    model = GMM(SMALL, components=2, covariance=kind, rank=1, fit="gradient").double()
    log_p = model.log_prob(x, None, Rng(0, range(50), torch.float64))
    loss = model.loss(x, None, Rng(0, range(50), torch.float64))["loss"]
    torch.testing.assert_close(loss, -log_p.mean() / (2 * math.log(2)))


def test_gradients_come_near_to_em(double):
    x = images(SMALL, 400)
    em = fitted(SMALL, x, components=3, covariance="diagonal", passes=30)
    model = GMM(SMALL, components=3, covariance="diagonal", fit="gradient").double()
    assert list(model.players()) == ["model"] and not em.players()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(300):
        optimizer.zero_grad()
        model.loss(x, None, Rng(step, range(400), torch.float64))["loss"].backward()
        optimizer.step()
    with torch.no_grad():
        assert float(model.log_prob(x).mean()) > float(em.log_prob(x).mean()) - 0.02


def test_bayes_rule_classifies_digits(double):
    data = Digits()
    (x, y), (x_test, y_test) = data.tensors("train"), data.tensors("test")
    model = fitted(
        data.spec, x, y, components=1, covariance="low-rank", rank=6, passes=15, floor=0.5
    )
    with torch.no_grad():
        joint = model.log_joint(x_test)
        right = float((joint.argmax(1) == y_test).double().mean())
        assert right > 0.95
        prior = torch.bincount(y, minlength=10) / len(y)
        torch.testing.assert_close(model.log_prior.exp(), prior.double(), rtol=1e-6, atol=0)


def test_p_of_x_and_y_is_p_of_y_times_p_of_x_given_y(double):
    x, y = images(SMALL, 300), (Rng(1, range(300)).uniform() < 0.3).long()
    model = fitted(SMALL, x, y, components=2, covariance="diagonal", passes=3)
    everything = universe(SMALL)
    joint = model.log_joint(everything)
    assert math.isclose(float(joint.exp().sum()), 1, abs_tol=1e-10)
    for label in (0, 1):
        given = model.log_prob(everything, torch.full((16,), label)) + model.log_prior[label]
        torch.testing.assert_close(joint[:, label], given, rtol=1e-10, atol=1e-10)
    assert math.isclose(float(model.log_prior[1].exp()), float(y.double().mean()), abs_tol=1e-6)


def test_one_diagonal_gaussian_has_the_masses_of_a_normal_distribution(double):
    model = GMM(SMALL, components=1, covariance="diagonal").double()
    model._start(batches(images(SMALL, 100)), Rng(0, [0], torch.float64))
    law = Normal(model.gaussians.mean[0], model.gaussians.log_s[0].exp())
    edge = torch.tensor([-math.inf, -0.5, 0.0, 0.5, math.inf], dtype=torch.float64)[:, None]
    mass = law.cdf(edge[1:].expand(4, 2).clamp(-1e3, 1e3)) - law.cdf(
        edge[:-1].expand(4, 2).clamp(-1e3, 1e3)
    )
    expected = (mass[:, None, 0] * mass[None, :, 1]).flatten().log()
    torch.testing.assert_close(model.log_prob(universe(SMALL)), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {"components": 0},
        {"covariance": "no-such-word"},
        {"fit": "no-such-word"},
        {"rank": 0},
        {"floor": 0.0},
        {"passes": 0},
    ],
)
def test_impossible_options_are_named(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        GMM(SMALL, **options)


def test_one_low_rank_gaussian_is_factor_analysis(double):
    """The likelihood's maximum, by scikit-learn's way there."""
    spec = Spec((1, 2, 3), 64)
    x = images(spec, 400)
    v = (2 * x.double().flatten(1) + 1) / 64 - 1
    model = fitted(spec, x, components=1, covariance="low-rank", rank=2, passes=400, floor=1e-9)
    oracle = FactorAnalysis(2, tol=1e-12, max_iter=5000, svd_method="lapack").fit(v.numpy())
    torch.testing.assert_close(
        model.gaussians.mean[0], torch.tensor(oracle.mean_), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(
        dense(model.gaussians, 0)[1], torch.tensor(oracle.get_covariance()), rtol=1e-3, atol=1e-5
    )
    log_p = model.gaussians.log_density(v)[:, 0]
    assert math.isclose(float(log_p.mean()), oracle.score(v.numpy()), rel_tol=1e-6)


@pytest.mark.parametrize("make", MADE)
def test_the_floor_is_added_to_every_variance(double, make):
    v = Rng(9, range(200), torch.float64).normal((5,))
    h = Rng(8, range(200), torch.float64).normal((3,)).softmax(1)
    before = excited(make())
    sums = before.sums(v, h)
    low, high = copy.deepcopy(before), copy.deepcopy(before)
    low.maximise(sums, 1e-9)
    high.maximise(sums, 0.25)
    for c in range(3):
        more = dense(high, c)[1] - dense(low, c)[1]
        torch.testing.assert_close(more, (0.25 - 1e-9) * torch.eye(5), rtol=0, atol=1e-10)
