"""Words for a comparison, each from numbers: how many times the lowest value, and whether the
difference is resolved.
"""

from __future__ import annotations

import math

from genbench.leaderboard.board import Board, beats
from genbench.leaderboard.intervals import welch
from genbench.leaderboard.rows import Row
from genbench.leaderboard.summary import Summary
from genbench.records.catalogue import metric_info, quality_metric

__all__ = [
    "MAY_BE_CHANCE",
    "quality",
    "quality_words",
    "relative_spread",
    "speed_words",
    "stability_words",
]

# A difference is called so where its 95 % interval over training seeds contains zero.
MAY_BE_CHANCE = "may be chance"

# Speeds that differ by a smaller factor are called equal, since repeated timings differ by a few
# per cent.
EQUAL_SPEEDS = 1.05
# The spread of rows of one seed is not known, and this factor stands for it. On machines with other
# work, timings of one decoder have differed by a factor of two.
SPREAD_OF_ONE_TIMING = 3.0


def quality_words(board: Board, row: Row, metric: str) -> str:
    """A judgement such as "best", "1.9 times the best, may be chance" or "at the noise floor".

    Args:
        board: Where the row stands.
        row: One of its rows.
        metric: Name of the metric.
    """
    value = row.metric(metric)
    if value is None:
        return ""
    better = metric_info(metric).better
    ranked = [
        (other, summary) for other in board.rows_like(row) if (summary := other.metric(metric))
    ]
    words = []
    if len(ranked) > 1 and better is not None:
        extreme = min if better == "lower" else max
        leader, best = extreme(ranked, key=lambda pair: pair[1].mean)
        if row is leader:
            is_tie = any(other.mean == best.mean for rival, other in ranked if rival is not row)
            words.append(leader_words(board, row, metric, is_tie))
        else:
            words.append(follower_words(board, row, leader, metric, value, best))
    floors = [floor for other in board.floor if (floor := other.metric(metric))]
    if any(is_at_floor(value, floor, better == "lower") for floor in floors):
        words.append("at the noise floor")
    if row.diverged:
        words.append("finished runs only")
    return ", ".join(words)


def leader_words(board: Board, row: Row, metric: str, is_tie: bool) -> str:
    """A judgement of the row whose mean is the best.

    Args:
        board: Where the row stands.
        row: The row.
        metric: Name of the metric.
        is_tie: Whether another row has the same mean.
    """
    end = end_of_metric(metric)
    if is_tie:
        return f"equal to the {end}"
    if board.mark(row, metric) == "best":
        return "best"
    return f"{end}{doubt(board)}"


def follower_words(
    board: Board, row: Row, leader: Row, metric: str, value: Summary, best: Summary
) -> str:
    """A judgement of any other row: how far it is behind the one whose mean is the best.

    Args:
        board: Where both rows stand.
        row: The row.
        leader: The row whose mean is the best.
        metric: Name of the metric.
        value: The metric of the row.
        best: The metric of the leader.
    """
    name = end_of_metric(metric)
    if board.mark(leader, metric) == "best":
        name = "best"
    if value.mean == best.mean:
        return f"equal to the {name}"
    words = f"behind the {name}"
    is_noise = metric_info(metric).better == "lower" and best.is_near_zero
    if best.mean > 0 and value.mean > 0 and not is_noise:
        words = f"{ratio_words(value.mean / best.mean)} the {name}"
    if beats(leader, row, metric):
        return words
    return f"{words}{doubt(board)}"


def end_of_metric(metric: str) -> str:
    """Which end of a metric is the good one."""
    if metric_info(metric).better == "lower":
        return "lowest"
    return "highest"


def doubt(board: Board) -> str:
    """A remark on a difference that is not resolved; empty where no difference is tested."""
    if board.tests_differences:
        return f", {MAY_BE_CHANCE}"
    return ""


