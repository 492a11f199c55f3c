r"""Priors of latents z, of which a decoder makes images.

    normal      z = eps,                    eps ~ N(0, 1)
    logistic    z = logit(Phi(eps)),        p(z) = sigmoid(z) sigmoid(-z),    eps = Phi^{-1}(sigmoid(z))
    uniform     z = 2 Phi(eps) - 1          on (-1, 1)
    bits        z in {0, 1}, fair
    codes       z in {0, ..., K - 1}, of equal probability

The entries are independent. Mixtures of Gaussians are in `mixtures.py`, priors that are learnt with
a model in `genbench.nets.priors`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.formulas.likelihood import gaussian_log_density
from genbench.rng import Rng

__all__ = [
    "Bernoulli",
    "Codes",
    "Logistic",
    "Monotone",
    "Normal",
    "Prior",
    "Reals",
    "Uniform",
]


class Prior(ABC):
    """The distribution of a latent z.

    Attributes:
        name: Name of the distribution of an entry in sentences.
    """

    name: str

    @abstractmethod
    def draw(self, rng: Rng, shape: tuple[int, ...]) -> Tensor:
        """One latent of a shape per stream: (len(rng), *shape)."""


class Reals(Prior):
    """A distribution of vectors of reals."""

    @abstractmethod
    def log_density(self, z: Tensor) -> Tensor:
        """log p(z) in nats of independent parts, which add up: (B, d) -> (B, d) where the entries
        are independent, else (B, 1).
        """

    @abstractmethod
    def quantiles(self, score: Tensor, dims: int) -> Tensor:
        """Quantiles of every entry by itself.

        Args:
            score: Places of the quantiles as those of N(0, 1), (n,): the probability below a
                quantile is Phi(score).
            dims: Number of entries of a latent.

        Returns:
            (n, dims).
        """

    @abstractmethod
    def norm(self, dims: int) -> float:
        """The root of E |z|^2 for latents of that many entries."""


class Monotone(Reals):
    """Independent entries, each an increasing function of standard normal noise."""

    @abstractmethod
    def from_normal(self, eps: Tensor) -> Tensor:
        """Standard normal noise -> entries of the prior, by their quantiles."""

    @abstractmethod
    def to_normal(self, z: Tensor) -> Tensor:
        """Inverse of `from_normal`."""

    def draw(self, rng: Rng, shape: tuple[int, ...]) -> Tensor:
        return self.from_normal(rng.normal(shape))

    def quantiles(self, score: Tensor, dims: int) -> Tensor:
        return self.from_normal(score)[:, None].expand(-1, dims)


class Normal(Monotone):
    """N(0, 1)."""

    name = "N(0, 1)"

    def from_normal(self, eps: Tensor) -> Tensor:
        return eps

    def to_normal(self, z: Tensor) -> Tensor:
        return z

    def log_density(self, z: Tensor) -> Tensor:
        return gaussian_log_density(z, torch.zeros_like(z), torch.zeros_like(z))

    def norm(self, dims: int) -> float:
        return math.sqrt(dims)


class Logistic(Monotone):
    """The standard logistic distribution.

    Examples:
        >>> Logistic().from_normal(torch.tensor([0.0, 1.0]))
        tensor([0.0000, 1.6683])
        >>> Logistic().to_normal(torch.tensor([-1.6683, 1.6683]))
        tensor([-1.0000,  1.0000])
        >>> float(Logistic().log_density(torch.zeros(1)).exp())
        0.25
    """

    name = "the standard logistic"

    def from_normal(self, eps: Tensor) -> Tensor:
        return torch.special.log_ndtr(eps) - torch.special.log_ndtr(-eps)

    def to_normal(self, z: Tensor) -> Tensor:
        # The quantile is taken in the lower tail, where no probability is rounded to 1.
        return torch.sign(z) * -torch.special.ndtri(torch.sigmoid(-z.abs()))

    def log_density(self, z: Tensor) -> Tensor:
        return F.logsigmoid(z) + F.logsigmoid(-z)

    def norm(self, dims: int) -> float:
        return math.pi * math.sqrt(dims / 3)


class Uniform(Monotone):
    """Uniform on (-1, 1).

    Examples:
        >>> Uniform().from_normal(torch.tensor([-1.0, 0.0, 1.0]))
        tensor([-0.6827,  0.0000,  0.6827])
    """

    name = "U(-1, 1)"

    def from_normal(self, eps: Tensor) -> Tensor:
        return torch.erf(eps / math.sqrt(2))

    def to_normal(self, z: Tensor) -> Tensor:
        return math.sqrt(2) * torch.erfinv(z)

    def log_density(self, z: Tensor) -> Tensor:
        inside = torch.full_like(z, -math.log(2))
        return inside.masked_fill(z.abs() > 1, -math.inf)

    def norm(self, dims: int) -> float:
        return math.sqrt(dims / 3)


class Bernoulli(Prior):
    """Fair bits 0 and 1, as reals."""

    name = "a fair bit"

    def draw(self, rng: Rng, shape: tuple[int, ...]) -> Tensor:
        return rng.integers(2, shape).to(rng.dtype)


class Codes(Prior):
    """Integers 0, ..., K - 1 of equal probability, int64: places in a codebook, without an order.

    Args:
        K: Number of codes.
    """

    def __init__(self, K: int) -> None:
        self.name = f"one of {K} codes"
        self.K = K

    def draw(self, rng: Rng, shape: tuple[int, ...]) -> Tensor:
        return rng.integers(self.K, shape)
