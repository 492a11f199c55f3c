"""A batch of training images, with their y and random streams, and state that images keep from
one batch to the next.

Training image number i, counted over the whole run, has the global index i. Randomness and state are
functions of it, never of the process that has the image.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn

from genbench.rng import Rng

__all__ = ["Batch", "ImageBuffer", "image_buffers"]


class Batch(NamedTuple):
    """Training images x, integers (B, C, H, W), one random stream per image, and what comes with the
    images, y: int64 (B,) labels, or another kind of `genbench.spec`, or None.
    """

    x: Tensor
    y: Tensor | None
    rng: Rng

    @property
    def indices(self) -> Tensor:
        """Global indices of the images, int64 (B,)."""
        return self.rng.index


class ImageBuffer(nn.Module):
    """State of the images of a batch, such as one Markov chain each: R rows of which the image with
    the global index i has row i mod R.

    A model makes it an attribute. Its loss reads the rows of its images, and keeps their new
    values. The training step writes the new values into the rows on every process, once all have
    taken the step. So every process, and every checkpoint, has the rows of all images, and a run
    may go on with another number of processes. A loss that is computed outside training changes
    nothing.

    Args:
        rows: The initial state, (R, ...). R is at least the number of images of a batch.
    """

    rows: Tensor

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", rows)
        self._kept: list[tuple[Tensor, Tensor]] = []

    def read(self, rng: Rng) -> Tensor:
        """The rows of images, (B, ...).

        Args:
            rng: The streams of the images.
        """
        return self.rows[rng.index % len(self.rows)]

    def keep(self, rng: Rng, values: Tensor) -> None:
        """Keep the new values of the rows of images, which are written when the step is taken.

        Args:
            rng: The streams of the images.
            values: (B, ...), without a graph.
        """
        self._kept.append((rng.index % len(self.rows), values))

    def forget(self) -> None:
        """Forget what was kept and not written."""
        self._kept.clear()

    def write(self, world_size: int) -> None:
        """Write what the losses of all processes have kept.

        Args:
            world_size: Number of processes, each of which has kept the same number of rows.
        """
        if not self._kept:
            return
        places, values = (torch.cat(parts) for parts in zip(*self._kept, strict=True))
        self.rows[_gathered(places, world_size)] = _gathered(values.to(self.rows), world_size)
        self.forget()


def image_buffers(model: nn.Module) -> list[ImageBuffer]:
    """The buffers of a model that hold state of the images of a batch."""
    return [module for module in model.modules() if isinstance(module, ImageBuffer)]


def _gathered(part: Tensor, world_size: int) -> Tensor:
    """The parts of all processes in one tensor, (world_size * B, ...)."""
    if world_size == 1:
        return part
    parts = [torch.empty_like(part) for _ in range(world_size)]
    distributed.all_gather(parts, part.contiguous())
    return torch.cat(parts)
