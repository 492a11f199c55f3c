"""Pairs (x, y) of images, made from any data set: x is its image, y is what is left of it.

A model of p(x | y) has to fill in what y lacks.

    halves   y = x with its lower half black: there are several digits with one upper half
    edges    y = 1 where x differs from its neighbour below or on the right by a quarter of the
             range from black to white or more, else 0

References:
    Isola, Zhu, Zhou, Efros (2017), Image-to-image translation with conditional adversarial
    networks. arXiv:1611.07004
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np

from genbench.data.decoded import Arrays, Split
from genbench.data.digits import Digits
from genbench.data.images import ImageData
from genbench.data.location import Download
from genbench.data.pictures import pairs_in_rows
from genbench.spec import Image, Spec

__all__ = ["Made", "Pairs", "edges", "pairs_of_samples", "upper_half"]

Made = Literal["halves", "edges"]

# The data sets of pictures have this default.
_BATCH_SIZE = 128


class Pairs(ImageData):
    """The images of a data set as x, in its splits, and y made from each of them.

    The names of its classes are dropped: y takes the place of the label.

    Args:
        images: Where x comes from. Its images are the same in every epoch, and it has no batch_size
            of its own.
        root: Folder for the decoded pairs. Default: $GENBENCH_DATA, else ~/.cache/genbench.
        batch_size: Pairs per optimizer step, over all processes.
        y: What y is.

    Raises:
        ValueError: The images differ from epoch to epoch, or have a batch_size.
    """

    needs_folder = False

    def __init__(
        self,
        images: ImageData,
        root: str | None = None,
        batch_size: int = 128,
        y: Made = "halves",
    ) -> None:
        super().__init__(root, batch_size)
        if images.batch_size != _BATCH_SIZE:
            raise ValueError(
                f"data.images.batch_size is {images.batch_size} and has no effect: a batch has "
                "data.batch_size pairs"
            )
        if images.varies:
            raise ValueError(
                f"data.images: those of {images.name} are others in every epoch, by flips or draws,"
                " and y would not follow"
            )
        shape = images.spec.shape
        levels = images.spec.levels
        self.images = images
        self.y = y
        self.name = f"{images.name}-{y}"
        self.sizes = images.sizes
        if y == "halves":
            self.spec = Spec(shape, levels, Image(shape, levels))
        else:
            self.spec = Spec(shape, levels, Image((1, *shape[1:]), 2))

    @classmethod
    def offered(cls, root: str | None = None) -> list[ImageData]:
        return [cls(Digits(root), root, y=y) for y in get_args(Made)]

    @property
    def protocol(self) -> str:
        return f"{self.images.protocol}-pairs"

    @property
    def source_files(self) -> list[Path]:
        return self.images.source_files

    @property
    def downloads(self) -> list[Download]:
        return self.images.downloads

    @property
    def source(self) -> dict[str, object]:
        return {**super().source, "y": self.y, "images": self.images.identity}

    def decode(self) -> dict[Split, Arrays]:
        levels = self.spec.levels
        pairs: dict[Split, Arrays] = {}
        for split, (x, _) in self.images.decode().items():
            y = upper_half(x) if self.y == "halves" else edges(x, levels)
            pairs[split] = (x, y)
        return pairs


def pairs_of_samples(data: ImageData, samples: np.ndarray, split: Split = "test") -> np.ndarray:
    """Samples of p(x | y), each between its y and the true x of the pair, for a grid.

    Args:
        data: The data, whose y is an image.
        samples: Samples 0, ..., n - 1, integers (n, C, H, W).
        split: The split whose y they were conditioned on.

    Returns:
        Integers (3 n, C, H, W): y, sample and true x of the first pair, and so on.
    """
    x, y = data.arrays(split)
    assert isinstance(data.spec.y, Image) and y is not None
    rows = np.arange(len(samples)) % len(x)
    return pairs_in_rows(y[rows], data.spec.y, data.spec, samples, x[rows])


def upper_half(x: np.ndarray) -> np.ndarray:
    """Images (N, C, H, W) without their last ceil(H / 2) rows, which are black.

    >>> upper_half(np.arange(1, 5).reshape(1, 1, 2, 2)).tolist()
    [[[[1, 2], [0, 0]]]]
    """
    y = x.copy()
    y[:, :, x.shape[2] // 2 :] = 0
    return y


def edges(x: np.ndarray, levels: int) -> np.ndarray:
    """Mark the pixels at which some channel changes by a quarter of the range or more: uint8 (N, 1,
    H, W) of 0 and 1.

    >>> edges(np.array([[[[0, 0, 9], [0, 0, 9]]]]), levels=10).tolist()
    [[[[0, 1, 0], [0, 1, 0]]]]
    """
    v = x.astype(np.int64)
    step = np.zeros_like(v)
    step[:, :, :-1] = np.abs(np.diff(v, axis=2))
    step[:, :, :, :-1] = np.maximum(step[:, :, :, :-1], np.abs(np.diff(v, axis=3)))
    is_edge = 4 * step.max(1, keepdims=True) >= levels - 1
    return is_edge.astype(np.uint8)
