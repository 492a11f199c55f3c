"""Numbers of verdicts as texts, in tables and on the slide."""

from __future__ import annotations

from genbench.leaderboard.intervals import Interval

__all__ = ["interval_words", "number_text"]


def number_text(value: float, digits: int = 3) -> str:
    """A number to some significant digits, with a minus sign that is as wide as a plus.

    Args:
        value: The number.
        digits: Significant digits, at most 3.

    Examples:
        >>> number_text(-1234.5), number_text(0.01234), number_text(2.0), number_text(0.01234, 2)
        ('−1,230', '0.0123', '2', '0.012')
    """
    rounded = float(f"{value:.{digits}g}")
    text = f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:.{digits}g}"
    return text.replace("-", "−")


def interval_words(interval: Interval) -> str:
    """An interval in brackets."""
    low, high = interval
    return f"[{number_text(low)}, {number_text(high)}]"