def is_at_floor(value: Summary, floor: Summary, lower: bool) -> bool:
    """Whether a value is not worse than the noise floor, up to the spread of both.

    Args:
        value: A metric of a row.
        floor: The same metric of the noise floor.
        lower: Whether lower is better.
    """
    excess = value.mean - floor.mean
    if not lower:
        excess = -excess
    spread = math.hypot(value.spread, floor.spread)
    # A spread that is as large as the floor itself resolves nothing.
    return excess <= 0 or (excess <= spread and spread < abs(floor.mean))


def speed_words(board: Board, row: Row) -> str:
    """A judgement such as "fastest" or "12 times slower, may be chance", among the rows that were
    timed on the same device, by the spread of the timings over the seeds.

    Args:
        board: Where the row stands.
        row: One of its rows.
    """
    speed = row.images_per_second
    speeds = [
        x
        for other in board.rows
        if other.speed_device == row.speed_device and (x := other.images_per_second)
    ]
    if speed is None or len(speeds) < 2:
        return ""
    fastest = max(speeds, key=lambda summary: summary.mean)
    ratio = fastest.mean / speed.mean
    if fastest is speed or ratio == 1:
        others = [other for other in speeds if other.mean < fastest.mean]
        second = max(others, key=lambda summary: summary.mean, default=speed)
        if fastest.mean < EQUAL_SPEEDS * second.mean or is_faster(fastest, second):
            return "fastest"
        return f"fastest, {MAY_BE_CHANCE}"
    if ratio < EQUAL_SPEEDS:
        return "within 5 % of the fastest"
    slower = f"{times_words(ratio)} slower"
    if times_words(ratio) == "twice":
        slower = "half as fast"
    if is_faster(fastest, speed):
        return slower
    return f"{slower}, {MAY_BE_CHANCE}"


def is_faster(fast: Summary, slow: Summary) -> bool:
    """Whether images per second differ by more than the spread of the timings over seeds.

    Args:
        fast: Those of the faster row.
        slow: Those of the other one.
    """
    # Logarithms are compared, because a busy machine multiplies a time by a factor.
    interval = welch(*([math.log(value) for value in one.values] for one in (fast, slow)))
    if interval is None:
        return fast.mean > SPREAD_OF_ONE_TIMING * slow.mean
    return interval[0] > 0


def quality(board: Board, row: Row) -> Summary | None:
    """The metric that stands for the quality of a row's samples; None without one.

    Args:
        board: Where the row stands.
        row: A row, or the noise floor.
    """
    metric = quality_metric(board.protocol)
    if metric:
        return row.metric(metric)
    return None


def relative_spread(board: Board, row: Row) -> float | None:
    """sd / mean of the quality metric over training seeds; None for one seed, and for a distance
    near zero.
    """
    summary = quality(board, row)
    if summary is None or summary.sd is None or summary.is_near_zero:
        return None
    return summary.sd / summary.mean


def stability_words(row: Row) -> str:
    """How many runs diverged, and whether a spread over seeds was measured at all.

    Args:
        row: A row that is no noise floor.
    """
    n = len(row.records)
    words = []
    if n == 1:
        words.append("one seed: not measured")
    if n > 1 or row.diverged:
        words.append(f"{row.diverged} of {n} diverged")
    return ", ".join(words)


def ratio_words(ratio: float) -> str:
    """A ratio to the best of positive values, in words: "1.9 times", "3 % above", "92 % of"."""
    if ratio < 1:
        return f"{100 * ratio:.0f} % of"
    if ratio < 1.095:
        return f"{100 * (ratio - 1):.1g} % above"
    return times_words(ratio)


def times_words(ratio: float) -> str:
    """A ratio above 1 in words: "twice", "1.9 times", "2,700 times"."""
    text = f"{ratio:.2g}"
    if ratio >= 10:
        text = f"{float(text):,.0f}"
    if text == "2":
        return "twice"
    return f"{text} times"
