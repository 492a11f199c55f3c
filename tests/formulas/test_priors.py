"""Priors of latents against scipy, and their draws against their moments."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from genbench.formulas.priors import Bernoulli, Codes, Logistic, Normal, Uniform
from genbench.rng import Rng

SCIPYS = {Normal: stats.norm(), Logistic: stats.logistic(), Uniform: stats.uniform(-1, 2)}


@pytest.mark.parametrize(("kind", "theirs"), SCIPYS.items())
def test_priors_of_reals_are_scipys(kind, theirs):
    prior = kind()
    eps = torch.linspace(-5, 5, 41, dtype=torch.float64)
    z = prior.from_normal(eps)
    torch.testing.assert_close(prior.to_normal(z), eps, rtol=1e-9, atol=1e-9)
    shares = torch.from_numpy(theirs.cdf(z.numpy()))
    torch.testing.assert_close(shares, torch.special.ndtr(eps), rtol=1e-9, atol=1e-15)
    expected = torch.from_numpy(theirs.logpdf(z.numpy()))
    torch.testing.assert_close(prior.log_density(z), expected, rtol=1e-9, atol=1e-9)
    assert torch.equal(prior.quantiles(eps, 3), z[:, None].expand(-1, 3))
    assert prior.norm(6) == pytest.approx(np.sqrt(6 * theirs.var()))


def test_nothing_lies_beyond_the_uniform_prior():
    assert Uniform().log_density(torch.tensor([-1.1, 1.1])).tolist() == [-np.inf, -np.inf]


@pytest.mark.parametrize(("kind", "theirs"), SCIPYS.items())
def test_draws_of_reals_are_of_their_distribution(kind, theirs):
    z = kind().draw(Rng(0, range(4_000), torch.float64), (2, 3))
    assert z.shape == (4_000, 2, 3)
    assert stats.kstest(z.flatten().numpy(), theirs.cdf).pvalue > 1e-3


def test_bits_are_reals_and_codes_are_integers_of_equal_frequencies():
    rng = Rng(0, range(5_000), torch.float64)
    bits = Bernoulli().draw(rng, (2,))
    assert bits.dtype == torch.float64 and bits.unique().tolist() == [0, 1]
    codes = Codes(7).draw(rng, (2,))
    assert codes.dtype == torch.int64
    for counts in (bits.long().flatten().bincount(), codes.flatten().bincount()):
        assert stats.chisquare(counts.numpy()).pvalue > 1e-3
