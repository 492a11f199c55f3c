"""Two rows over their training seeds: effect, interval and both p values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import Literal

from genbench.leaderboard.claims.row_test import Pair
from genbench.leaderboard.claims.statistics import compare_independent, compare_paired
from genbench.leaderboard.intervals import paired, welch
from genbench.leaderboard.rows import Row

__all__ = ["are_paired", "logarithms", "seed_difference", "seed_ratio", "without_survivors"]


def seed_difference(
    subject: Row,
    rival: Row,
    a: Sequence[float],
    b: Sequence[float],
    is_larger: bool,
    beyond: float = 0.0,
) -> Pair:
    """The difference of two means.

    Args:
        subject: What the claim is about.
        rival: What it is compared with.
        a: Values of the subject, one per finished run.
        b: Values of the rival.
        is_larger: Whether the claim says that the subject's are larger; else smaller.
        beyond: By how much they must be larger, or smaller.
    """
    sign = 1 if is_larger else -1
    are_of_one_model = are_paired(subject, rival) and len(a) == len(b)
    interval = (paired if are_of_one_model else welch)(a, b)
    compare = compare_paired if are_of_one_model else compare_independent
    p_values = compare([sign * x for x in a], [sign * x for x in b], beyond)
    effect = fmean(a) - fmean(b)
    reason = ""
    if interval is None:
        reason = f"no spread over seeds to measure the difference to {rival.label} by"
    return Pair(effect, interval, p_values.above, p_values.below, reason)


def seed_ratio(
    subject: Row,
    rival: Row,
    a: Sequence[float],
    b: Sequence[float],
    is_larger: bool,
    factor: float = 1.0,
) -> Pair:
    """The ratio of two geometric means: the difference of the means of the logarithms.

    Args:
        subject: What the claim is about.
        rival: What it is compared with.
        a: Values of the subject, one per finished run.
        b: Values of the rival.
        is_larger: Whether the claim says that the subject's are larger; else smaller.
        factor: By what factor they must be larger, or smaller.
    """
    if min(*a, *b) <= 0:
        return Pair(None, reason=f"no ratio to {rival.label}: a value is not positive")
    effect = math.exp(fmean(logarithms(a)) - fmean(logarithms(b)))
    pair = seed_difference(
        subject, rival, logarithms(a), logarithms(b), is_larger, math.log(factor)
    )
    interval = None
    if pair.interval is not None:
        interval = (math.exp(pair.interval[0]), math.exp(pair.interval[1]))
    return Pair(effect, interval, pair.p_support, pair.p_contradiction, pair.reason)


def are_paired(subject: Row, rival: Row) -> bool:
    """Whether two rows are measurements of the same runs."""
    return subject.model_key == rival.model_key and subject.finished == rival.finished


def logarithms(values: Sequence[float]) -> tuple[float, ...]:
    """Natural logarithms."""
    return tuple(math.log(value) for value in values)


def without_survivors(
    pair: Pair, subject: Row, rival: Row, subject_is: Literal["better", "worse"]
) -> Pair:
    """The pair where no row is better by the runs that did not diverge.

    Args:
        pair: As the finished runs give it.
        subject: What the claim is about.
        rival: What it is compared with.
        subject_is: What the claim says of the subject.
    """
    better_if_true, better_if_false = subject, rival
    if subject_is == "worse":
        better_if_true, better_if_false = rival, subject
    diverged = [row for row in (subject, rival) if row.diverged]
    reasons = [
        f"{row.diverged} of {len(row.records)} runs of {row.label} diverged" for row in diverged
    ]
    return replace(
        pair,
        p_support=1.0 if better_if_true.diverged else pair.p_support,
        p_contradiction=1.0 if better_if_false.diverged else pair.p_contradiction,
        reason=", ".join(filter(None, [pair.reason, *reasons])),
    )
