"""What the metrics of samples are computed from, gathered once for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from genbench.errors import InputError
from genbench.metrics.finite import require_finite
from genbench.metrics.resampling import Estimate, half_sample_error
from genbench.rng import Rng

__all__ = ["Encoded", "Features", "Samples"]

T = TypeVar("T")


class Features(NamedTuple):
    """What an extractor sees in N images: features (N, F) and logits (N, K), row i for image i."""

    features: Tensor
    logits: Tensor


class Encoded(NamedTuple):
    """Images of a split, integers (N, C, H, W), their labels, int64 (N,), and codes, float64 (N, d)."""

    x: Tensor
    y: Tensor
    z: Tensor


@dataclass(frozen=True, eq=False)
class Samples:
    """Generated images and what they are compared with. What no metric asks for may be None.

    Attributes:
        rng: What the errors draw: one stream per draw of random halves.
        generated: Features of the n generated images, in index order.
        reference: Features of the m reference images.
        moments: Mean (F,) and covariance (F, F) of the reference features, where the reference
            images themselves are not known.
        labels: Class of each reference image, int64 (m,).
        training: Features of the training images, (N, F).
        images: Generated images, integers (n, C, H, W).
        reference_images: Reference images, integers (m, C, H, W).
        truth: The image that each generated one is to be compared with, where both were given one
            y, integers (n, C, H, W).
        reconstructions: decode(encode(x)) of each reference image x, where the model has both,
            integers (m, C, H, W).
        levels: Number of values of a pixel.
        components: The true distribution as weighted components w_k p_k, (K, L, L).
        log_table: log q of every possible image, in the order of the components' cells.
        log_scores: log q of the first reference images, (s,) float64, nats.
        log_joint: log q(x, y) of the first reference images and every class y, (s, K) float64, nats.
        encoded: The training, validation and test images with their codes, under these names.
        known_log_prob: log p of images under the true distribution, in nats.
        encodings: E[z | x] of the reference images, (m, d).
        divergences: KL(q(z|x) || p(z)) of the reference images, (m,) nats.
    """

    rng: Rng
    generated: Features | None = None
    reference: Features | None = None
    moments: tuple[Tensor, Tensor] | None = None
    labels: Tensor | None = None
    training: Tensor | None = None
    images: Tensor | None = None
    reference_images: Tensor | None = None
    truth: Tensor | None = None
    reconstructions: Tensor | None = None
    levels: int | None = None
    components: np.ndarray | None = None
    log_table: np.ndarray | None = None
    log_scores: Tensor | None = None
    log_joint: Tensor | None = None
    encoded: dict[str, Encoded] | None = None
    known_log_prob: Callable[[Tensor], Tensor | None] | None = None
    encodings: Tensor | None = None
    divergences: Tensor | None = None
    results: dict[Callable[[Samples], Any], Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.generated is not None:
            require_finite(self.generated.features, "generated image")
        if self.reference is not None:
            require_finite(self.reference.features, "reference image")

    @property
    def x(self) -> Tensor:
        """Features of the generated images, (n, F)."""
        return present(self.generated, "the features of the generated images").features

    @property
    def r(self) -> Tensor:
        """Features of the reference images, (m, F)."""
        return present(self.reference, "the features of the reference images").features

    def once(self, compute: Callable[[Samples], T]) -> T:
        """`compute(self)`, which several metrics share and which is computed at the first call."""
        if compute not in self.results:
            self.results[compute] = compute(self)
        result: T = self.results[compute]
        return result

    def estimate(self, statistic: Callable[[Tensor, Tensor], float], least: int) -> Estimate:
        """A statistic of the generated and the reference images, with its error by random halves.

        Args:
            statistic: A function of two masks, bool (n,) and bool (m,): which images count.
            least: Images of each set that the statistic needs.
        """
        whole = [torch.ones(len(rows), dtype=torch.bool, device=rows.device) for rows in self.sets]
        sizes = [len(rows) for rows in self.sets]
        rng = self.rng.to(self.x.device)
        return statistic(*whole), half_sample_error(statistic, sizes, rng, least)

    @property
    def sets(self) -> tuple[Tensor, Tensor]:
        """Features of the generated and of the reference images."""
        return self.x, self.r


def present(value: T | None, what: str, metric: str = "a metric") -> T:
    """A value that a metric needs.

    Raises:
        InputError: The value is None.
    """
    if value is None:
        raise InputError(f"{metric} needs {what}")
    return value
