"""Images per second of `ImageData.batches` at 3x32x32: plain, with random flips, with dynamic binarisation.

    python benchmarks/data.py [--threads 1] [--batch 128] [--images 200000]

On random images: what is measured is the dealing of batches, not a source.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import numpy as np
import torch

from genbench.data.draws import binarise, flip
from genbench.data.images import Arrays, ImageData, Split
from genbench.spec import Spec


class Noise(ImageData):
    """50,000 random images of CIFAR-10's shape."""

    name = "noise"
    spec = Spec((3, 32, 32), levels=256, labels=10)

    def decode(self) -> dict[Split, Arrays]:
        draw = np.random.default_rng(0)
        sizes: dict[Split, int] = {"train": 50_000, "val": 1, "test": 1}
        return {
            s: (draw.integers(256, size=(n, 3, 32, 32), dtype=np.uint8), draw.integers(10, size=n)) for s, n in sizes.items()
        }


class Flipped(Noise):
    vary = staticmethod(flip)


class Binarised(Noise):
    vary = staticmethod(binarise)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--images", type=int, default=200_000)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as root:
        for kind in (Noise, Flipped, Binarised):
            data = kind(root, given.batch)
            print(
                f"{kind.__name__:<10}",
                ", ".join(f"{speed(data, given.images // (20 if kind is Binarised else 1)):,.0f}" for _ in range(3)),
                "images/s",
            )


def speed(data: ImageData, images: int) -> float:
    batches = data.batches(0, images, 0, 1, torch.device("cpu"), torch.float32)
    next(batches)
    start = time.perf_counter()
    for _ in batches:
        pass
    return (images - data.batch_size) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
