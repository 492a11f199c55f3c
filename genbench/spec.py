"""What a data set declares: the integer images that a model is about, and what comes with them.

shape   (C, H, W) of an image; a text of length L is an image of shape (1, 1, L), a point of the plane one of (1, 1, 2)
levels  grey levels per channel: pixels are integers 0 <= x < levels, stored as uint8, or as int32 where they are more than 256
y       what comes with every image and a model of p(x | y) is given: a label, an image, a text, or nothing
looks   how images are shown: a grid of pictures, a scatter plot of points, or a block of text
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch

__all__ = [
    "MAX_LEVELS",
    "Grid",
    "Image",
    "Labels",
    "Looks",
    "Scatter",
    "Shape",
    "Spec",
    "Text",
    "Tokens",
    "Y",
    "pixel_dtype",
]

Shape = tuple[int, ...]

MAX_LEVELS = 65_536


def pixel_dtype(levels: int) -> torch.dtype:
    """The smallest integer type for pixels 0, ..., levels - 1 that every part of torch takes.

    Beyond 256 levels this is int32: int16 ends at 32,768 levels, and gloo, which gathers images of
    several processes on a CPU, takes neither int16 nor uint16.

    Args:
        levels: Number of values of a pixel, 2 to 65,536.

    Raises:
        ValueError: They are fewer or more.

    Examples:
        >>> pixel_dtype(256), pixel_dtype(257)
        (torch.uint8, torch.int32)
    """
    if not 2 <= levels <= MAX_LEVELS:
        raise ValueError(f"levels of a pixel are 2 to {MAX_LEVELS:,}, not {levels}")
    if levels <= 256:
        return torch.uint8
    return torch.int32


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
    """y is an image, which makes a pair with x: integers (B, C, H, W), 0 <= y < levels.

    Args:
        shape: (C, H, W).
        levels: Number of values of a pixel, 2 to 65,536.
    """

    plural: ClassVar[str] = "images"
    shape: tuple[int, int, int]
    levels: int

    @property
    def dtype(self) -> torch.dtype:
        """Integer type of the pixels of y."""
        return pixel_dtype(self.levels)


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
class Grid:
    """Images are pictures, shown side by side."""

    together: ClassVar[int | None] = None


@dataclass(frozen=True)
class Scatter:
    """Images are points of the plane, of shape (1, 1, 2), shown in one scatter plot."""

    together: ClassVar[int | None] = 5_000


@dataclass(frozen=True)
class Text:
    """Images are lines of text, of shape (1, 1, L), shown below each other.

    Args:
        alphabet: The character of every level.
        padding: The character that fills a line up behind its end, and is not shown there; empty:
            lines are full.

    Examples:
        >>> looks = Text(".abc", padding=".")
        >>> looks.read([1, 2, 3, 1, 0, 0]), looks.levels_of("cab")
        ('abca', [3, 1, 2])
    """

    together: ClassVar[int | None] = 40

    alphabet: str
    padding: str = ""

    def read(self, levels: Iterable[int]) -> str:
        """The text of the levels of a line."""
        text = "".join(self.alphabet[k] for k in levels)
        return text.rstrip(self.padding) if self.padding else text

    def levels_of(self, text: str) -> list[int]:
        """The level of every character.

        Raises:
            ValueError: A character is not in the alphabet.
        """
        return [self.alphabet.index(character) for character in text]


Looks = Grid | Scatter | Text
"""How images are shown; `together` says how many one picture shows, None where each is its own."""


@dataclass(frozen=True)
class Spec:
    """The image space of a data set.

    Args:
        shape: (C, H, W).
        levels: Number of values of a pixel, 2 to 65,536.
        y: What comes with an image, or None.
        looks: How images are shown.

    Examples:
        >>> digits = Spec((1, 8, 8), levels=17, y=Labels(10))
        >>> digits.dims, digits.classes
        (64, 10)
        >>> digits.dtype, Spec((1, 4, 4), levels=512).dtype
        (torch.uint8, torch.int32)
    """

    shape: tuple[int, int, int]
    levels: int
    y: Y | None = None
    looks: Looks = Grid()

    def __post_init__(self) -> None:
        pixel_dtype(self.levels)

    @property
    def dtype(self) -> torch.dtype:
        """Integer type of images, arrays and samples."""
        return pixel_dtype(self.levels)

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
