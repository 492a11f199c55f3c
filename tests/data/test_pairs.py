"""Pairs made from a data set: x and its splits stay, y is what is left of x."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genbench.data.cifar10 import CIFAR10
from genbench.data.commands import named
from genbench.data.digits import BinaryDigits, Digits
from genbench.data.pairs import Pairs, edges, pairs_of_samples, upper_half
from genbench.data.pictures import pairs_in_rows
from genbench.spec import Image, Spec


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_y_is_the_upper_half_of_x_and_x_is_that_of_the_data_set(split, tmp_path):
    data = Pairs(Digits(str(tmp_path)), str(tmp_path))
    x, y = data.arrays(split)
    assert (data.name, data.spec) == ("digits-halves", Spec((1, 8, 8), 17, Image((1, 8, 8), 17)))
    assert np.array_equal(x, Digits(str(tmp_path)).arrays(split)[0])
    assert np.array_equal(y[:, :, :4], x[:, :, :4])
    assert y.dtype == np.uint8
    assert not y[:, :, 4:].any()


def test_of_an_odd_height_the_upper_half_is_the_smaller_one():
    x = np.arange(1, 7, dtype=np.uint8).reshape(1, 1, 3, 2)
    assert upper_half(x).tolist() == [[[[1, 2], [0, 0], [0, 0]]]]


def test_edges_are_steps_of_a_quarter_of_the_range(tmp_path):
    data = Pairs(Digits(str(tmp_path)), str(tmp_path), y="edges")
    x, y = (np.asarray(array).astype(int) for array in data.arrays("val"))
    assert (data.name, data.spec.y) == ("digits-edges", Image((1, 8, 8), 2))
    padded = np.pad(x, ((0, 0), (0, 0), (0, 1), (0, 1)), mode="edge")
    down = abs(padded[:, :, 1:, :-1] - x)
    right = abs(padded[:, :, :-1, 1:] - x)
    assert np.array_equal(y, np.maximum(down, right) >= 4)
    assert 0.1 < y.mean() < 0.9


def test_an_edge_of_one_channel_is_one():
    x = np.array([[[[5, 5]], [[0, 9]], [[5, 5]]]])
    assert edges(x, levels=10).tolist() == [[[[1, 0]]]]


def test_pairs_are_found_by_name_and_judged_by_a_protocol_of_their_own(tmp_path):
    data = named("digits-halves", str(tmp_path))
    assert (data.protocol, data.sizes, data.class_names) == ("digits-pairs", (898, 180, 719), [])
    others = Pairs(Digits(str(tmp_path)), str(tmp_path), y="edges")
    assert len({data.folder.name, others.folder.name, Digits(str(tmp_path)).folder.name}) == 3


def test_a_batch_size_that_has_no_effect_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"data.images.batch_size is 32 and has no effect"):
        Pairs(Digits(str(tmp_path), batch_size=32), str(tmp_path), batch_size=32)


def test_images_that_vary_from_epoch_to_epoch_are_refused(tmp_path):
    flipped = CIFAR10(str(tmp_path), flip=True)
    with pytest.raises(ValueError, match="those of cifar10 are others in every epoch"):
        Pairs(flipped)
    assert Pairs(CIFAR10(str(tmp_path), flip=False)).name == "cifar10-halves"
    with pytest.raises(ValueError, match="those of digits-binary are others in every epoch"):
        Pairs(BinaryDigits(str(tmp_path)))


def test_a_grid_of_pairs_shows_y_sample_and_true_x_in_turn(tmp_path):
    data = Pairs(Digits(str(tmp_path)), str(tmp_path))
    x, y = data.arrays("test")
    samples = np.full((721, 1, 8, 8), 5, dtype=np.uint8)
    shown = pairs_of_samples(data, samples)
    assert np.array_equal(shown[0::3], y[np.arange(721) % 719])
    assert np.array_equal(shown[1::3], samples)
    assert np.array_equal(shown[2::3], x[np.arange(721) % 719])
    # y of one channel, half the size and two levels beside x in colour
    y = np.array([[[[0, 1]]]], dtype=np.uint8)
    colour = np.zeros((1, 3, 2, 4), dtype=np.uint8)
    row = pairs_in_rows(y, Image((1, 1, 2), 2), Spec((3, 2, 4), 256), colour)
    assert torch.tensor(row[0]).unique(dim=0).tolist() == [[[0, 0, 255, 255]] * 2]
