r"""The interval of a difference between two rows, which decides what a table calls best and what
`compare` calls better.

    effect     d = m_A - m_B, the difference of the means over training seeds
    interval   d -+ t sqrt(v_A + v_B),  v = s^2 / n for each row, at 95 % by Student's t with
               nu = (v_A + v_B)^2 / (v_A^2/(n_A - 1) + v_B^2/(n_B - 1)) degrees of freedom (Welch 1947)
    paired     two samplers of one set of weights: over the differences d_s of each seed,
               d -+ t s_d / sqrt(n),  nu = n - 1

One seed has no spread: there is no interval. There is no interval either where both samples are
constant (8, 8, 8 and 7, 7, 7), or where all pairs differ by the same amount: a few equal values do
not show that the spread is zero.

References:
    Welch (1947), The generalization of Student's problem when several different population
    variances are involved. doi:10.1093/biomet/34.1-2.28
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance

__all__ = ["CONFIDENCE", "Interval", "is_constant", "paired", "welch"]

CONFIDENCE = 0.95
# A standard deviation below this share of the largest value is rounding: equal differences of
# shares k/n differ in the last bit.
ROUNDING = 1e-12
Interval = tuple[float, float]


def welch(a: Sequence[float], b: Sequence[float]) -> Interval | None:
    """95 % Welch interval of mean(a) - mean(b) for independent seeds.

    Args:
        a: Values of the first row, one per seed.
        b: Values of the second row.

    Returns:
        Both ends; None if either sample has fewer than two values, or neither has a spread.
    """
    if min(len(a), len(b)) < 2:
        return None
    effect = fmean(a) - fmean(b)
    if all(is_constant(values, values) for values in (a, b)):
        return None
    parts = [variance(values) / len(values) for values in (a, b)]
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (a, b))
    )
    return student_interval(effect, math.sqrt(sum(parts)), freedom)


def paired(a: Sequence[float], b: Sequence[float]) -> Interval | None:
    """95 % interval of mean(a) - mean(b) for paired seeds.

    Args:
        a: Values of the first sampler, one per seed.
        b: Values of the second sampler, each from the same weights as the value of `a` beside it.

    Returns:
        Both ends; None for one seed, or where all pairs differ by the same amount.
    """
    if len(a) < 2:
        return None
    differences = [x - y for x, y in zip(a, b, strict=True)]
    if is_constant(differences, [*a, *b]):
        return None
    error = math.sqrt(variance(differences) / len(a))
    return student_interval(fmean(differences), error, freedom=len(a) - 1)


def is_constant(values: Sequence[float], operands: Sequence[float]) -> bool:
    """Whether values are equal up to the rounding of the operands that they were computed from."""
    scale = max(abs(operand) for operand in operands)
    return math.sqrt(variance(values)) <= ROUNDING * scale


def student_interval(effect: float, error: float, freedom: float) -> Interval:
    """The 95 % interval around an effect, by Student's t.

    Args:
        effect: Estimated difference.
        error: Standard error of the estimate.
        freedom: Degrees of freedom.
    """
    from scipy.special import stdtrit

    reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return effect - reach, effect + reach
