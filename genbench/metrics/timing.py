"""Timed calls of a model's `sample`, whole or broken off after some network evaluations."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from genbench.model import GenerativeModel
from genbench.rng import Rng
from genbench.spec import Image, Labels

__all__ = ["Part", "Sampler", "Timing", "broken_off", "conditions", "streams"]


@dataclass(frozen=True)
class Part:
    """The part of a call that ends before a layer is called once more than `evaluations` times.

    Attributes:
        layer: The layer whose calls are counted.
        evaluations: Number of its calls in the part.
    """

    layer: nn.Module
    evaluations: int


@dataclass
class Timing:
    """Seconds of each counted call, or part of a call, at one batch size.

    Attributes:
        batch: Images of a call.
        part: The part of a call that is timed; None: the whole call.
        whole: Timings of one image, whole and by parts, from which the time of a whole call is
            extrapolated; None where whole calls are timed.
        seconds: Seconds of every counted call.
        peak_bytes: Peak memory of the CUDA allocator; 0 on other devices.
    """

    batch: int
    part: Part | None = None
    whole: tuple[Timing, Timing] | None = None
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return statistics.median(self.seconds)

    @property
    def images_per_second(self) -> float:
        """Images per second of whole calls."""
        if self.whole is None:
            return self.batch / self.median
        whole, part = self.whole
        return self.batch * (part.median / whole.median) / self.median


class _BrokenOffError(Exception):
    """Ends a call of `sample` from within."""


@dataclass(frozen=True)
class Sampler:
    """A model that is timed.

    Attributes:
        model: The model, on its device, in evaluation mode.
        device: Where it samples.
        options: Options of its `sample`.
    """

    model: GenerativeModel
    device: torch.device
    options: dict[str, Any]

    def time(self, timing: Timing) -> None:
        """Time one more call and count it.

        The streams are the same every time, so that adaptive samplers do the same work.

        Args:
            timing: Batch size and part; its seconds and its peak memory are extended.
        """
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._synchronise()
        start = time.perf_counter()
        y = conditions(self.model, timing.batch, self.device)
        with broken_off(timing.part):
            self.model.sample(streams(self.model, timing.batch, self.device), y, **self.options)
        self._synchronise()
        timing.seconds.append(time.perf_counter() - start)
        if self.device.type == "cuda":
            timing.peak_bytes = max(timing.peak_bytes, torch.cuda.max_memory_allocated(self.device))

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@contextmanager
def broken_off(part: Part | None) -> Iterator[None]:
    """Inside this context a call of `sample` ends with its part; None: it ends by itself."""
    if part is None:
        yield
        return
    left = part.evaluations

    def count(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal left
        if left == 0:
            raise _BrokenOffError
        left -= 1

    hook = part.layer.register_forward_pre_hook(count)
    try:
        with suppress(_BrokenOffError):
            yield
    finally:
        hook.remove()


def streams(model: GenerativeModel, images: int, device: torch.device | str) -> Rng:
    """One stream for each image, on the model's device and in its precision."""
    assert isinstance(model.dtype, torch.dtype)
    return Rng(0, range(images), model.dtype, device)


def conditions(model: GenerativeModel, images: int, device: torch.device | str) -> Tensor | None:
    """One y per image for a model of p(x | y): every class in turn, int64 (B,), or noise as an
    image or a text; None for a model of p(x).
    """
    kind = model.conditioned_on
    if kind is None:
        return None
    if isinstance(kind, Labels):
        return torch.arange(images, device=device) % kind.classes
    noise = Rng(0, range(images), device=device).split("y")
    if isinstance(kind, Image):
        return noise.integers(kind.levels, kind.shape).to(kind.dtype)
    return noise.integers(kind.vocabulary, (kind.length,))
