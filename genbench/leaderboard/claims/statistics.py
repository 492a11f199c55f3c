r"""p values of a difference between two rows, and their correction over a page of claims.

For independent seeds, d = m_A - m_B with v = s^2 / n of each row,

    t = d / sqrt(v_A + v_B),    nu = n_min - 1 + (nu_W - (n_min - 1)) / 4

where nu_W are Welch's degrees of freedom (`genbench.leaderboard.intervals`) and n_min the smaller
number of seeds. A page of claims asks for p below about 0.001, far out in the tail, where Welch's
own rule calls up to four times too much with three seeds of unequal spread, while n_min - 1 is
exact only where one spread is negligible. A quarter of the way between keeps within 1.25 of what it
promises at every ratio of spreads (`benchmarks/claims.py`).

Spreads are compared by F of two variances with a smaller number of degrees of freedom,

    F = s_A^2 / s_B^2,   (n - 1) / 2.5 each

which are right for values with the kurtosis of a Laplace distribution (Box 1953). The plain F test
takes heavy tails for a larger spread.

References:
    Holm (1979), A simple sequentially rejective multiple test procedure. Scand. J. Statist. 6
    Box (1953), Non-normality and tests on variances. doi:10.1093/biomet/40.3-4.318
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from genbench.leaderboard.intervals import is_constant

__all__ = [
    "ERROR_RATE",
    "PValues",
    "compare_independent",
    "compare_paired",
    "compare_spreads",
    "holm",
]

# If no claim is true or false, a page resolves a claim with at most this probability (the
# family-wise error rate).
ERROR_RATE = 0.05

# The degrees of freedom lie at this share of the way from n - 1 to Welch's.
WELCH_SHARE = 0.25

# This is 1 + kurtosis / 2 for an excess kurtosis of 3, which a Laplace distribution has.
KURTOSIS_FACTOR = 2.5


@dataclass(frozen=True)
class PValues:
    """Two one-sided p values of one effect.

    Attributes:
        above: Against the hypothesis that the true effect is at most zero.
        below: Against the hypothesis that the true effect is at least zero.
    """

    above: float
    below: float


NOTHING = PValues(1.0, 1.0)


def compare_independent(a: Sequence[float], b: Sequence[float], beyond: float = 0.0) -> PValues:
    """p values of mean(a) - mean(b) for independent seeds.

    Args:
        a: Values of the first row, one per seed.
        b: Values of the second row.
        beyond: The true difference must exceed this for `above`, and be negative for `below`.

    Returns:
        Both p values; 1 where a row has fewer than two values, or neither has a spread.
    """
    if min(len(a), len(b)) < 2 or all(is_constant(values, values) for values in (a, b)):
        return NOTHING
    parts = [variance(values) / len(values) for values in (a, b)]
    welch = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (a, b))
    )
    smallest = min(len(a), len(b)) - 1
    freedom = smallest + WELCH_SHARE * (welch - smallest)
    return student(fmean(a) - fmean(b), math.sqrt(sum(parts)), freedom, beyond)


def compare_paired(a: Sequence[float], b: Sequence[float], beyond: float = 0.0) -> PValues:
    """p values of mean(a) - mean(b) for two measurements of the same runs.

    Args:
        a: First measurement, one per seed.
        b: Second measurement of the same seeds.
        beyond: As of `compare_independent`.

    Returns:
        Both p values; 1 for one seed, or where all pairs differ by the same amount.
    """
    differences = [x - y for x, y in zip(a, b, strict=True)]
    if len(a) < 2 or is_constant(differences, [*a, *b]):
        return NOTHING
    error = math.sqrt(variance(differences) / len(a))
    return student(fmean(differences), error, len(a) - 1, beyond)


def student(effect: float, error: float, freedom: float, beyond: float) -> PValues:
    """p values of an effect by Student's t.

    Args:
        effect: Estimated difference.
        error: Its standard error.
        freedom: Degrees of freedom.
        beyond: What the effect must exceed for `above`.
    """
    from scipy.special import stdtr

    above = float(stdtr(freedom, (beyond - effect) / error))
    below = float(stdtr(freedom, effect / error))
    return PValues(above, below)


def compare_spreads(a: Sequence[float], b: Sequence[float]) -> PValues:
    """p values of the ratio of the variances of two samples, against a ratio of one.

    Args:
        a: Values of the first row, one per seed.
        b: Values of the second row.

    Returns:
        Both p values; 1 where a row has fewer than two values, or one has no spread.
    """
    if min(len(a), len(b)) < 2 or any(is_constant(values, values) for values in (a, b)):
        return NOTHING
    from scipy.special import fdtrc

    freedoms = [(len(values) - 1) / KURTOSIS_FACTOR for values in (a, b)]
    ratio = variance(a) / variance(b)
    return PValues(
        above=float(fdtrc(freedoms[0], freedoms[1], ratio)),
        below=float(fdtrc(freedoms[1], freedoms[0], 1 / ratio)),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values. Those below a rate are what may be called at that family-wise rate,
    however the hypotheses depend on each other.

    Args:
        p_values: One per hypothesis.

    Examples:
        >>> holm([0.01, 0.04, 0.02])
        [0.03, 0.04, 0.04]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, p_values[i] * (len(p_values) - rank)))
        adjusted[i] = largest
    return adjusted
