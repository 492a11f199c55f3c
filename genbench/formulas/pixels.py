"""Integer pixels and reals: the one pair of functions between them, dequantisation, and the unit of
likelihoods.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
from torch import Tensor

from genbench.rng import Rng
from genbench.spec import pixel_dtype

__all__ = [
    "bits_per_dim",
    "dequantise",
    "in_cell",
    "pull_inside",
    "quantise",
    "to_pixels",
    "to_real",
]


def to_real(x: Tensor, levels: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Integer pixels 0 .. levels - 1 -> bin centres in [-1, 1].

    Examples:
        >>> to_real(torch.tensor([0, 8, 16]), levels=17).tolist()
        [-1.0, 0.0, 1.0]
    """
    return x.to(dtype) * (2 / (levels - 1)) - 1


def to_pixels(v: Tensor, levels: int) -> Tensor:
    """Reals -> the nearest pixel value, an integer. Inverse of `to_real`.

    Examples:
        >>> to_pixels(torch.tensor([-3.0, 0.0, 0.07, 1.0]), levels=17).tolist()
        [0, 8, 9, 16]
    """
    return ((v + 1) * ((levels - 1) / 2)).round().clamp(0, levels - 1).to(pixel_dtype(levels))


class _PullInside(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        return v.clamp(-1, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def pull_inside(v: Tensor) -> Tensor:
    """Reals set to [-1, 1], with the gradient of v itself: a clamp has none outside, where nothing
    would be learnt.

    Examples:
        >>> v = torch.tensor([-3.0, 0.5], requires_grad=True)
        >>> (gradient,) = torch.autograd.grad(pull_inside(v).sum(), v)
        >>> pull_inside(v).tolist(), gradient.tolist()
        ([-1.0, 0.5], [1.0, 1.0])
    """
    return cast(Tensor, _PullInside.apply(v))


def dequantise(x: Tensor, levels: int, rng: Rng) -> Tensor:
    """Integer pixels -> uniform in their cells, (x + u) / levels in (0, 1)."""
    return in_cell(x, levels, rng.uniform(x.shape[1:]))


def in_cell(x: Tensor, levels: int, u: Tensor) -> Tensor:
    """Integer pixels and where in their cells, u in (0, 1) -> (x + u) / levels in (0, 1).

    Examples:
        >>> in_cell(torch.tensor([0, 3]), 4, torch.tensor([0.5, 0.25])).tolist()
        [0.125, 0.8125]
    """
    # A u that is nearer to 0 or 1 than this would be rounded into a neighbouring cell, or to 1.
    rounding = levels * torch.finfo(u.dtype).eps
    return (x.to(u.dtype) + u.clamp(rounding, 1 - rounding)) / levels


def quantise(v: Tensor, levels: int) -> Tensor:
    """Reals in (0, 1) -> the pixel in whose cell they lie, an integer. Inverse of `dequantise`.

    Examples:
        >>> quantise(torch.tensor([0.125, 0.8125, 0.99]), levels=4).tolist()
        [0, 3, 3]
    """
    return (v * levels).floor().clamp(0, levels - 1).to(pixel_dtype(levels))


def bits_per_dim(log_prob: Tensor, dims: int) -> Tensor:
    """Nats of an image -> bits per dimension.

    Examples:
        Four independent pixels, each uniform over 256 levels, cost eight bits apiece:

        >>> log_prob = torch.tensor(-4 * math.log(256), dtype=torch.float64)
        >>> round(bits_per_dim(log_prob, dims=4).item(), 6)
        8.0
    """
    return -log_prob / (dims * math.log(2))
