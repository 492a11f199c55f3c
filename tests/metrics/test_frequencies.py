"""Energy at high frequencies: images whose spectrum is known, and the error against repeated draws."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter

from genbench.errors import InputError
from genbench.metrics.frequencies import cosines, high_energy, measure_high_frequencies
from genbench.metrics.samples import Samples
from genbench.rng import Rng


def noise(seed, n=400, shape=(1, 8, 8)):
    return Rng(seed, range(n), torch.float64).normal(shape)


def ratio(x, r):
    return measure_high_frequencies(Samples(Rng(0, range(9)), images=x, reference_images=r))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 12)])
def test_energy_is_that_of_an_independent_transform(height, width):
    x = noise(1, 6, (3, height, width))
    X = torch.tensor(dctn(x.numpy(), axes=(2, 3), norm="ortho"))
    low = X[:, :, : height // 2 + 1, : width // 2 + 1].square().sum((1, 2, 3))
    total = x.square().sum((1, 2, 3))
    assert torch.allclose(high_energy(x), total - low)


@pytest.mark.parametrize(
    ("u", "v", "share"), [(0, 0, 0), (4, 4, 0), (5, 0, 1), (0, 7, 1), (3, 6, 1)]
)
def test_one_cosine_is_above_half_of_the_highest_frequency_or_not(u, v, share):
    C = cosines(8)
    x = 3 * torch.outer(C[u], C[v])[None, None]
    assert high_energy(x).item() == pytest.approx(9 * share, abs=1e-12)
    constant = torch.full((1, 1, 8, 8), 7, dtype=torch.uint8)
    assert high_energy(constant).item() == pytest.approx(0, abs=1e-12)


def test_white_noise_has_the_share_of_the_frequencies_that_are_high():
    # 64 - 5 * 5 of 64, each with the variance of a pixel; a chi-squared variable has variance 2
    energy = high_energy(noise(2))
    assert abs(energy.mean().item() - 39) < 4 * math.sqrt(2 * 39 / len(energy))


def test_blur_takes_high_frequencies_away_and_contrast_counts_by_its_square():
    r = noise(3)
    values = [
        ratio(torch.tensor(gaussian_filter(r.numpy(), s, axes=(2, 3))), r)[0] for s in (0.4, 0.8)
    ]
    assert 1 > values[0] > values[1] > 0
    assert ratio(r, r)[0] == 1
    assert ratio(r / 2 + 5, r)[0] == pytest.approx(1 / 4)


def test_the_error_is_the_spread_over_fresh_draws():
    found = [ratio(0.7 * noise(seed, 60), noise(1000 + seed, 90)) for seed in range(150)]
    values, errors = torch.tensor(found, dtype=torch.float64).T
    assert 0.85 < (errors.mean() / values.std()).item() < 1.15


def test_references_without_detail_are_refused():
    with pytest.raises(InputError, match="the reference images have no energy"):
        ratio(noise(4), torch.zeros(3, 1, 8, 8))
