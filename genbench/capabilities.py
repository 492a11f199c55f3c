"""What a model may offer beyond the contract, asked for by name and never by class.

Tools ask whether a model has one of these capabilities. A model that learns from a finished run has an
argument of its constructor that is annotated by one: `teacher: Transports`.

x are integer images (B, C, H, W); y are int64 labels (B,), or another kind of `genbench.spec`, None
for a model of p(x); z are latents, whose shape and prior a model with latents declares as its
`latent`.
"""

from __future__ import annotations

import math
import typing
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, runtime_checkable

from torch import Tensor

from genbench.formulas.noise import Schedule
from genbench.formulas.priors import Prior
from genbench.rng import Rng
from genbench.spec import Shape, Spec

__all__ = [
    "Classifies",
    "Completes",
    "Decodes",
    "Denoises",
    "Diffuses",
    "Encodes",
    "HasEnergy",
    "HasLatent",
    "HasTrajectory",
    "Latent",
    "Tokenizes",
    "Transports",
    "class_offers",
    "described",
    "is_capability",
    "last_state",
    "members_of",
]


@dataclass(frozen=True)
class Latent:
    """What the latents z of a model are.

    Args:
        shape: Shape of one, such as (d,).
        prior: p(z).

    Examples:
        >>> from genbench.formulas.priors import Bernoulli
        >>> latent = Latent((2, 3), Bernoulli())
        >>> latent.dims, latent.draw(Rng(0, range(4))).shape
        (6, torch.Size([4, 2, 3]))
    """

    shape: Shape
    prior: Prior

    @property
    def dims(self) -> int:
        """Number of entries of a latent."""
        return math.prod(self.shape)

    def draw(self, rng: Rng) -> Tensor:
        """z ~ p(z), one per stream: (len(rng), *shape)."""
        return self.prior.draw(rng, self.shape)


@runtime_checkable
class HasLatent(typing.Protocol):
    """Images come from latents, or have latents, of a declared shape and prior."""

    @property
    def latent(self) -> Latent: ...


@runtime_checkable
class Encodes(typing.Protocol):
    """Images have latents: the mean of q(z | x), or z = f(x)."""

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor: ...


@runtime_checkable
class Decodes(typing.Protocol):
    """Latents have images: the mean of p(x | z), or x = f^{-1}(z), or G(z)."""

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor: ...


@runtime_checkable
class Classifies(typing.Protocol):
    """A joint density of images and labels: log p(x, y) of every class y, (B, K) nats, or of the only
    one, (B, 1), for a model of p(x). `rng` has one stream per image; default: fixed ones.

    log p(y | x) is its `log_softmax(1)`, and log p(x) its `logsumexp(1)`. Any other model of p(x | y)
    gets its joint density by the frequencies of the classes: `genbench.metrics.log_densities.log_joint`.
    """

    def log_joint(self, x: Tensor, rng: Rng | None = None) -> Tensor: ...


@runtime_checkable
class HasEnergy(typing.Protocol):
    """Images have energies, (B,) nats: log p(x) = -energy(x) - log Z, where Z may be unknown."""

    def energy(self, x: Tensor, y: Tensor | None = None) -> Tensor: ...


@runtime_checkable
class Completes(typing.Protocol):
    """Draws of the pixels that follow known ones: p(x_n, ... | x_0, ..., x_{n-1}), in raster order
    with the channels innermost. `known` is n; the pixels of x from index n on are not looked at.
    """

    def complete(self, x: Tensor, known: int, rng: Rng, y: Tensor | None = None) -> Tensor: ...


@runtime_checkable
class Diffuses(typing.Protocol):
    """A forward process on reals, x_0 -> x_t at t = 0, ..., T. t: int64 (B,); eps: standard normal
    of the shape of x_0.
    """

    T: int

    def diffuse(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor: ...


@runtime_checkable
class HasTrajectory(typing.Protocol):
    """A sampler whose steps can be seen: from standard normal x, the reals after every step, the
    last of which `to_pixels` makes an image. Its options are those of `sample`.
    """

    def trajectory(
        self, x: Tensor, rng: Rng, y: Tensor | None = None, *args: Any, **options: Any
    ) -> Iterator[Tensor]: ...


def last_state(states: Iterator[Tensor], sampler: str) -> Tensor:
    """The last state of a trajectory.

    Args:
        states: The reals after every step.
        sampler: Name of the sampler, for the message.

    Raises:
        ValueError: The trajectory has no state.
    """
    last = deque(states, maxlen=1)
    if not last:
        raise ValueError(
            f"{sampler}.trajectory yields no state; right is the state after every step, the last of "
            "which is an image"
        )
    return last.pop()


@runtime_checkable
class Transports(typing.Protocol):
    """Noise is carried to images along paths that it determines; no other noise is drawn."""

    @property
    def conditional(self) -> bool:
        """Whether the paths depend on y, which is then given."""
        ...

    def transport(self, eps: Tensor, y: Tensor | None = None, steps: int = 50) -> Tensor:
        """Standard normal (B, C, H, W) -> the reals at the ends of their paths."""
        ...


@runtime_checkable
class Denoises(typing.Protocol):
    """Reals in noise, x_t = alpha_t x + sigma_t eps with eps ~ N(0, I), have a mean E[x | x_t].

    eps, score and velocity follow from it by the methods of `schedule`.
    """

    @property
    def schedule(self) -> Schedule:
        """alpha_t and sigma_t, from images at t = 0 to noise at t = 1."""
        ...

    @property
    def conditional(self) -> bool:
        """Whether the mean depends on y, which is then given."""
        ...

    def denoise(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """E[x | x_t] as the model knows it, of the shape of x_t, (B, C, H, W). t: float64 (B,)."""
        ...


@runtime_checkable
class Tokenizes(typing.Protocol):
    """Images have codes, a grid of integers, and codes have images. z: int64 (B, h, w)."""

    @property
    def codes(self) -> Spec:
        """The grid, an image of one channel, and the number of codes, its levels."""
        ...

    def tokens(self, x: Tensor) -> Tensor:
        """The codes of integer images."""
        ...

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z), (B,) nats of the integer image."""
        ...

    def draw(self, z: Tensor, rng: Rng, decoder: Literal["sample", "mean"] = "sample") -> Tensor:
        """x ~ p(x | z), one image per stream, or its rounded mean."""
        ...


def is_capability(annotation: Any) -> bool:
    """Whether an annotation is a capability, which says what a model offers.

    Examples:
        >>> is_capability(Transports), is_capability(Spec)
        (True, False)
    """
    return typing.Protocol in getattr(annotation, "__bases__", ())


def members_of(capability: type) -> list[str]:
    """The names of the methods and attributes that a capability consists of.

    Examples:
        >>> members_of(Diffuses), members_of(Tokenizes)
        (['T', 'diffuse'], ['codes', 'tokens', 'log_likelihood', 'draw'])
    """
    names = (*vars(capability).get("__annotations__", {}), *vars(capability))
    return [name for name in names if not name.startswith("_")]


def class_offers(kind: type, capability: type) -> bool:
    """Whether the objects of a class have every member of a capability, by the methods of the class
    and the attributes that it declares.
    """
    declared = (vars(base).get("__annotations__", {}) for base in kind.__mro__)
    return set(members_of(capability)) <= set(dir(kind)).union(*declared)


def described(capability: type) -> str:
    """A capability, and what it consists of, in one text.

    Examples:
        >>> described(Transports)
        'Transports (conditional, transport)'
    """
    return f"{capability.__name__} ({', '.join(members_of(capability))})"
