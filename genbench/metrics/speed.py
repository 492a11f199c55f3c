"""Sampling speed of a model, apart from its quality, on one device.

    images/s        n / median seconds of sample(n streams), at the batch size n where that is largest
    latency         median seconds of sample(1 stream)
    evaluations     sequential network evaluations per sample: the largest number of times that one layer (a module that owns
                    parameters itself) is called while one image is made
    peak memory     cuda: of the allocator, at the best batch size; cpu: resident set of the process, libraries included,
                    while it is measured

First the batch grows while images/s do and the next size is sure to fit the time; then the time
left goes to repeats, of the best size and of single images in turn.

Where whole calls of the next size would take most of the time, the batch grows on by parts of
calls: each is broken off after n of its N network evaluations. What they find best is timed whole,
if that fits. With t_b(n) the seconds of a part of b images,

    seconds of a whole call  =  t_b(n) t_1(N) / t_1(n)

which is right where the first n evaluations take the same share of a call at any batch size.
"""

from __future__ import annotations

import platform
import resource
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from genbench.model import GenerativeModel
from genbench.rng import Rng

__all__ = ["busiest_layer", "count_evaluations", "device_name", "measure_speed"]

_BATCHES = (1, 4, 16, 64, 256, 1024)
_REPEATS = 7
# a part of a call is about one of so many
_PARTS = 32
# whole calls that must fit, before one of a larger batch is made where parts would do
_CAUTION = 3


