"""Latents that are used, and the rate, on encodings whose variances are known."""

from __future__ import annotations

import math

import pytest
import torch

from genbench.errors import InputError
from genbench.metrics.measure import measure
from genbench.metrics.samples import Samples
from genbench.rng import Rng


def test_active_are_latents_whose_mean_varies_by_more_than_a_hundredth():
    e = Rng(0, range(4_000), torch.float64).normal((4,))
    e = (e - e.mean(0)) / e.std(0)
    z = 5.0 + e * torch.tensor([1.0, 0.0101, 0.0099, 0.0], dtype=torch.float64).sqrt()
    samples = Samples(Rng(0, range(4)), encodings=z)
    assert measure(samples, ["active_units"]) == {"active_units": (2.0, None)}


def test_the_rate_is_the_mean_divergence_in_bits():
    kl = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64) * math.log(2)
    ((value, error),) = measure(Samples(Rng(0, range(4)), divergences=kl), ["kl_bits"]).values()
    assert value == pytest.approx(3)
    assert error == pytest.approx(math.sqrt(7 / 3))


@pytest.mark.parametrize("name", ["active_units", "kl_bits"])
def test_without_encodings_nothing_is_measured(name):
    with pytest.raises(InputError, match=f"{name} needs"):
        measure(Samples(Rng(0, range(4))), [name])
