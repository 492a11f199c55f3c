"""PSNR and SSIM of pairs against direct computations, and their errors against repeated draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torchmetrics.functional.image import peak_signal_noise_ratio

from genbench.errors import InputError
from genbench.metrics.measure import measure
from genbench.metrics.pairs import measure_psnr, measure_ssim
from genbench.metrics.samples import Samples
from genbench.rng import Rng


def noisy(seed, n=40, shape=(1, 8, 8), levels=17, noise=3):
    """Images and the same with noise of another strength for every image."""
    rng = Rng(seed, range(n))
    x = rng.integers(levels, shape)
    strength = 1 + rng.integers(noise, (1, 1, 1))
    shift = rng.integers(2 * noise + 1, shape) % (2 * strength + 1) - strength
    return Samples(
        rng,
        images=(x + shift).clamp(0, levels - 1).to(torch.uint8),
        truth=x.to(torch.uint8),
        levels=levels,
    )


def ssim_by_hand(a, b, white):
    """Wang et al., equation 13, with Gaussian windows around all pixels of one channel."""
    mean = lambda v: gaussian_filter(v, 1.5, mode="mirror", radius=5)  # noqa: E731
    c_1, c_2 = (0.01 * white) ** 2, (0.03 * white) ** 2
    m_a, m_b = mean(a), mean(b)
    s_a, s_b, s_ab = mean(a * a) - m_a**2, mean(b * b) - m_b**2, mean(a * b) - m_a * m_b
    index = (2 * m_a * m_b + c_1) * (2 * s_ab + c_2)
    index /= (m_a**2 + m_b**2 + c_1) * (s_a + s_b + c_2)
    return index.mean()


@pytest.mark.parametrize(("shape", "levels"), [((1, 8, 8), 17), ((3, 12, 9), 256)])
def test_psnr_and_ssim_are_those_of_a_direct_computation(shape, levels):
    samples = noisy(0, shape=shape, levels=levels)
    x, truth = samples.images.double().numpy(), samples.truth.double().numpy()
    white = levels - 1
    errors = ((x - truth) ** 2).mean((1, 2, 3))
    psnr, psnr_error = measure_psnr(samples)
    assert psnr == pytest.approx(10 * math.log10(white**2 / errors.mean()), rel=1e-12)
    oracle = peak_signal_noise_ratio(samples.images.double(), samples.truth.double(), float(white))
    assert psnr == pytest.approx(oracle.item(), rel=1e-6)
    relative = errors.std(ddof=1) / math.sqrt(len(errors)) / errors.mean()
    assert psnr_error == pytest.approx(10 / math.log(10) * relative, rel=1e-9)
    values = [
        np.mean([ssim_by_hand(p, q, white) for p, q in zip(a, b, strict=True)])
        for a, b in zip(x, truth, strict=True)
    ]
    ssim, ssim_error = measure_ssim(samples)
    assert ssim == pytest.approx(np.mean(values), rel=1e-9)
    assert ssim_error == pytest.approx(np.std(values, ddof=1) / math.sqrt(len(values)), rel=1e-9)


def test_equal_images_have_similarity_1_and_a_finite_ratio():
    samples = noisy(0)
    equal = Samples(samples.rng, images=samples.truth, truth=samples.truth, levels=17)
    measured = measure(equal, ["psnr", "ssim"])
    # one pixel of all is off by one level
    assert measured["psnr"][0] == pytest.approx(10 * math.log10(16**2 * equal.truth.numel()))
    assert measured["ssim"][0] == pytest.approx(1.0)
    assert measure_psnr(noisy(0, noise=1))[0] < measured["psnr"][0]


@pytest.mark.parametrize("function", [measure_psnr, measure_ssim])
def test_errors_are_the_spread_of_repeated_draws(function):
    values, errors = np.array([function(noisy(seed)) for seed in range(150)]).T
    assert 0.8 < values.std() / errors.mean() < 1.25


def test_metrics_of_pairs_refuse_what_they_cannot_use():
    samples = noisy(0, shape=(1, 5, 8))
    with pytest.raises(InputError, match="ssim needs images of at least 6 x 6"):
        measure_ssim(samples)
    with pytest.raises(InputError, match="psnr needs the true images of the pairs"):
        measure_psnr(Samples(samples.rng, images=samples.images, levels=17))