def measure_speed(
    model: GenerativeModel,
    device: torch.device | str,
    options: Mapping[str, Any] | None = None,
    budget_seconds: float = 10.0,
) -> dict[str, Any]:
    """Sampling speed of a model. Moves the model to the device; leaves its weights and its mode as
    they were.

    Args:
        model: What samples.
        device: Where.
        options: Options of `model.sample`.
        budget_seconds: Time that the measurement may take. Two single images are made, however long
            they take; where they leave less than half of it, parts of calls have another half.

    Returns:
        images_per_second, batch (where that is best), repeats (behind its median),
        evaluations_timed (n, or None where whole calls were timed), latency_seconds,
        latency_repeats, network_evaluations, peak_memory_bytes, peak_memory_of ("cuda allocator" or
        "process"), device.
    """
    device = torch.device(device)
    deadline = time.perf_counter() + budget_seconds
    sampler = _Sampler(model.to(device), device, dict(options or {}))
    _forget_peak()
    with _evaluating(model), torch.no_grad():
        layer, evaluations = busiest_layer(model, device, sampler.options)
        divisible = layer is not None and evaluations > 1
        growth = _grow(sampler, deadline, caution=_CAUTION if divisible else 1)
        latency = growth.latency
        if growth.late and divisible:
            assert layer is not None
            # two images were made before the batch could grow
            deadline = max(deadline, deadline - budget_seconds / 2 + 2 * latency.median)
            part = _Part(layer, max(1, evaluations // _PARTS))
            single = _Timing(1, part)
            # before it is known: the first evaluations may take longer than the others
            share = min(1.0, 4 * part.evaluations / evaluations)
            best = _grow_by_parts(sampler, growth, single, share, deadline)
        else:
            best = growth.best
        timings = [best]
        if best is not latency:
            timings.append(latency)
        if best.part is not None:
            timings.append(single)
        _repeat(sampler, timings, deadline)
    return {
        "images_per_second": best.images_per_second,
        "batch": best.batch,
        "repeats": len(best.seconds),
        "evaluations_timed": None if best.part is None else best.part.evaluations,
        "latency_seconds": statistics.median(latency.seconds),
        "latency_repeats": len(latency.seconds),
        "network_evaluations": evaluations,
        "peak_memory_bytes": best.peak_bytes if device.type == "cuda" else _resident_bytes(),
        "peak_memory_of": "cuda allocator" if device.type == "cuda" else "process",
        "device": device_name(device),
    }


def count_evaluations(
    model: GenerativeModel, device: torch.device | str, options: Mapping[str, Any]
) -> int:
    """Calls of the busiest layer while one image is made; 0 where sampling calls no layer."""
    return busiest_layer(model, device, options)[1]


def busiest_layer(
    model: GenerativeModel, device: torch.device | str, options: Mapping[str, Any]
) -> tuple[nn.Module | None, int]:
    """The layer that is called most often while one image is made, and how often; None and 0 where
    sampling calls no layer.
    """
    calls: Counter[nn.Module] = Counter()
    layers = [m for m in model.modules() if next(m.parameters(recurse=False), None) is not None]
    hooks = [
        layer.register_forward_pre_hook(lambda layer, _: calls.update([layer])) for layer in layers
    ]
    try:
        model.sample(_streams(model, 1, device), _labels(model, 1, device), **options)
    finally:
        for hook in hooks:
            hook.remove()
    if calls:
        return calls.most_common(1)[0]
    return (None, 0)


def device_name(device: torch.device | str) -> str:
    """Of a GPU its name, of a CPU its model and the number of threads in use."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_cpu_name()}, {threads} thread{'s' if threads > 1 else ''}"


@dataclass(frozen=True)
class _Part:
    """The part of a call that ends before a layer is called once more than `evaluations` times."""

    layer: nn.Module
    evaluations: int


@dataclass
class _Timing:
    """Seconds of each counted call, or part of one, at a batch size.

    Attributes:
        batch: Images of a call.
        part: What is timed of a call; None: all of it.
        whole: One image, timed whole and by parts: what a part is extrapolated by.
    """

    batch: int
    part: _Part | None = None
    whole: tuple[_Timing, _Timing] | None = None
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def images_per_second(self) -> float:
        """Of whole calls."""
        share = 1.0 if self.whole is None else self.whole[1].median / self.whole[0].median
        return self.batch * share / self.median


class _Growth(NamedTuple):
    """Timings of one image and of the best batch size, and whether the time, and nothing else,
    ended the growth.
    """

    latency: _Timing
    best: _Timing
    late: bool


class _BrokenOffError(Exception):
    """Ends a call of `sample` from within."""


@dataclass(frozen=True)
class _Sampler:
    model: GenerativeModel
    device: torch.device
    options: dict[str, Any]

    def time(self, timing: _Timing) -> None:
        """One more call, counted.

        The same streams every time, so that adaptive samplers do the same work.
        """
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._synchronise()
        start = time.perf_counter()
        y = _labels(self.model, timing.batch, self.device)
        with _broken_off(timing.part):
            self.model.sample(_streams(self.model, timing.batch, self.device), y, **self.options)
        self._synchronise()
        timing.seconds.append(time.perf_counter() - start)
        if self.device.type == "cuda":
            timing.peak_bytes = max(timing.peak_bytes, torch.cuda.max_memory_allocated(self.device))

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@contextmanager
def _broken_off(part: _Part | None) -> Iterator[None]:
    """Within it, a call of `sample` ends where its part does; None: where it ends by itself."""
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


def _grow(sampler: _Sampler, deadline: float, caution: int) -> _Growth:
    """Whole calls, while `caution` of the next size fit.

    The caller has made one image already, as a warm-up.
    """
    latency = best = _first(sampler, _Timing(1), deadline)
    for batch in _BATCHES[1:]:
        # at worst the time is proportional to the batch
        if time.perf_counter() + caution * batch / best.images_per_second > deadline:
            return _Growth(latency, best, late=True)
        try:
            timing = _first(sampler, _Timing(batch), deadline)
        except torch.OutOfMemoryError:
            break
        # other work on the machine can slow one call: only a clear fall is the end
        if timing.images_per_second < 0.7 * best.images_per_second:
            break
        best = max(best, timing, key=lambda t: t.images_per_second)
    return _Growth(latency, best, late=False)


def _grow_by_parts(
    sampler: _Sampler, growth: _Growth, single: _Timing, share: float, deadline: float
) -> _Timing:
    """Timing of the best batch size, from where whole calls became too long. `single`: one image,
    by parts, not timed yet; about how much of a call they are is `share`.
    """
    if time.perf_counter() + share * growth.latency.median > deadline:
        return growth.best
    best = growth.best
    last = _first(sampler, single, deadline)
    for batch in (size for size in _BATCHES if size > growth.best.batch):
        if time.perf_counter() + last.median * batch / last.batch > deadline:
            break
        try:
            last = _first(sampler, _Timing(batch, single.part, (growth.latency, single)), deadline)
        except torch.OutOfMemoryError:
            break
        if last.images_per_second < 0.7 * best.images_per_second:
            break
        best = max(best, last, key=lambda t: t.images_per_second)
    # parts have found the batch: where a whole call of it fits after all, that is what counts
    if (
        best.part is not None
        and time.perf_counter() + 1.2 * best.batch / best.images_per_second <= deadline
    ):
        best = _Timing(best.batch)
        sampler.time(best)
    return best


def _first(sampler: _Sampler, timing: _Timing, deadline: float) -> _Timing:
    """One counted call; where that leaves time in plenty, it was the warm-up and the second one
    counts.
    """
    sampler.time(timing)
    if time.perf_counter() + 10 * timing.seconds[0] <= deadline:
        sampler.time(timing)
        del timing.seconds[0]
    return timing


def _repeat(sampler: _Sampler, timings: list[_Timing], deadline: float) -> None:
    """Repeats of each timing in turn, until there are enough or the next would be late."""
    for _ in range(_REPEATS):
        for timing in timings:
            if (
                len(timing.seconds) < _REPEATS
                and time.perf_counter() + max(timing.seconds) <= deadline
            ):
                sampler.time(timing)


def _streams(model: GenerativeModel, images: int, device: torch.device | str) -> Rng:
    assert isinstance(model.dtype, torch.dtype)
    return Rng(0, range(images), model.dtype, device)


def _labels(model: GenerativeModel, images: int, device: torch.device | str) -> Tensor | None:
    """Every class in turn, where the model is one of p(x | y)."""
    if model.conditional:
        return torch.arange(images, device=device) % model.classes
    return None


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _forget_peak() -> None:
    """Let the kernel's high-water mark of this process begin anew, where that is possible (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _resident_bytes() -> int:
    """High-water mark of the resident set, since `_forget_peak` where that is possible, else since
    the process began.
    """
    with suppress(OSError, StopIteration):
        status = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])
    # kilobytes on Linux, bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    if names:
        return names[0]
    return platform.processor() or platform.machine()
