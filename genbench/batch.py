"""A batch of training images, with their labels and random streams."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from genbench.rng import Rng

__all__ = ["Batch"]


class Batch(NamedTuple):
    """Training images x, uint8 (B, C, H, W), their labels y, int64 (B,) or None, and one random
    stream per image.
    """

    x: Tensor
    y: Tensor | None
    rng: Rng
