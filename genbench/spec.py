"""What a data set declares: the integer images that a model is about, and what comes with them.

shape   (C, H, W) of an image; a text of length L is an image of shape (1, 1, L), a point of the plane one of (1, 1, 2)
levels  grey levels per channel: pixels are integers 0 <= x < levels, stored as uint8
y       what comes with every image and a model of p(x | y) is given: a label, an image, a text, or nothing
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

__all__ = ["Image", "Labels", "Shape", "Spec", "Tokens", "Y"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Labels:
    """y is one of some classes: int64 (B,), 0 <= y < classes.

    Args:
        classes: Number of classes K.
    """

    plural: ClassVar[str] = "labels"
    classes: int


@dataclass(frozen=True)
class Image:
    """y is an image, which makes a pair with x: uint8 (B, C, H, W), 0 <= y < levels.

    Args:
        shape: (C, H, W).
        levels: Number of values of a pixel, 2 to 256.
    """

    plural: ClassVar[str] = "images"
    shape: tuple[int, int, int]
    levels: int


@dataclass(frozen=True)
class Tokens:
    """y is a text: int64 (B, length), 0 <= y < vocabulary.

    Args:
        length: Number of tokens L; shorter texts are filled up by a token of their own.
        vocabulary: Number of different tokens.
    """

    plural: ClassVar[str] = "texts"
    length: int
    vocabulary: int


Y = Labels | Image | Tokens
"""The kinds of y; None stands for data without."""


@dataclass(frozen=True)
class Spec:
    """The image space of a data set.

    Args:
        shape: (C, H, W).
        levels: Number of values of a pixel, 2 to 256.
        y: What comes with an image, or None.

    Examples:
        >>> digits = Spec((1, 8, 8), levels=17, y=Labels(10))
        >>> digits.dims, digits.classes
        (64, 10)
    """

    shape: tuple[int, int, int]
    levels: int
    y: Y | None = None

    @property
    def dims(self) -> int:
        """Number of integers in an image: the "dimensions" of bits per dimension."""
        return math.prod(self.shape)

    @property
    def classes(self) -> int:
        """Number of classes of y; 0 where y is no label."""
        if isinstance(self.y, Labels):
            return self.y.classes
        return 0
