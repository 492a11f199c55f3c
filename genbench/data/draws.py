"""What may be random about an image: functions of (pixels, stream), so a draw depends on no batch and no process.

    flip      x with its columns reversed, with probability 1/2
    binarise  b ~ Bernoulli(x / 255), every pixel by itself

Reference: Salakhutdinov, Murray (2008), On the quantitative analysis of deep belief networks. ICML (binarisation by sampling).
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.rng import Rng

__all__ = ["binarise", "flip"]


def flip(x: Tensor, rng: Rng) -> Tensor:
    """Each image (B, C, H, W) left to right or as it is, by a fair coin of its stream."""
    heads = rng.split("flip").bits() & 1
    # the bits of x ^ x' where heads: no branch, hence no wait for a device, and faster than torch.where on bytes
    difference = x.flip(-1).bitwise_xor_(x)
    return difference.bitwise_and_((-heads).to(x.dtype)[:, None, None, None]).bitwise_xor_(x)


def binarise(x: Tensor, rng: Rng) -> Tensor:
    """Pixels 0..255 (B, C, H, W) -> {0, 1}, one with probability x / 255."""
    return (rng.split("binarise").integers(255, x.shape[1:]) < x).to(torch.uint8)
