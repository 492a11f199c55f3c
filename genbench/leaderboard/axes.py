"""Axes of a plot: their ends, and where their ticks stand.

A logarithmic axis takes x to (log x - log low) / (log high - log low).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from genbench.leaderboard.summary import Summary

__all__ = ["Axis", "linear_ticks", "log_ticks", "make_axis"]


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        title: What stands beside it.
        low: Value at its lower end.
        high: Value at its upper end.
        log: Whether it is logarithmic.
        ticks: Value and text of each tick.
    """

    title: str
    low: float
    high: float
    log: bool
    ticks: tuple[tuple[float, str], ...]

    def at(self, value: float) -> float:
        """Position of a value from 0 (low) to 1 (high). Values outside are moved to the ends."""
        low, high = self.low, self.high
        if self.log:
            if value <= 0:
                return 0.0
            value, low, high = (math.log(number) for number in (value, low, high))
        return min(1.0, max(0.0, (value - low) / (high - low)))


def make_axis(summaries: Sequence[Summary], title: str, log: bool | None) -> Axis:
    """An axis that holds every mean with its error bar.

    Args:
        summaries: The quantities, each over training seeds.
        title: What stands beside the axis.
        log: Whether it is logarithmic; None: only if positive means span more than a decade.
    """
    means = [summary.mean for summary in summaries]
    if log is None:
        log = min(means) > 0 and max(means) > 10 * min(means)
    low = min(summary.mean - (summary.sd or 0) for summary in summaries)
    high = max(summary.mean + (summary.sd or 0) for summary in summaries)
    if log:
        # An error bar that reaches zero would have no end on a logarithmic axis.
        low = max(low, min(means) / 2)
        pad = max(0.12 * math.log10(high / low), 0.15)
        low = low / 10**pad
        high = high * 10**pad
        return Axis(title, low, high, True, log_ticks(low, high))
    pad = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
    low = low - pad
    high = high + pad
    return Axis(title, low, high, False, linear_ticks(low, high))


def linear_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """At most eight ticks at multiples of 1, 2, 2.5 or 5 times a power of ten.

    Args:
        low: Lower end of the axis.
        high: Upper end.

    Returns:
        Value and text of each tick.
    """
    raw = (high - low) / 7
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    decimals = max(0, -math.floor(math.log10(step)) + (step / power == 2.5))
    count = range(math.ceil(low / step), math.floor(high / step) + 1)
    return tuple((i * step, f"{i * step:,.{decimals}f}") for i in count)


def log_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """Ticks at 1, 2 and 5 times the powers of ten; at the powers alone over three decades or more.

    Args:
        low: Lower end of the axis, positive.
        high: Upper end.

    Returns:
        Value and text of each tick.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    multiples = (1, 2, 5) if high / low < 1000 else (1,)
    values = [float(f"{m}e{decade}") for decade in decades for m in multiples]
    return tuple((value, tick_text(value)) for value in values if low <= value <= high)


def tick_text(value: float) -> str:
    """A power of ten, or a small multiple of one, as text.

    Examples:
        >>> [tick_text(value) for value in (0.05, 2000.0, 50_000.0, 1e6)]
        ['0.05', '2,000', '50k', '1M']
    """
    if value >= 1_000_000:
        return f"{value / 1_000_000:,.0f}M"
    if value >= 10_000:
        return f"{value / 1000:.0f}k"
    if value >= 1:
        return f"{value:,.0f}"
    return f"{value:g}"
