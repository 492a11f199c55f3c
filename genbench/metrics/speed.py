"""Sampling speed of a model, apart from its quality, on one device.

    images/s        n / median seconds of sample(n streams), at the batch size n where that is largest
    latency         median seconds of sample(1 stream)
    evaluations     sequential network evaluations per sample: the largest number of times that one layer (a module that owns
                    parameters itself) is called while one image is made
    peak memory     cuda: of the allocator, at the best batch size; cpu: resident set of the process, libraries included,
                    while it is measured

First the batch grows, as long as images/s grow and the next size is sure to fit the time. The time
left is spent on repeats, of the best size and of single images in turn.

Where whole calls of the next size would take most of the time, the batch grows on by parts of
calls: each is broken off after n of its N network evaluations. What they find best is timed whole,
if that fits. With t_b(n) the seconds of a part of b images,

    seconds of a whole call  =  t_b(n) t_1(N) / t_1(n)

which is right where the first n evaluations take the same share of a call at any batch size.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from genbench.metrics.device import device_name, reset_peak, resident_bytes
from genbench.metrics.timing import Part, Sampler, Timing, conditions, streams
from genbench.model import GenerativeModel

__all__ = ["busiest_layer", "count_evaluations", "device_name", "measure_speed"]

_BATCHES = (1, 4, 16, 64, 256, 1024)
# The median is taken over this many counted calls, where the time allows them.
_REPEATS = 7
# A part of a call has about a 32nd of the network evaluations of the call.
_PARTS = 32
# Where parts of calls can be timed as well, a whole call of a larger batch is made only if the time
# left is enough for this many.
_CAUTION = 3


def measure_speed(
    model: GenerativeModel,
    device: torch.device | str,
    options: Mapping[str, Any] | None = None,
    budget_seconds: float = 10.0,
) -> dict[str, Any]:
    """Measure the sampling speed of a model.

    The model is moved to the device. Its weights and its mode are left as they were.

    Args:
        model: The model that samples.
        device: Where it samples.
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
    sampler = Sampler(model.to(device), device, dict(options or {}))
    reset_peak()
    with evaluating(model), torch.no_grad():
        layer, evaluations = busiest_layer(model, device, sampler.options)
        divisible = layer is not None and evaluations > 1
        growth = grow(sampler, deadline, caution=_CAUTION if divisible else 1)
        latency = growth.latency
        if growth.late and divisible:
            assert layer is not None
            # Two images were made before the batch could grow. Where they took more than half of
            # the budget, parts of calls get half of the budget in addition.
            deadline = max(deadline, deadline - budget_seconds / 2 + 2 * latency.median)
            part = Part(layer, max(1, evaluations // _PARTS))
            single = Timing(1, part)
            # The part's share of a call is not known yet. It is taken to be four times the share of
            # the evaluations, because the first evaluations may take longer than the others.
            share = min(1.0, 4 * part.evaluations / evaluations)
            best = grow_by_parts(sampler, growth, single, share, deadline)
        else:
            best = growth.best
        timings = [best]
        if best is not latency:
            timings.append(latency)
        if best.part is not None:
            timings.append(single)
        repeat(sampler, timings, deadline)
    evaluations_timed = None if best.part is None else best.part.evaluations
    peak_bytes = resident_bytes()
    peak_of = "process"
    if device.type == "cuda":
        peak_bytes = best.peak_bytes
        peak_of = "cuda allocator"
    return {
        "images_per_second": best.images_per_second,
        "batch": best.batch,
        "repeats": len(best.seconds),
        "evaluations_timed": evaluations_timed,
        "latency_seconds": statistics.median(latency.seconds),
        "latency_repeats": len(latency.seconds),
        "network_evaluations": evaluations,
        "peak_memory_bytes": peak_bytes,
        "peak_memory_of": peak_of,
        "device": device_name(device),
    }


def count_evaluations(
    model: GenerativeModel, device: torch.device | str, options: Mapping[str, Any]
) -> int:
    """Count the sequential network evaluations of a sample.

    Args:
        model: The model that samples.
        device: Where it samples.
        options: Options of `model.sample`.

    Returns:
        Calls of the busiest layer while one image is made; 0 where sampling calls no layer.
    """
    return busiest_layer(model, device, options)[1]


def busiest_layer(
    model: GenerativeModel, device: torch.device | str, options: Mapping[str, Any]
) -> tuple[nn.Module | None, int]:
    """Find the layer that is called most often while one image is made.

    Args:
        model: The model that samples.
        device: Where it samples.
        options: Options of `model.sample`.

    Returns:
        The layer and the number of its calls; None and 0 where sampling calls no layer.
    """
    calls: Counter[nn.Module] = Counter()

    def count(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        calls[layer] += 1

    layers = [m for m in model.modules() if next(m.parameters(recurse=False), None) is not None]
    hooks = [layer.register_forward_pre_hook(count) for layer in layers]
    try:
        model.sample(streams(model, 1, device), conditions(model, 1, device), **options)
    finally:
        for hook in hooks:
            hook.remove()
    if calls:
        return calls.most_common(1)[0]
    return (None, 0)


class Growth(NamedTuple):
    """How far the batch has grown by whole calls.

    Attributes:
        latency: Timing of one image.
        best: Timing of the best batch size.
        late: Whether the growth ended because the time was short, and for no other reason.
    """

    latency: Timing
    best: Timing
    late: bool


def grow(sampler: Sampler, deadline: float, caution: int) -> Growth:
    """Time whole calls of growing batches.

    Args:
        sampler: The model; it has made one image already, as a warm-up.
        deadline: When the time is up, in seconds of `time.perf_counter`.
        caution: Number of calls of the next size that must fit the time that is left.
    """
    latency = time_warm(sampler, Timing(1), deadline)
    best = latency
    for batch in _BATCHES[1:]:
        # In the worst case, the time is proportional to the batch size.
        if time.perf_counter() + caution * batch / best.images_per_second > deadline:
            return Growth(latency, best, late=True)
        try:
            timing = time_warm(sampler, Timing(batch), deadline)
        except torch.OutOfMemoryError:
            break
        # Other work on the machine can make one call slower, so that only a clear fall ends the
        # growth.
        if timing.images_per_second < 0.7 * best.images_per_second:
            break
        best = max(best, timing, key=lambda t: t.images_per_second)
    return Growth(latency, best, late=False)


def grow_by_parts(
    sampler: Sampler, growth: Growth, single: Timing, share: float, deadline: float
) -> Timing:
    """Time parts of calls of growing batches, from where whole calls became too long.

    Args:
        sampler: The model.
        growth: What whole calls have found.
        single: One image by parts, not timed yet.
        share: The part's share of a call, roughly.
        deadline: When the time is up, in seconds of `time.perf_counter`.

    Returns:
        Timing of the best batch size: of whole calls, if one fits the time after all.
    """
    if time.perf_counter() + share * growth.latency.median > deadline:
        return growth.best
    best = growth.best
    last = time_warm(sampler, single, deadline)
    for batch in (size for size in _BATCHES if size > growth.best.batch):
        if time.perf_counter() + last.median * batch / last.batch > deadline:
            break
        try:
            last = time_warm(
                sampler, Timing(batch, single.part, (growth.latency, single)), deadline
            )
        except torch.OutOfMemoryError:
            break
        if last.images_per_second < 0.7 * best.images_per_second:
            break
        best = max(best, last, key=lambda t: t.images_per_second)
    # Parts of calls have found the best batch size. If there is still time for a whole call of this
    # size, the whole call is timed instead.
    if (
        best.part is not None
        and time.perf_counter() + 1.2 * best.batch / best.images_per_second <= deadline
    ):
        best = Timing(best.batch)
        sampler.time(best)
    return best


def time_warm(sampler: Sampler, timing: Timing, deadline: float) -> Timing:
    """Time one call; if plenty of time is left, count a second one in its place.

    The first call is the warm-up then.
    """
    sampler.time(timing)
    if time.perf_counter() + 10 * timing.seconds[0] <= deadline:
        sampler.time(timing)
        del timing.seconds[0]
    return timing


def repeat(sampler: Sampler, timings: list[Timing], deadline: float) -> None:
    """Repeat every timing in turn, until there are enough or the next would be late."""
    for _ in range(_REPEATS):
        for timing in timings:
            in_time = time.perf_counter() + max(timing.seconds) <= deadline
            if len(timing.seconds) < _REPEATS and in_time:
                sampler.time(timing)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside this context a model is in evaluation mode."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
