"""The order of the training images: batches as a function of (seed, number of images seen).

Training image number c (counted over the whole run) is the image at position c mod N of the
permutation of epoch c div N. Batch t of size B holds c = tB, ..., (t+1)B - 1, and rank r of R takes
the r-th of R equal parts. So neither an interruption nor the number of processes changes which
image meets which noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from genbench.batch import Batch
from genbench.rng import Rng

__all__ = ["Dealer", "Passes"]

# Indices and stream keys are made for this many batches at once: many small operations cost more
# than a few larger ones.
_BLOCK = 64
# Images are gathered in pieces of about this size, which a cache holds: larger ones cost up to
# twice as much per image.
_PIECE_BYTES = 2**20


@dataclass(frozen=True)
class Dealer:
    """Deals the images of a training set.

    Args:
        x: Images, integers (N, C, H, W). Batches are on their device.
        y: What comes with every image, (N, ...), or None.
        seed: Seed of the order and of the streams of the images.
        batch_size: Images of a batch, over all processes.
        dtype: Type of the random numbers of the streams.
    """

    x: Tensor
    y: Tensor | None
    seed: int
    batch_size: int
    dtype: torch.dtype

    def batches(
        self,
        start: int,
        stop: int,
        rank: int,
        world_size: int,
        vary: Callable[[Tensor, Rng], Tensor],
    ) -> Iterator[Batch]:
        """The part of a process of all batches that begin at an image count c, start <= c < stop.

        Args:
            start: Image count at which the first batch begins.
            stop: Image count before which the last batch begins.
            rank: Number of the process.
            world_size: Number of processes, a divisor of the batch size.
            vary: Makes training images, (n, C, H, W), of images of the set and their streams.
        """
        share = self.batch_size // world_size
        piece = share * max(1, min(_BLOCK, _PIECE_BYTES // (share * self.x[0].nbytes)))
        for block in range(start, stop, _BLOCK * self.batch_size):
            end = min(block + _BLOCK * self.batch_size, stop)
            first = np.arange(block, end, self.batch_size)
            counter = (first[:, None] + rank * share + np.arange(share)).ravel()
            block_rows = self._rows(counter)
            block_rng = self._streams(counter).split("train")
            for begin in range(0, len(counter), piece):
                rows = block_rows[begin : begin + piece]
                rng = block_rng[begin : begin + piece]
                images, conditions = self._take(rows)
                images = vary(images, rng)
                for part in (slice(i, i + share) for i in range(0, len(rows), share)):
                    y = None if conditions is None else conditions[part]
                    yield Batch(images[part], y, rng[part])

    def one_pass(self) -> Iterator[Batch]:
        """Every image once, in the order of the first epoch; the last batch may be smaller."""
        for start in range(0, len(self.x), self.batch_size):
            counter = np.arange(start, min(start + self.batch_size, len(self.x)))
            rows = self._rows(counter)
            yield Batch(*self._take(rows), self._streams(counter).split("finalize"))

    def _rows(self, counter: np.ndarray) -> Tensor:
        """Image counts of the whole run -> indices into the training set, int64."""
        images = len(self.x)
        epochs, position = np.divmod(counter, images)
        rows = [
            _order(self.seed, int(epoch), images)[position[epochs == epoch]]
            for epoch in np.unique(epochs)
        ]
        return torch.from_numpy(np.concatenate(rows)).to(self.x.device)

    def _streams(self, counter: np.ndarray) -> Rng:
        """The random streams of image counts of the whole run."""
        return Rng(self.seed, torch.from_numpy(counter), self.dtype, self.x.device)

    def _take(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images and y by their indices."""
        # On a CPU, index_select is ten times faster than x[rows].
        y = None if self.y is None else self.y.index_select(0, rows)
        return self.x.index_select(0, rows), y


class Passes:
    """The training set for `GenerativeModel.finalize`: every iteration is one pass over it, in the
    order of the first epoch.

    Args:
        dealer: Called at the beginning of every pass, so that a model that makes none reads no
            images.

    Attributes:
        images: How many have been handed out so far, over all passes.
    """

    def __init__(self, dealer: Callable[[], Dealer]) -> None:
        self.dealer = dealer
        self.images = 0

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.dealer().one_pass():
            self.images += len(batch.x)
            yield batch


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, images: int) -> np.ndarray:
    """The permutation of an epoch: the ranks of random bits, which no two of 2^62 share in
    practice.
    """
    bits = Rng(seed, [epoch]).split("order").bits((2, images))[0]
    return torch.argsort((bits[0] << 30) ^ bits[1], stable=True).numpy()
