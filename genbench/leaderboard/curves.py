"""The quality of samples over the images seen: a plot for every board, and a sentence on what
another rule of choosing the weights would have given.

The recorded weights are the last moving averages. The rule of the lowest point takes, of every run,
the point of its curve with the lowest value. It chooses by the same few hundred samples that it is
judged by here, so what it seems to gain is more than it would be on other samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from genbench.leaderboard.board import Board
from genbench.leaderboard.plots import Line, Point, scatter
from genbench.leaderboard.rows import Row
from genbench.leaderboard.summary import Summary
from genbench.records.catalogue import metric_info, quality_metric
from genbench.records.curve import Curve

__all__ = ["curve_plot", "curve_sentence", "curves_of"]


def curves_of(row: Row) -> list[Curve]:
    """The curves of a row's finished runs, by seed."""
    return [record.curve for record in row.records if record.curve is not None]


def measured_rows(board: Board) -> list[tuple[Row, list[Curve]]]:
    """One row of every trained model with its curves, whatever its other samplers: all of them hold
    the curve of the first.
    """
    rows = [(row, curves) for row in board.rows if (curves := curves_of(row))]
    own = [(row, curves) for row, curves in rows if row.first.variant == curves[0].variant]
    return [next(group) for _, group in groupby(own, key=lambda pair: pair[0].model_key)]


def curve_plot(board: Board) -> str | None:
    """The metric of the curve against the images seen, means over training seeds; None where no run
    has a curve.
    """
    rows = measured_rows(board)
    if not rows:
        return None
    info = metric_info(rows[0][1][0].metric)
    images = rows[0][1][0].images
    ends = []
    lines = []
    for row, curves in rows:
        line = mean_line(curves)
        ends.append(Point(row.label, row.family, *line[-1]))
        lines.append(Line(row.family, tuple(line)))
    return scatter(
        ends,
        f"{info.title} over the images seen",
        "training images seen",
        f"{info.title} of {images:,} samples (lower is better)",
        log_x=True,
        lines=lines,
    )


def mean_line(curves: Sequence[Curve]) -> list[tuple[Summary, Summary]]:
    """Images seen and metric at each point that all seeds of a row have."""
    return [
        (
            Summary(tuple(float(point.images_seen) for point in points)),
            Summary(tuple(point.value for point in points)),
        )
        for points in zip(*(curve.points for curve in curves))
    ]


def curve_sentence(board: Board) -> str | None:
    """What the rule of the lowest point would have chosen; None where no run has a curve."""
    rows = measured_rows(board)
    if not rows:
        return None
    runs = [curve for _, curves in rows for curve in curves]
    first = runs[0]
    title = metric_info(first.metric).title_in_text
    earlier = sum(lowest(curve) < curve.last.value for curve in runs)
    row, curves = max(rows, key=lambda pair: mean_gain(pair[1]))
    most = mean_gain(curves)
    digits = metric_info(quality_metric(board.protocol) or first.metric).digits
    text = (
        "The recorded weights are the last moving averages, whatever the curve says. The lowest "
        f"{title} of {first.images:,} samples against {first.reference_images:,} validation images "
        f"comes before the end in {earlier} of {len(runs)} runs"
    )
    if most <= 0:
        return f"{text}."
    return (
        f"{text}; chosen by it, the figure would be lower by at most {most:.{digits}f} "
        f"({row.label}, mean over {len(curves)} seeds), of which chance among {len(first.points)} "
        "points is a part."
    )


def lowest(curve: Curve) -> float:
    """The lowest value of a curve."""
    return min(point.value for point in curve.points)


def mean_gain(curves: Sequence[Curve]) -> float:
    """By how much the lowest value lies below the last one, mean over seeds."""
    gains = [curve.last.value - lowest(curve) for curve in curves]
    return sum(gains) / len(gains)
