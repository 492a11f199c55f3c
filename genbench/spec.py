"""What a data set declares: the integer images that a model is about, and what comes with them.

shape   (C, H, W) of an image; a text of length L is an image of shape (1, 1, L), a point of the plane one of (1, 1, 2)
levels  grey levels per channel: pixels are integers 0 <= x < levels, stored as uint8
labels  number of classes, or None
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Shape", "Spec"]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Spec:
    """The image space of a data set.

    Args:
        shape: (C, H, W).
        levels: Number of values of a pixel, 2 to 256.
        labels: Number of classes of `y`, or None where the data has no labels.

    Examples:
        >>> Spec((1, 8, 8), levels=17, labels=10).dims
        64
    """

    shape: tuple[int, int, int]
    levels: int
    labels: int | None = None

    @property
    def dims(self) -> int:
        """Number of integers in an image: the "dimensions" of bits per dimension."""
        return math.prod(self.shape)
