"""Dropout whose noise comes from the streams of the images, never from torch's global generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.rng import Rng

__all__ = ["dropout"]


def dropout(h: Tensor, p: float, rng: Rng | None) -> Tensor:
    """Set entries to zero with probability p, and divide the others by 1 - p (Srivastava et al.
    2014, Dropout: a simple way to prevent neural networks from overfitting).

    Args:
        h: Features, (B, ...).
        p: Probability, which is rounded to a multiple of 1/256: an entry costs one random byte.
        rng: One stream per image; None: h as it is.

    Examples:
        >>> h = dropout(torch.ones(2, 1000), 0.25, Rng(0, range(2)))
        >>> sorted(set(h.flatten().tolist())), round(float((h == 0).double().mean()), 2)
        ([0.0, 1.3333333730697632], 0.24)
    """
    dropped = round(256 * p)
    if rng is None or dropped == 0:
        return h
    entries = math.prod(h.shape[1:])
    words = rng.bits((-(-entries // 4),))
    shifts = torch.arange(0, 32, 8, device=words.device)
    random_bytes = ((words[..., None] >> shifts) & 255).flatten(1)[:, :entries]
    kept = (random_bytes >= dropped).view(h.shape)
    return h * kept * (256 / (256 - dropped))
