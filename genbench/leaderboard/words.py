"""Words for a comparison, each from numbers: how many times the lowest, and whether that is
resolved.
"""

from __future__ import annotations

import math

from genbench.leaderboard.board import Board, beats
from genbench.leaderboard.intervals import welch
from genbench.leaderboard.rows import Row, Summary, mean
from genbench.records.catalogue import metric_info, quality_metric

__all__ = [
    "MAY_BE_CHANCE",
    "quality",
    "quality_words",
    "relative_spread",
    "speed_words",
    "stability_words",
]

# a difference that the 95 % interval over training seeds does not tell from none
MAY_BE_CHANCE = "may be chance"


def quality_words(board: Board, row: Row, metric: str) -> str:
    """Words such as "best", "1.9 times the best", "at the noise floor", and whether a difference
    may be chance.
    """
    mine = row.metric(metric)
    rivals = [other for other in board.rows_like(row) if other.metric(metric)]
    lower = metric_info(metric).better == "lower"
    if mine is None:
        return ""
    words = []
    if len(rivals) > 1 and metric_info(metric).better is not None:
        leader = (min if lower else max)(rivals, key=lambda other: mean(other, metric))
        words.append(_rank_words(board, row, leader, metric))
    if any(_at_floor(mine, floor, lower) for f in board.floor if (floor := f.metric(metric))):
        words.append("at the noise floor")
    return ", ".join([*words, "finished runs only"] if row.diverged else words)


def speed_words(board: Board, row: Row) -> str:
    """Words such as "fastest" and "12 times slower", among the rows that were timed on the same
    device, and whether the difference may be chance, by the spread of the timings over the seeds.
    """
    mine = row.images_per_second
    speeds = [
        x
        for other in board.rows
        if other.speed_device == row.speed_device and (x := other.images_per_second)
    ]
    if mine is None or len(speeds) < 2:
        return ""
    fastest = max(speeds, key=lambda summary: summary.mean)
    ratio = fastest.mean / mine.mean
    if ratio < 1.05:  # timings repeat to a few per cent
        if ratio == 1:
            return "fastest"
        return "within 5 % of the fastest"
    # of logarithms, since a busy machine multiplies a time
    apart = welch(
        [math.log(value) for value in fastest.values], [math.log(value) for value in mine.values]
    )
    slower = "half as fast" if _times(ratio) == "twice" else f"{_times(ratio)} slower"
    return slower + ("" if apart is None or apart[0] > 0 else f", {MAY_BE_CHANCE}")


def quality(board: Board, row: Row) -> Summary | None:
    """The metric that stands for the quality of a row's samples."""
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
    """How many runs diverged, and whether a spread over seeds was measured at all."""
    n = len(row.records)
    words = ["one seed: not measured"] if n == 1 else []
    return ", ".join(
        [*words, f"{row.diverged} of {n} diverged"] if n > 1 or row.diverged else words
    )


def _rank_words(board: Board, row: Row, leader: Row, metric: str) -> str:
    lower = metric_info(metric).better == "lower"
    won = board.mark(leader, metric) == "best"
    untested = f", {MAY_BE_CHANCE}" if board.tests_differences else ""
    rivals = [rival for rival in board.rows_like(row) if rival is not row and rival.metric(metric)]
    if row is leader and any(mean(rival, metric) == mean(row, metric) for rival in rivals):
        return f"equal to the {'lowest' if lower else 'highest'}"
    if row is leader:
        if won:
            return "best"
        return f"{'lowest' if lower else 'highest'}{untested}"
    top = mean(leader, metric)
    mine = mean(row, metric)
    name = "best" if won else "lowest" if lower else "highest"
    if mine == top:
        return f"equal to the {name}"
    summary = leader.metric(metric)
    has_ratio = (
        top > 0 and mine > 0 and not (lower and summary is not None and summary.is_near_zero)
    )
    words = f"{_compared(mine / top)} the {name}" if has_ratio else f"behind the {name}"
    if beats(leader, row, metric):
        return words
    return f"{words}{untested}"


def _at_floor(mine: Summary, floor: Summary, lower: bool) -> bool:
    excess = mine.mean - floor.mean if lower else floor.mean - mine.mean
    spread = math.hypot(mine.spread, floor.spread)
    # a spread as wide as the floor itself resolves nothing
    return excess <= 0 or (excess <= spread and spread < abs(floor.mean))


def _compared(ratio: float) -> str:
    """A ratio to the best of positive values, in words: "1.9 times", "3 % above", "92 % of"."""
    if ratio < 1:
        return f"{100 * ratio:.0f} % of"
    if ratio < 1.095:
        return f"{100 * (ratio - 1):.1g} % above"
    return _times(ratio)


def _times(ratio: float) -> str:
    """A ratio above 1 in words: "twice", "1.9 times", "2,700 times"."""
    text = f"{ratio:.2g}" if ratio < 10 else f"{float(f'{ratio:.2g}'):,.0f}"
    if text == "2":
        return "twice"
    return f"{text} times"
