"""One order for a set of images, whatever the files that they came in and the order of those.

Image i of a split is the i-th by SHA-256(pixels, then the label as 8 bytes). So a split has one
content hash, and an index means the same image, whether it was read from idx files, pickled
batches, a zip or a folder. Ties are equal images of equal label.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genbench.data.decoded import Arrays, Split
from genbench.errors import InputError

__all__ = ["canonical", "canonical_order", "content_order", "hold_out", "three_splits"]


def canonical(x: np.ndarray, y: np.ndarray | None) -> Arrays:
    """Sort images and labels into canonical order.

    Args:
        x: Images, integers (N, C, H, W).
        y: Labels, integers (N,), or None.

    Returns:
        The images and the labels, int64.
    """
    order = canonical_order(x, y)
    images = np.ascontiguousarray(x[order])
    if y is None:
        return images, None
    return images, y[order].astype(np.int64)


def canonical_order(x: np.ndarray, y: np.ndarray | None) -> np.ndarray:
    """The permutation that sorts images by their hashes.

    Args:
        x: Images, integers (N, C, H, W).
        y: Labels, integers (N,), or None.

    Returns:
        Indices, int64 (N,).
    """
    labels = [b""] * len(x)
    if y is not None:
        labels = [label.tobytes() for label in y.astype("<i8")]
    keys = [
        hashlib.sha256(image.tobytes() + label).digest()
        for image, label in zip(x, labels, strict=True)
    ]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)


def content_order(x: np.ndarray, seed: int) -> Tensor:
    """A random permutation of images that depends on which images there are, not on their order.

    Image i has the key SHA-256(seed, pixels, how many equal images came before it); the images are
    sorted by their keys. So equal images are spread like any others.

    Args:
        x: Images, integers (N, C, H, W).
        seed: Another one gives another permutation.

    Returns:
        Indices, int64 (N,): the first n of them are a random subset.
    """
    copies: Counter[bytes] = Counter()
    keys = []
    for image in x:
        pixels = image.tobytes()
        keys.append(hashlib.sha256(f"{seed} {copies[pixels]} ".encode() + pixels).digest())
        copies[pixels] += 1
    return torch.tensor(sorted(range(len(keys)), key=keys.__getitem__), dtype=torch.int64)


def hold_out(arrays: Arrays, n: int) -> tuple[Arrays, Arrays]:
    """Take the last n images of a split apart from the others.

    Args:
        arrays: Images and labels.
        n: Number of images that are held out.

    Returns:
        The other images and labels, and the last n.
    """
    x, y = arrays
    cut = len(x) - n
    if y is None:
        return (x[:cut], None), (x[cut:], None)
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def three_splits(
    train_arrays: Arrays, test_arrays: Arrays, held_out: int, origin: Path
) -> dict[Split, Arrays]:
    """Make three splits of two published ones, each in canonical order.

    The last images of those published for training become those for validation.

    Args:
        train_arrays: Images and labels published for training.
        test_arrays: Images and labels published for testing.
        held_out: Number of images for validation.
        origin: The file of the training images, which an error names.

    Raises:
        InputError: No image would be left for training.
    """
    if len(train_arrays[0]) <= held_out:
        raise InputError(
            f"{origin} has {len(train_arrays[0]):,} images; {held_out:,} are held out for validation, so "
            f"more than {held_out:,} are needed"
        )
    rest, val = hold_out(canonical(*train_arrays), held_out)
    return {"train": rest, "val": val, "test": canonical(*test_arrays)}
