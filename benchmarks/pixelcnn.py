"""Cached against naive sampling of the gated PixelCNN: the same samples, in how much less time.

    python benchmarks/pixelcnn.py

The naive sampler recomputes the whole image for every pixel; at 28 x 28 it is timed over the first pixels and scaled up.
"""

from __future__ import annotations

import contextlib
import time

import torch
from torch import Tensor

from genbench.nets.autoregressive import AutoregressiveNet
from genbench.nets.pixelcnn import GatedPixelCNN

TIMED = 12


class _Enough(Exception):
    """The naive sampler has made the pixels that are timed."""


def seconds(generate: object, batch: int, pixels: int | None = None) -> float:
    """Seconds for a batch of images, or for the first `pixels` of them."""

    def choose(logits: Tensor, i: int) -> Tensor:
        if i == pixels:
            raise _Enough
        return logits.argmax(1)

    start = time.perf_counter()
    with contextlib.suppress(_Enough):
        generate(choose, batch)  # type: ignore[operator]
    return time.perf_counter() - start


@torch.no_grad()
def main() -> None:
    for size, levels, batch in ((8, 17, 64), (28, 256, 64)):
        net = GatedPixelCNN((1, size, size), (levels, 1, size, size), width=32, layers=6).eval()
        dims = size * size
        seconds(net.generate, 2)  # warm-up
        cached = seconds(net.generate, batch)
        naive = (
            seconds(
                lambda choose, n, net=net: AutoregressiveNet.generate(net, choose, n), batch, TIMED
            )
            / TIMED
            * dims
        )
        print(
            f"{size}x{size}, {levels} levels, batch {batch}: cached {cached:.2f} s, naive {naive:.1f} s, ratio {naive / cached:.0f}"
        )


if __name__ == "__main__":
    main()
