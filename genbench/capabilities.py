"""What a model may offer beyond the contract, asked for by name and never by class.

z is a latent of shape (B, d) with the prior N(0, I); x is a uint8 image (B, C, H, W); y are int64
labels (B,), None for a model of p(x).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from genbench.rng import Rng

__all__ = ["Decodes", "Diffuses", "Encodes", "HasLatent", "HasTrajectory"]


@runtime_checkable
class Encodes(Protocol):
    """Images have latents: the mean of q(z | x), or z = f(x)."""

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor: ...


@runtime_checkable
class Decodes(Protocol):
    """Latents have images: the mean of p(x | z), or x = f^{-1}(z), or G(z)."""

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor: ...


@runtime_checkable
class HasLatent(Protocol):
    """The number d of latents of a model that does not encode."""

    latent: int


@runtime_checkable
class Diffuses(Protocol):
    """A forward process on reals, x_0 -> x_t at t = 0, ..., T. t: int64 (B,); eps: standard normal
    of the shape of x_0.
    """

    T: int

    def diffuse(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor: ...


@runtime_checkable
class HasTrajectory(Protocol):
    """A sampler whose steps can be seen: from standard normal x, the reals after every step, the
    last of which `to_pixels` makes an image. Its options are those of `sample`.
    """

    def trajectory(
        self, x: Tensor, rng: Rng, y: Tensor | None = None, *args: Any, **options: Any
    ) -> Iterator[Tensor]: ...
