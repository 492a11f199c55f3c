"""Mixtures of Bernoullis: against torch's mixture and scipy, on universes that can be listed."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from scipy import stats
from torch.distributions import Bernoulli, Categorical, Independent, MixtureSameFamily

from genbench.batch import Batch
from genbench.models.classical.bernoulli_mixture import BernoulliMixture
from genbench.rng import Rng
from genbench.spec import Labels, Spec

pytestmark = pytest.mark.usefixtures("double")
SPEC = Spec((1, 2, 3), levels=2, y=Labels(2))


def universe() -> torch.Tensor:
    return (
        torch.cartesian_prod(*[torch.arange(2)] * SPEC.dims).to(torch.uint8).view(-1, *SPEC.shape)
    )


def images(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Three blurred patterns, the first of which is class 0."""
    patterns = torch.tensor([[0.9] * 3 + [0.1] * 3, [0.2, 0.8] * 3, [0.7, 0.1, 0.1, 0.9, 0.9, 0.1]])
    rng = Rng(seed, range(n), torch.float64)
    k = rng.integers(3)
    return (rng.uniform((6,)) < patterns[k]).to(torch.uint8).view(n, *SPEC.shape), (k > 0).long()


def batches(x: torch.Tensor, y: torch.Tensor | None = None, size: int = 64) -> list[Batch]:
    rows = torch.arange(len(x)).split(size)
    return [Batch(x[r], None if y is None else y[r], Rng(0, r)) for r in rows]


def fitted(x: torch.Tensor, y: torch.Tensor | None = None, **options) -> BernoulliMixture:
    model = BernoulliMixture(SPEC, conditional=y is not None, **options).eval()
    model.finalize(batches(x, y), Rng(0, [0], torch.float64))
    return model


def test_log_prob_is_that_of_torchs_mixture():
    model = fitted(images(300)[0], components=3, passes=2)
    pixels = Independent(Bernoulli(logits=model.theta), 1)
    oracle = MixtureSameFamily(Categorical(logits=model.log_pi[0]), pixels).log_prob(
        universe().flatten(1).double()
    )
    torch.testing.assert_close(model.log_prob(universe()), oracle, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("conditional", [False, True])
def test_probabilities_add_up_to_one(conditional):
    x, y = images(300)
    model = fitted(x, y if conditional else None, components=3, passes=4)
    for label in range(2 if conditional else 1):
        total = model.log_prob(universe(), torch.full((64,), label)).exp().sum()
        assert math.isclose(float(total), 1, abs_tol=1e-12)


def test_one_component_is_the_smoothed_frequencies():
    x, a = images(200)[0], 0.7
    model = fitted(x, components=1, passes=1, smoothing=a)
    mu = (x.flatten(1).sum(0) + a) / (200 + 2 * a)
    oracle = stats.bernoulli(mu.numpy()).logpmf(universe().flatten(1).numpy()).sum(1)
    torch.testing.assert_close(
        model.log_prob(universe()), torch.tensor(oracle), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("smoothing", [1e-6, 0.5])
@pytest.mark.parametrize("conditional", [False, True])
def test_em_never_loses(smoothing, conditional):
    x, y = images(400)
    model = BernoulliMixture(SPEC, components=3, smoothing=smoothing, conditional=conditional)
    data = batches(x, y if conditional else None)
    model._start(data, Rng(0, [0], torch.float64))
    L = [model.em_step(data) for _ in range(25)]
    assert all(after >= before - 1e-9 for before, after in pairwise(L))
    assert L[-1] > L[0] + 10


def test_what_em_climbs_is_the_likelihood_and_the_prior():
    x, a = images(100)[0], 0.5
    model = fitted(x, components=2, passes=3, smoothing=a)
    mu, log_pi = torch.sigmoid(model.theta), model.log_pi
    expected = model.log_prob(x).sum() + a * (log_pi.sum() + (mu * (1 - mu)).log().sum())
    assert math.isclose(model.em_step(batches(x)), float(expected), rel_tol=1e-12)


def test_em_ends_where_the_gradient_is_zero():
    x, a = images(200)[0], 0.5
    model = fitted(x, components=2, passes=600, smoothing=a)
    theta = model.theta.detach().clone().requires_grad_()
    eta = model.log_pi.detach().clone().requires_grad_()
    log_pi, mu = eta.log_softmax(1), torch.sigmoid(theta)
    mixture = MixtureSameFamily(
        Categorical(logits=log_pi[0]), Independent(Bernoulli(logits=theta), 1)
    )
    L = mixture.log_prob(x.flatten(1).double()).sum() + a * (
        log_pi.sum() + (mu * (1 - mu)).log().sum()
    )
    for gradient in torch.autograd.grad(L, (theta, eta)):
        assert gradient.abs().max() < 1e-6


def test_the_mixture_of_a_class_is_that_of_its_images():
    x, y = images(300)
    both, first = fitted(x, y, components=2, passes=5), fitted(x[y == 0], components=2, passes=5)
    torch.testing.assert_close(
        both.log_prob(universe(), torch.zeros(64).long()), first.log_prob(universe())
    )


def test_samples_follow_the_probabilities():
    model, n = fitted(images(300)[0], components=3, passes=5), 40_000
    x = model.sample(Rng(1, range(n), torch.float64)).flatten(1).long()
    counts = torch.bincount((x * 2 ** torch.arange(5, -1, -1)).sum(1), minlength=64)
    p = model.log_prob(universe()).exp()
    assert stats.chisquare(counts.numpy(), (n * p / p.sum()).numpy()).pvalue > 1e-3


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (Spec((1, 2, 2), 16), {}, "needs data of 2 levels, not 16"),
        (SPEC, {"components": 0}, "components and passes are at least 1"),
        (SPEC, {"passes": 0}, "components and passes are at least 1"),
        (SPEC, {"smoothing": 0.0}, "smoothing is positive"),
    ],
)
def test_bad_arguments_are_named(spec, options, message):
    with pytest.raises(ValueError, match=message):
        BernoulliMixture(spec, **options)
