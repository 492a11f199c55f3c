"""Stacks of three digits: their labels, their splits, and that all 1,000 modes are there."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from genbench.data.digits import Digits
from genbench.data.stacked_digits import StackedDigits

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    return StackedDigits(str(tmp_path_factory.mktemp("data")))


def label_of(digits, split):
    """Label of every digit of a split, by its bytes."""
    x, y = digits.arrays(split)
    return {image.tobytes(): int(label) for image, label in zip(x, y)}


@pytest.mark.parametrize("split", SPLITS)
def test_every_channel_is_a_digit_of_the_same_split_and_the_label_counts_them(stacks, split):
    known = label_of(Digits(str(stacks.root)), split)
    x, y = stacks.arrays(split)
    assert stacks.protocol == "stacked-digits"
    assert x.shape == (stacks.sizes[SPLITS.index(split)], 3, 8, 8)
    for image, label in zip(x[:500], y[:500]):
        a, b, c = (known[channel.tobytes()] for channel in image)
        assert label == 100 * a + 10 * b + c


def test_no_digit_is_in_stacks_of_two_splits(stacks):
    seen = [
        {channel.tobytes() for channel in np.asarray(stacks.arrays(split)[0]).reshape(-1, 8, 8)}
        for split in SPLITS
    ]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    # 60,000 draws of 898 digits: all of them
    assert len(seen[0]) == 898


def test_channels_are_independent_and_every_mode_is_in_training_and_test(stacks):
    for split in ("train", "test"):
        _, y = stacks.arrays(split)
        counts = np.bincount(y, minlength=1000).reshape(10, 10, 10)
        assert counts.min() >= 1
        for axis in range(3):
            assert stats.chi2_contingency(counts.sum(axis)).pvalue > 1e-3
