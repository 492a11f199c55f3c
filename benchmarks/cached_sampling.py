"""Cached against naive sampling of autoregressive networks: the same samples, in how much less time.

    python benchmarks/cached_sampling.py

The naive sampler recomputes the whole image for every pixel. It is timed over the first pixels and scaled up, as all its steps cost
the same. One thread; the transformer is that of configs/grammar/transformer.yaml.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from genbench.nets.autoregressive import AutoregressiveNet, Choose
from genbench.nets.pixelcnn import GatedPixelCNN
from genbench.nets.transformer import Transformer

TIMED = 12


class _Enough(Exception):
    """The naive sampler has made the pixels that are timed."""


def seconds(
    generate: Callable[[Choose, int], Tensor], batch: int, pixels: int | None = None
) -> float:
    """Seconds for a batch of images, or for the first `pixels` of them."""

    def choose(logits: Tensor, i: int) -> Tensor:
        if i == pixels:
            raise _Enough
        return logits.argmax(1)

    start = time.perf_counter()
    with contextlib.suppress(_Enough):
        generate(choose, batch)
    return time.perf_counter() - start


# title, network, batches
CASES = (
    ("GatedPixelCNN, 8 x 8", GatedPixelCNN((1, 8, 8), (17, 1, 8, 8), width=32, layers=6), (64,)),
    ("GatedPixelCNN, 28 x 28", GatedPixelCNN((1, 28, 28), (256, 1, 28, 28), width=32, layers=6), (64,)),
    ("Transformer, 46 characters", Transformer((1, 1, 46), (27, 1, 1, 46), width=64, depth=2, heads=4), (1, 16, 64, 256)),
)  # fmt: skip


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    for title, net, batches in CASES:
        net.eval()
        dims = math.prod(net.inputs)
        seconds(net.generate, 2)  # warm-up
        for batch in batches:
            cached = min(seconds(net.generate, batch) for _ in range(3))
            naive = seconds(partial(AutoregressiveNet.generate, net), batch, TIMED) / TIMED * dims
            ratio = naive / cached
            print(
                f"{title}, batch {batch}: cached {cached:.3f} s, naive {naive:.2f} s, ratio {ratio:.1f}"
            )


if __name__ == "__main__":
    main()
