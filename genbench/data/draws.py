"""Random changes of training images.

Each is a function of the pixels and of the stream of the image, so it depends on no batch and on no
process.

    flip      x with its columns reversed, with probability 1/2
    binarise  b ~ Bernoulli(x / (levels - 1)), every pixel by itself

Reference: Salakhutdinov, Murray (2008), On the quantitative analysis of deep belief networks. ICML
    (binarisation by sampling).
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.rng import Rng

__all__ = ["binarise", "flip"]


def flip(x: Tensor, rng: Rng) -> Tensor:
    """Flip each image left to right with probability 1/2.

    Args:
        x: Images, integers (B, C, H, W).
        rng: One stream per image.
    """
    heads = rng.split("flip").bits() & 1
    # Since x ^ (x ^ x') = x', flipped images are exchanged bit by bit. There is no branch, hence no
    # wait for a device, and it is faster than torch.where on bytes.
    difference = x.flip(-1).bitwise_xor_(x)
    return difference.bitwise_and_((-heads).to(x.dtype)[:, None, None, None]).bitwise_xor_(x)


def binarise(x: Tensor, rng: Rng, levels: int = 256) -> Tensor:
    """Draw binary pixels, 1 with probability x / (levels - 1).

    Args:
        x: Grey levels, integers (B, C, H, W).
        rng: One stream per image.
        levels: Number of grey levels.

    Returns:
        uint8 (B, C, H, W) of 0 and 1.
    """
    rng = rng.split("binarise")
    # The random words of more images do not fit a CPU's cache, which takes twice as long.
    size = 128 if x.device.type == "cpu" else max(1, len(x))
    rngs = [rng[start : start + size] for start in range(0, max(1, len(x)), size)]
    parts = []
    for part_rng, part in zip(rngs, x.split(size), strict=True):
        parts.append((part_rng.integers(levels - 1, x.shape[1:]) < part).to(torch.uint8))
    return torch.cat(parts)
