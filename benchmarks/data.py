"""Images per second of `ImageData.batches` at 3x32x32: plain, with random flips, with dynamic binarisation.

    python benchmarks/data.py [--processes 2] [--batch 256] [--images 400000]

On random images: what is measured is the dealing of batches, not a data set. One process with one thread, and several that deal the
parts of as many ranks, as training does; each deals as many images before its time is taken.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time

import numpy as np
import torch

from genbench.data.decoded import Arrays, Split
from genbench.data.draws import binarise, flip
from genbench.data.images import ImageData
from genbench.spec import Labels, Spec


class Noise(ImageData):
    """50,000 random images of CIFAR-10's shape."""

    name = "noise"
    spec = Spec((3, 32, 32), levels=256, y=Labels(10))

    def decode(self) -> dict[Split, Arrays]:
        draw = np.random.default_rng(0)
        sizes: dict[Split, int] = {"train": 50_000, "val": 1, "test": 1}
        return {
            s: (draw.integers(256, size=(n, 3, 32, 32), dtype=np.uint8), draw.integers(10, size=n))
            for s, n in sizes.items()
        }


class Flipped(Noise):
    vary = staticmethod(flip)


class Binarised(Noise):
    vary = staticmethod(binarise)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--images", type=int, default=400_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        for kind in (Noise, Flipped, Binarised):
            assert kind(root).content_hash  # decoded before the processes ask for it
            images = given.images // (40 if kind is Binarised else 1)
            for world_size in sorted({1, given.processes}):
                with multiprocessing.get_context("spawn").Pool(world_size) as pool:
                    jobs = [
                        (kind, root, given.batch, images, rank, world_size)
                        for rank in range(world_size)
                    ]
                    # images are counted over all processes, the slowest of which decides
                    rates = [
                        images / max(pool.starmap(seconds, jobs, chunksize=1)) for _ in range(5)
                    ]
                print(
                    f"{kind.__name__:<10} {world_size} process(es):",
                    ", ".join(f"{rate:,.0f}" for rate in rates),
                    "images/s",
                )


def seconds(
    kind: type[Noise], root: str, batch: int, images: int, rank: int, world_size: int
) -> float:
    """What it takes to deal a rank's part of `images` images."""
    torch.set_num_threads(1)
    data = kind(root, batch)

    def deal(start: int) -> None:
        for _ in data.batches(
            start,
            start + images // batch * batch,
            rank,
            world_size,
            torch.device("cpu"),
            torch.float32,
        ):
            pass

    deal(0)
    begin = time.perf_counter()
    deal(images)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
