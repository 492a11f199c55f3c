"""Modes that a classifier tells apart, and the classifier of stacked digits."""

from __future__ import annotations

import math

import pytest
import torch
import yaml

from genbench.config.protocol import load_protocol
from genbench.data.digits import Digits
from genbench.data.stacked_digits import StackedDigits
from genbench.metrics.channelwise import ChannelwiseClassifier
from genbench.metrics.class_modes import (
    covered_modes,
    measure_class_modes,
    measure_class_modes_kl,
    modes_kl,
)
from genbench.metrics.extractor import load_extractor
from genbench.metrics.samples import Features, Samples
from genbench.rng import Rng
from genbench.system.locations import project_root


def samples_of(labels, classes, draws=50):
    """Images that a classifier is sure of."""
    logits = 9 * torch.nn.functional.one_hot(labels, classes).float()
    return Samples(Rng(0, range(draws)), generated=Features(logits, logits))


def test_kl_of_shares_to_equal_ones_is_that_of_the_sum():
    shares = (0.5, 0.3, 0.2, 0.0)
    expected = sum(s * math.log(4 * s) for s in shares if s)
    assert modes_kl(torch.tensor([50, 30, 20, 0])) == pytest.approx(expected, rel=1e-12)
    assert modes_kl(torch.tensor([7, 7, 7])) == pytest.approx(0, abs=1e-15)
    assert modes_kl(torch.tensor([0, 9, 0, 0])) == pytest.approx(math.log(4), rel=1e-12)
    assert covered_modes(torch.tensor([50, 0, 1, 0])) == 2


def test_what_n_equal_modes_miss_and_their_kl_are_as_the_docstring_says():
    K, n, runs = 50, 150, 200
    labels = Rng(0, range(runs)).integers(K, (n,))
    counts = torch.stack([torch.bincount(row, minlength=K) for row in labels])
    missed = torch.tensor([float(K - covered_modes(row)) for row in counts])
    assert abs(missed.mean() - K * math.exp(-n / K)) < 4 * missed.std() / math.sqrt(runs)
    many = torch.bincount(Rng(1, [0]).integers(K, (100_000,))[0], minlength=K)
    # n times the KL is half a chi-square of K - 1 degrees of freedom
    assert 2 * 100_000 * modes_kl(many) == pytest.approx(K - 1, abs=4 * math.sqrt(2 * (K - 1)))


def test_errors_are_the_spread_over_fresh_images():
    """Modes of which some are frequent, most rare, and a third missing from a run."""
    weight = torch.tensor([2.0**-k for k in range(12)])
    values = []
    for run in range(30):
        u = Rng(run, range(400)).uniform().double() * weight.sum()
        labels = torch.searchsorted(weight.double().cumsum(0), u).clamp(max=11)
        samples = samples_of(labels, 12, draws=12)
        values.append((measure_class_modes(samples), measure_class_modes_kl(samples)))
    value, error = torch.tensor(values, dtype=torch.float64).permute(2, 1, 0)
    ratio = error.mean(1) / value.std(1)
    assert ((ratio > 0.6) & (ratio < 1.6)).all(), ratio


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    return StackedDigits(str(tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def predicted(stacks):
    """The labels of all test stacks, int64 (10,000,), as the classifier of single digits names their channels."""
    x, _ = Digits(str(stacks.root)).tensors("test")
    _, logits = load_extractor("digits")(x)
    named = {digit.tobytes(): int(y) for digit, y in zip(x.numpy(), logits.argmax(1))}
    channels = stacks.arrays("test")[0].reshape(-1, 8, 8)
    digits = torch.tensor([named[channel.tobytes()] for channel in channels]).view(-1, 3)
    return digits @ torch.tensor([100, 10, 1])


def test_the_classifier_knows_digits_and_stacks_that_it_has_not_learnt(stacks, predicted):
    _, y = stacks.tensors("test")
    card = yaml.safe_load((project_root() / "configs/features/stacked-digits.yaml").read_text())
    assert round(float((predicted == y).double().mean()), 4) == card["test_accuracy"]
    # digit by digit: the first channel decides the hundreds
    assert (predicted // 100 == y // 100).double().mean() >= 0.95


def test_scores_and_features_are_those_of_single_digits(stacks, predicted):
    x = stacks.tensors("test")[0][:300]
    features, logits = load_extractor(load_protocol(stacks.protocol).extractor)(x)
    assert torch.equal(logits.argmax(1), predicted[:300])
    alone = load_extractor("digits")
    h, scores = zip(*(alone(x[:, c : c + 1]) for c in range(3)))
    torch.testing.assert_close(features, torch.cat(h, dim=1))
    p = [part.double().softmax(1) for part in scores]
    joint = torch.einsum("na,nb,nc->nabc", *p).flatten(1)
    torch.testing.assert_close(logits.double().exp(), joint, rtol=1e-4, atol=1e-9)


def test_held_out_stacks_cover_every_mode_evenly_and_copies_of_one_cover_one(predicted):
    real = samples_of(predicted, 1000, draws=2)
    assert measure_class_modes(real)[0] == 1000
    # (K - 1) / (2 n) = 0.05 for equal modes
    assert measure_class_modes_kl(real)[0] == pytest.approx(0.05, abs=0.01)
    copies = samples_of(predicted[:1].expand(500), 1000, draws=2)
    assert measure_class_modes(copies) == (1, 0)
    assert measure_class_modes_kl(copies)[0] == pytest.approx(math.log(1000))


def test_sizes_that_do_not_fit_the_channels_are_refused():
    with pytest.raises(ValueError, match="not 100 and 96"):
        ChannelwiseClassifier((3, 8, 8), classes=100)
    with pytest.raises(ValueError, match="not 1000 and 95"):
        ChannelwiseClassifier((3, 8, 8), classes=1000, features=95)
