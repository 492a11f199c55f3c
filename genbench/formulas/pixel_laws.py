r"""Distributions of integer pixels given what a decoder says of them, p(x|theta).

    Gaussian, Logistic      the mass of a pixel's bin on [-1, 1] (`likelihood.py`), at a mean mu and a scale s
        sigma: pixel        s of every pixel by itself: theta = (mu, log s), 2C channels
        sigma: one          one s for all pixels of all images, which is learnt: theta = mu, C channels
        sigma: a number     one s that is fixed: theta = mu, C channels
    Bernoulli               two levels: theta = logit P(x = 1), C channels

What training maximises is the log mass, but for the Gaussian of one fixed s: there it is the density
at the centre v of a bin, times the width of the bin, which is a squared error and a constant:

    log N(v; mu, s^2 I) + D log(2 / (L - 1)) = -|v - mu|^2 / (2 s^2) - D log(s (2 pi)^(1/2)) + D log(2 / (L - 1))

The two differ by the curvature within a bin, and in the outer bins, whose mass reaches to infinity.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.formulas.likelihood import (
    gaussian_log_density,
    gaussian_log_mass,
    location_and_scale,
    logistic_log_mass,
    sum_dims,
)
from genbench.formulas.pixels import to_pixels, to_real
from genbench.rng import Rng
from genbench.spec import Spec

__all__ = ["Bernoulli", "Gaussian", "Logistic", "PixelLaw", "pixel_law"]

Sigma = Literal["pixel", "one"] | float


class PixelLaw(nn.Module, ABC):
    """p(x|theta) of independent pixels.

    Args:
        spec: Shape (C, H, W) and levels L of the images.

    Attributes:
        channels: Channels of theta.
    """

    channels: int

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec

    @abstractmethod
    def log_mass(self, x: Tensor, theta: Tensor) -> Tensor:
        """log p(x|theta), (B,) nats.

        Args:
            x: Integers (B, C, H, W).
            theta: (B, channels, H, W).
        """

    def objective(self, x: Tensor, theta: Tensor) -> Tensor:
        """What training maximises, (B,) nats: the log mass, or an approximation of it."""
        return self.log_mass(x, theta)

    @abstractmethod
    def draw(self, theta: Tensor, rng: Rng) -> Tensor:
        """x ~ p(x|theta), one image per stream, integers (B, C, H, W)."""

    @abstractmethod
    def centre(self, theta: Tensor) -> Tensor:
        """The mean before rounding, rounded: integers (B, C, H, W)."""


class Bernoulli(PixelLaw):
    """Pixels of two levels."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.channels = spec.shape[0]

    def log_mass(self, x: Tensor, theta: Tensor) -> Tensor:
        return -sum_dims(
            F.binary_cross_entropy_with_logits(theta, x.to(theta.dtype), reduction="none")
        )

    def draw(self, theta: Tensor, rng: Rng) -> Tensor:
        u = rng.uniform(self.spec.shape)
        return (u < torch.sigmoid(theta)).to(self.spec.dtype)

    def centre(self, theta: Tensor) -> Tensor:
        return (theta > 0).to(self.spec.dtype)


