"""What a demonstration returns, and the two kinds of numbers in it.

exact      rounding is the only error, or that of a quadrature that has converged
average    the mean of independent draws, whose standard error is known: four of them are allowed, which
           one mean in 16,000 exceeds
"""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from genbench.records.demonstration import CheckedValue

__all__ = ["Demonstration", "average", "exact"]

# A mean of draws may differ from its expectation by this many standard errors.
_STANDARD_ERRORS = 4
# Sums of a few thousand terms in float64 are exact up to about this error.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Demonstration:
    """A statement with a figure and with numbers that have to agree with their closed forms.

    Attributes:
        title: What is shown, in a few words.
        formula: The formula, as plain text of one or more lines.
        sentence: What is seen in the figure and in the numbers.
        values: The numbers, at least one.
        figure: The figure, in the style of `genbench.demos.drawing`.
    """

    title: str
    formula: str
    sentence: str
    values: tuple[CheckedValue, ...]
    figure: Figure

    @property
    def passed(self) -> bool:
        """Whether every number agrees."""
        return all(value.passed for value in self.values)


def exact(
    quantity: str, value: float | Tensor, expected: float | Tensor, tolerance: float = _ROUNDING
) -> CheckedValue:
    """A number whose only error is rounding, or an error that is known to be below a tolerance.

    Args:
        quantity: What was computed.
        value: The number.
        expected: Its closed form.
        tolerance: Largest difference.

    Examples:
        >>> exact("a third", 1 / 3, 0.333, tolerance=1e-3).passed
        True
    """
    return CheckedValue(quantity, _number(value), _number(expected), tolerance)


def average(quantity: str, draws: Tensor, expected: float | Tensor) -> CheckedValue:
    """The mean of independent draws; four standard errors are allowed.

    Args:
        quantity: What the mean is.
        draws: (N,).
        expected: The expectation of a draw.

    Examples:
        >>> import torch
        >>> average("a half", torch.tensor([0.0, 1.0, 0.0, 1.0]), 0.5).value
        0.5
    """
    draws = draws.detach().double()
    error = draws.std() / len(draws) ** 0.5
    tolerance = _STANDARD_ERRORS * float(error)
    return CheckedValue(quantity, float(draws.mean()), _number(expected), tolerance)


def _number(value: float | Tensor) -> float:
    """A tensor of one entry as a float."""
    if isinstance(value, Tensor):
        return float(value.detach())
    return float(value)
