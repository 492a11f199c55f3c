"""Confidence of class scores whose probabilities are known, and its standard error on repeated draws."""

from __future__ import annotations

import pytest
import torch

from genbench.metrics.confidence import measure_confidence
from genbench.metrics.samples import Features, Samples
from genbench.rng import Rng


def samples(logits: torch.Tensor) -> Samples:
    return Samples(Rng(0, range(4)), generated=Features(torch.zeros(len(logits), 3), logits))


def test_equal_scores_of_four_classes_are_a_quarter_and_three_to_one_is_a_half():
    assert measure_confidence(samples(torch.zeros(10, 4))) == (0.25, 0)
    one = torch.tensor([[3.0, 1.0, 1.0, 1.0]]).log().repeat(10, 1)
    assert measure_confidence(samples(one))[0] == pytest.approx(0.5)
    both = torch.cat((torch.zeros(10, 4), one))
    assert measure_confidence(samples(both))[0] == pytest.approx(0.375)


def test_the_standard_error_is_that_of_repeated_draws():
    draws = [measure_confidence(samples(Rng(s, range(100)).normal((5,)))) for s in range(200)]
    values, errors = torch.tensor(draws).T
    assert 0.85 < values.std() / errors.mean() < 1.15