class LocationScale(PixelLaw):
    """A mean and a scale of every pixel, on [-1, 1].

    Args:
        spec: Shape and levels of the images.
        sigma: Whose scale is one number: pixel, one, or the number itself.
    """

    def __init__(self, spec: Spec, sigma: Sigma = "pixel") -> None:
        super().__init__(spec)
        C = spec.shape[0]
        self.fixed: float | None = None
        self.log_s: nn.Parameter | None = None
        self.channels = 2 * C if sigma == "pixel" else C
        if sigma == "one":
            self.log_s = nn.Parameter(torch.zeros(()))
        elif not isinstance(sigma, str):
            self.fixed = math.log(sigma)

    def location_and_scale(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """theta -> mean and log scale, (B, C, H, W) each."""
        if self.fixed is not None:
            return theta, torch.full_like(theta, self.fixed)
        if self.log_s is not None:
            theta = torch.cat((theta, self.log_s.expand_as(theta)), dim=1)
        return location_and_scale(theta)

    def log_mass(self, x: Tensor, theta: Tensor) -> Tensor:
        return sum_dims(self.mass_of_bin(x, *self.location_and_scale(theta)))

    def draw(self, theta: Tensor, rng: Rng) -> Tensor:
        u = rng.uniform(self.spec.shape)
        mean, log_s = self.location_and_scale(theta)
        return to_pixels(mean + log_s.exp() * self.noise(u), self.spec.levels)

    def centre(self, theta: Tensor) -> Tensor:
        return to_pixels(self.location_and_scale(theta)[0], self.spec.levels)

    @abstractmethod
    def mass_of_bin(self, x: Tensor, mean: Tensor, log_s: Tensor) -> Tensor:
        """Log mass of the bin of pixel x, elementwise, nats."""

    @abstractmethod
    def noise(self, u: Tensor) -> Tensor:
        """Quantiles of the distribution of mean 0 and scale 1."""


class Logistic(LocationScale):
    """A logistic distribution, cut into bins."""

    def mass_of_bin(self, x: Tensor, mean: Tensor, log_s: Tensor) -> Tensor:
        return logistic_log_mass(x, self.spec.levels, mean, log_s)

    def noise(self, u: Tensor) -> Tensor:
        return torch.logit(u)


class Gaussian(LocationScale):
    """A Gaussian, cut into bins."""

    def mass_of_bin(self, x: Tensor, mean: Tensor, log_s: Tensor) -> Tensor:
        return gaussian_log_mass(x, self.spec.levels, mean, log_s)

    def noise(self, u: Tensor) -> Tensor:
        return math.sqrt(2) * torch.erfinv(2 * u - 1)

    def objective(self, x: Tensor, theta: Tensor) -> Tensor:
        if self.fixed is None:
            return self.log_mass(x, theta)
        v = to_real(x, self.spec.levels, theta.dtype)
        width = math.log(2 / (self.spec.levels - 1))
        return sum_dims(gaussian_log_density(v, *self.location_and_scale(theta)) + width)


def pixel_law(likelihood_model: str, sigma: Sigma, spec: Spec) -> PixelLaw:
    """The distribution of a name.

    Args:
        likelihood_model: logistic, gaussian or bernoulli.
        sigma: pixel, one or a number.
        spec: Shape and levels of the images.

    Raises:
        ValueError: There is none of that name, or it is not one of such images or scales.

    Examples:
        A decoder gives one number a pixel where the scale is fixed, and two where it is not:

        >>> spec = Spec((3, 8, 8), 256)
        >>> pixel_law("gaussian", 0.5, spec).channels, pixel_law("gaussian", "pixel", spec).channels
        (3, 6)
    """
    if likelihood_model not in ("logistic", "gaussian", "bernoulli"):
        raise ValueError(
            f"likelihood_model is 'logistic', 'gaussian' or 'bernoulli', not {likelihood_model!r}"
        )
    if isinstance(sigma, str) and sigma not in ("pixel", "one"):
        raise ValueError(f"sigma is 'pixel', 'one' or a number above 0, not {sigma!r}")
    if not isinstance(sigma, str) and not 0 < sigma < math.inf:
        raise ValueError(f"sigma is a finite number above 0, or 'pixel' or 'one', not {sigma}")
    if likelihood_model == "logistic":
        return Logistic(spec, sigma)
    if likelihood_model == "gaussian":
        return Gaussian(spec, sigma)
    if spec.levels != 2:
        raise ValueError(
            f"likelihood_model: bernoulli needs data of 2 levels, not {spec.levels}; use"
            " logistic or gaussian"
        )
    if sigma != "pixel":
        raise ValueError(f"sigma is 'pixel' where likelihood_model is bernoulli, not {sigma!r}")
    return Bernoulli(spec)
