"""Standard errors within a run: exact where a formula exists, and of the size of the spread over fresh draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from genbench.metrics.energy import energy_distance
from genbench.metrics.features import Features, sample_metrics
from genbench.metrics.fid_infinity import fid_error
from genbench.metrics.points import mode_coverage, mode_coverage_errors
from genbench.metrics.precision_recall import (
    Balls,
    covered,
    density,
    density_coverage,
    occupied,
    precision_recall,
)
from genbench.metrics.resampling import half_sample_error, halves
from genbench.records.catalogue import image_metrics
from genbench.rng import Rng


def draw(purpose, rows, columns):
    return Rng(0, range(rows), torch.float64).split(purpose).normal((columns,))


@pytest.mark.parametrize("n", [2, 7, 100])
def test_halves_are_halves_and_every_image_is_as_likely(n):
    masks = halves(n, Rng(0, range(2000)))
    assert bool((masks.sum(1) == n // 2).all())
    # a share of n // 2 in n, over 2000 draws
    p = n // 2 / n
    assert float((masks.double().mean(0) - p).abs().amax()) < 4.5 * math.sqrt(p * (1 - p) / 2000)
    assert torch.equal(halves(n, Rng(0, range(5, 8))), masks[5:8])


def test_error_of_a_mean_is_the_textbook_one():
    x, y = draw("x", 200, 1)[:, 0], 2 * draw("y", 80, 1)[:, 0]
    error = half_sample_error(
        lambda a, b: float(x[a].mean() - y[b].mean()), (200, 80), Rng(0, range(3000))
    )
    assert error == pytest.approx(float((x.var() / 200 + y.var() / 80).sqrt()), rel=0.05)


def test_error_needs_enough_images_and_draws():
    assert half_sample_error(lambda a: 1.0, (7,), Rng(0, range(9)), least=4) is None
    assert half_sample_error(lambda a: 1.0, (8,), Rng(0, range(1)), least=4) is None
    assert half_sample_error(lambda a: 1.0, (8,), Rng(0, range(9)), least=4) == 0


def test_metrics_of_a_half_are_those_of_its_images_alone():
    # more images than neighbours that are kept; copies among them
    x, r = draw("x", 150, 4), draw("r", 200, 4) + 0.3
    x[10:20] = x[0]
    r[5:9] = x[3]
    around_r, around_x = Balls(r, x), Balls(x, r)
    for a, b in zip(halves(150, Rng(0, range(5))), halves(200, Rng(1, range(5)))):
        precision, recall = precision_recall(x[a], r[b])
        assert covered(around_r, 3, b, a).double().mean() == precision
        assert covered(around_x, 3, a, b).double().mean() == recall
        found = density(around_r, 5, b, a), occupied(around_r, 5, b, a).double().mean()
        assert found == density_coverage(x[a], r[b])


@pytest.mark.slow
def test_errors_are_the_spread_over_fresh_draws():
    """The errors of one run against what 60 runs with other images scatter. Shares of images in balls may err to the safe side."""
    # of the classes of these features every one is covered, and all are equally frequent: see test_class_modes.py
    of_features = [name for name in image_metrics() if not name.startswith("class_modes")]
    runs, names = 60, (*of_features, "energy_distance")
    found = []
    for run in range(runs):
        x, r, train = (
            draw(f"{name} {run}", n, 8) for name, n in (("x", 200), ("r", 200), ("train", 400))
        )
        x = 0.9 * x + 0.4
        labels = (r[:, 0] > 0).long()
        estimates = sample_metrics(
            Features(x, x), Features(r, r), of_features, Rng(run, range(15)), labels, train
        )
        found.append([*estimates.values(), energy_distance(x, r)])
    values, errors = torch.tensor(found, dtype=torch.float64).permute(2, 1, 0)
    ratio = dict(zip(names, (errors.mean(1) / values.std(1)).tolist()))
    for name in ("precision", "recall", "coverage", "class_recall"):
        assert 0.9 < ratio.pop(name) < 1.4
    assert all(0.75 < value < 1.25 for value in ratio.values()), ratio


def test_error_of_fid_between_equal_distributions_is_on_the_safe_side():
    sets = [(draw(f"x {i}", 200, 4), draw(f"r {i}", 200, 4)) for i in range(60)]
    found = [
        sample_metrics(Features(x, x), Features(r, r), ["fid"], Rng(i, range(16)))["fid"]
        for i, (x, r) in enumerate(sets)
    ]
    values, errors = torch.tensor(found, dtype=torch.float64).T
    assert 1 < float(errors.mean() / values.std()) < 2


def test_errors_are_a_function_of_the_seed():
    x, r = draw("x", 60, 3), draw("r", 50, 3)
    assert (
        fid_error(x, r, Rng(0, range(10)))
        == fid_error(x, r, Rng(0, range(10)))
        != fid_error(x, r, Rng(1, range(10)))
    )


def test_error_of_the_high_quality_share_is_binomial():
    components = np.zeros((2, 8, 8))
    components[0, 1, 1], components[1, 6, 6] = 0.5, 0.5
    points = np.zeros((400, 1, 1, 2), dtype=np.uint8)
    points[:180] += 1
    points[180:320] += 6
    assert mode_coverage(points, components) == (2, 0.8)
    modes, quality = mode_coverage_errors(points, components, Rng(0, range(500)))
    assert modes == 0
    assert quality == pytest.approx(math.sqrt(0.8 * 0.2 / 400), rel=0.1)


def test_halves_of_two_sets_are_drawn_apart():
    """Where both were halved by one draw, the share of images in both halves would always be a half."""
    n = 100
    error = half_sample_error(
        lambda a, b: float((a & b).double().mean()), (n, n), Rng(0, range(2000))
    )
    # images in both halves: hypergeometric, with variance n^2 / (16 (n - 1))
    assert error == pytest.approx(math.sqrt(n**2 / (16 * (n - 1))) / n, rel=0.1)
