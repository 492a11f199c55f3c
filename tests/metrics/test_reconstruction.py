"""The reconstruction error on images whose error is known, and its standard error on repeated draws."""

from __future__ import annotations

import pytest
import torch

from genbench.errors import InputError
from genbench.metrics.reconstruction import measure_reconstruction
from genbench.metrics.samples import Samples
from genbench.rng import Rng


def samples(x: torch.Tensor, back: torch.Tensor, levels: int = 17) -> Samples:
    return Samples(Rng(0, range(4)), reference_images=x, reconstructions=back, levels=levels)


def test_black_for_white_is_four_and_one_level_of_seventeen_an_eighth_squared():
    x = torch.zeros(10, 1, 2, 2, dtype=torch.uint8)
    assert measure_reconstruction(samples(x, x)) == (0, 0)
    assert measure_reconstruction(samples(x, x + 16)) == (4, 0)
    assert measure_reconstruction(samples(x + 1, x))[0] == pytest.approx(1 / 64)
    half = x.clone()
    half[:, :, 0] = 16
    assert measure_reconstruction(samples(x, half)) == (2, 0)


def test_the_standard_error_is_that_of_repeated_draws():
    x = torch.zeros(200, 1, 2, 2, dtype=torch.uint8)
    draws = [
        measure_reconstruction(samples(x, Rng(seed, range(200)).integers(17, (1, 2, 2))))
        for seed in range(200)
    ]
    values, errors = torch.tensor(draws).T
    assert 0.85 < values.std() / errors.mean() < 1.15


def test_missing_reconstructions_are_named():
    x = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    with pytest.raises(InputError, match="reconstruction needs reconstructions"):
        measure_reconstruction(Samples(Rng(0, range(4)), reference_images=x, levels=17))
