"""What may be random about an image: functions of (pixels, stream), so a draw depends on no batch
and no process.

    flip      x with its columns reversed, with probability 1/2
    binarise  b ~ Bernoulli(x / 255), every pixel by itself

Reference: Salakhutdinov, Murray (2008), On the quantitative analysis of deep belief networks. ICML
    (binarisation by sampling).
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.rng import Rng

__all__ = ["binarise", "flip"]


def flip(x: Tensor, rng: Rng) -> Tensor:
    """Each image (B, C, H, W) left to right or as it is, by a fair coin of its stream."""
    heads = rng.split("flip").bits() & 1
    # the bits of x ^ x' where heads: no branch, hence no wait for a device, and faster than
    # torch.where on bytes
    difference = x.flip(-1).bitwise_xor_(x)
    return difference.bitwise_and_((-heads).to(x.dtype)[:, None, None, None]).bitwise_xor_(x)


def binarise(x: Tensor, rng: Rng) -> Tensor:
    """Pixels 0..255 (B, C, H, W) -> {0, 1}, one with probability x / 255."""
    rng = rng.split("binarise")
    # the random words of more images leave a CPU's cache: twice as slow
    size = 128 if x.device.type == "cpu" else max(1, len(x))
    rngs = [rng[start : start + size] for start in range(0, max(1, len(x)), size)]
    return torch.cat(
        [
            (r.integers(255, x.shape[1:]) < part).to(torch.uint8)
            for r, part in zip(rngs, x.split(size), strict=True)
        ]
    )
