"""Measurements against a known table: the divergence, the smallest set of 99 %, and which modes samples cover."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest

from genbench.data.points2d import Cloud, components
from genbench.metrics.points import high_density, kl_divergence, mode_coverage
from genbench.rng import Rng

CLOUDS = get_args(Cloud)
clouds = pytest.mark.parametrize("cloud", CLOUDS)


def draw(table, n, seed=0):
    """n cells of a table, as images (n, 1, 1, 2)."""
    u = Rng(seed, range(n)).uniform().double().numpy()
    cells = np.searchsorted(np.cumsum(table.ravel()) / table.sum(), u)
    return np.stack(np.unravel_index(cells, table.shape), axis=1).astype(np.uint8)[:, None, None]


def test_divergence_is_the_sum_over_cells_with_mass():
    p, q = np.array([[0.5, 0.25], [0.25, 0]]), np.array([[0.25, 0.25], [0.4, 0.1]])
    expected = 0.5 * math.log(2) + 0.25 * math.log(0.25 / 0.4)
    assert kl_divergence(p, np.log(q)) == pytest.approx(expected, rel=1e-12)
    # what the model puts elsewhere does not count directly, what it leaves out counts without bound
    with np.errstate(divide="ignore"):
        assert kl_divergence(p, np.log(np.array([[0.5, 0.25], [0.25, 0]]))) == 0
        assert kl_divergence(p, np.log(np.array([[0.5, 0.5], [0, 0]]))) == math.inf


@clouds
def test_divergence_is_positive_zero_at_the_truth_and_known_at_the_uniform(cloud):
    p = components(cloud, 64).sum(0)
    log_q = np.log(
        components("two_moons" if cloud != "two_moons" else "pinwheel", 64).sum(0) * 0.5
        + 0.5 / 64**2
    )
    with np.errstate(divide="ignore"):
        assert kl_divergence(p, np.log(p)) == 0
    assert kl_divergence(p, log_q) > 0.1
    entropy = -(p[p > 0] * np.log(p[p > 0])).sum()
    assert kl_divergence(p, np.full_like(p, -2 * math.log(64))) == pytest.approx(
        2 * math.log(64) - entropy, abs=1e-12
    )


@clouds
@pytest.mark.parametrize("levels", [16, 128])
def test_high_density_is_the_smallest_set_of_99_percent(cloud, levels):
    p = components(cloud, levels).sum(0)
    mask = high_density(p)
    assert mask.shape == p.shape
    assert p[mask].sum() >= 0.99 - 1e-12
    # without its least cell it holds less, and no cell outside has more than one inside
    assert p[mask].sum() - p[mask].min() < 0.99
    assert p[~mask].max() <= p[mask].min()


@clouds
def test_true_draws_cover_every_mode_at_99_percent(cloud):
    parts, n = components(cloud, 128), 20_000
    modes, quality = mode_coverage(draw(parts.sum(0), n), parts)
    mass = parts.sum(0)[high_density(parts.sum(0))].sum()
    assert modes == len(parts)
    assert abs(quality - mass) < 5 * math.sqrt(mass * (1 - mass) / n)
    assert abs(quality - 0.99) < 0.005


@clouds
def test_draws_of_one_mode_cover_one(cloud):
    parts = components(cloud, 128)
    for k in range(len(parts)):
        modes, quality = mode_coverage(draw(parts[k], 5_000), parts)
        assert modes == 1
        # equal cells are taken in order, so the last square of the checkerboard misses the 1 % of them all
        assert quality > (0.9 if cloud == "checkerboard" else 0.97)


def test_a_mode_counts_from_a_tenth_of_its_share():
    parts = components("eight_gaussians", 64)
    n = 8_000
    first, second = (draw(parts[k] * high_density(parts.sum(0)), n) for k in (0, 1))
    # 1,000 of 8,000 are expected of a mode: 100 are a tenth
    for few, covered in ((99, 1), (100, 2)):
        assert mode_coverage(np.concatenate((first[: n - few], second[:few])), parts)[0] == covered


@pytest.mark.parametrize("cloud", [cloud for cloud in CLOUDS if cloud != "checkerboard"])
def test_uniform_noise_is_of_low_quality(cloud):
    parts = components(cloud, 128)
    noise = Rng(1, range(20_000)).integers(128, (1, 1, 2)).numpy().astype(np.uint8)
    _, quality = mode_coverage(noise, parts)
    share = high_density(parts.sum(0)).mean()
    assert quality < 0.4
    assert abs(quality - share) < 5 * math.sqrt(share / 20_000)


@pytest.mark.parametrize(
    ("cloud", "covered"), [("eight_gaussians", 8), ("twenty_five_gaussians", 0)]
)
def test_uniform_noise_covers_all_wide_modes_and_no_narrow_one(cloud, covered):
    noise = Rng(1, range(20_000)).integers(256, (1, 1, 2)).numpy().astype(np.uint8)
    assert mode_coverage(noise, components(cloud, 256))[0] == covered


def test_noise_on_a_checkerboard_is_half_right():
    parts = components("checkerboard", 128)
    noise = Rng(1, range(20_000)).integers(128, (1, 1, 2)).numpy().astype(np.uint8)
    modes, quality = mode_coverage(noise, parts)
    assert modes == 8
    assert quality == pytest.approx(0.495, abs=0.02)


def test_samples_that_miss_everything_cover_nothing():
    parts = components("eight_gaussians", 64)
    corner = np.zeros((100, 1, 1, 2), dtype=np.uint8)
    assert mode_coverage(corner, parts) == (0, 0)


def test_axes_are_not_exchanged():
    parts = np.zeros((2, 16, 16))
    parts[0, 2, 9], parts[1, 9, 2] = 0.95, 0.05
    points = np.array([[2, 9]] * 9 + [[9, 2]], dtype=np.uint8)[:, None, None]
    assert mode_coverage(points, parts) == (2, 1)
    assert mode_coverage(points[:, :, :, ::-1], parts)[0] == 2
    assert mode_coverage(points[:9, :, :, ::-1], parts) == (1, 1)
