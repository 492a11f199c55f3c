r"""The plots of the comparison, as SVG from a template: the same records give the same bytes.

    quality over speed       y = sample quality against x = images per second
    likelihood over quality  y = bits per dimension, or nats, against x = sample quality; the marker
                             shows the kind of the likelihood
    quality over diversity   y = sample quality against x = diversity

Both values are means over training seeds, with their standard deviations as error bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from genbench.leaderboard.axes import Axis, make_axis
from genbench.leaderboard.board import Board
from genbench.leaderboard.families import COLOURS, family_class, family_order, marker
from genbench.leaderboard.frame import (
    BOTTOM,
    FONT,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    text_width,
    to_x,
    to_y,
)
from genbench.leaderboard.label_places import add_labels
from genbench.leaderboard.rows import likelihood_unit
from genbench.leaderboard.summary import Summary
from genbench.records.catalogue import diversity_metric, metric_info, quality_metric

__all__ = [
    "Line",
    "Point",
    "diversity_plot",
    "environment",
    "likelihood_plot",
    "plots",
    "quality_plot",
    "scatter",
]

# A label of more letters than this is cut.
LONGEST_LABEL = 28


@dataclass(frozen=True)
class Point:
    """A row in a plot.

    Attributes:
        label: Label of the row.
        family: Family of the model.
        x: Horizontal quantity over seeds.
        y: Vertical quantity over seeds.
        kind: Kind of the likelihood, where one is plotted.
    """

    label: str
    family: str
    x: Summary
    y: Summary
    kind: str = "exact"


@dataclass(frozen=True)
class Line:
    """What leads to a point of a plot.

    Attributes:
        family: Family of the model.
        points: Both quantities over seeds, in order.
    """

    family: str
    points: tuple[tuple[Summary, Summary], ...]


@cache
def environment() -> Any:
    """As `new_environment`, made once, so that every template is compiled once; to use, not to change."""
    return new_environment()


def new_environment() -> Any:
    """Jinja with the templates of this folder. Every value is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("genbench.leaderboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def plots(board: Board) -> list[str]:
    """The plots that the records of a board allow, as SVG documents."""
    pictures = (quality_plot(board), likelihood_plot(board), diversity_plot(board))
    return [picture for picture in pictures if picture]


def quality_plot(board: Board) -> str | None:
    """Sample quality against images per second; None where no row has both."""
    metric = quality_metric(board.protocol)
    if metric is None:
        return None
    points = [
        Point(row.label, row.family, x, y)
        for row in board.rows
        if (x := row.images_per_second) and (y := row.metric(metric))
    ]
    title = metric_info(metric).title
    return scatter(
        points,
        f"{title} against sampling speed",
        "images/s (higher is better)",
        f"{title} (lower is better)",
        floor=floor_mean(board, metric),
        log_x=True,
    )


def likelihood_plot(board: Board) -> str | None:
    """-log p(x) against sample quality; None where no row has both."""
    metric = quality_metric(board.protocol)
    if metric is None:
        return None
    points = [
        Point(row.label, row.family, x, y, str(row.kind))
        for row in board.rows
        if (x := row.metric(metric)) and (y := row.nll())
    ]
    title = metric_info(metric).title
    return scatter(
        points,
        f"Likelihood against {title}",
        f"{title} (lower is better)",
        f"{likelihood_unit(board.protocol)} (lower is better)",
        kinds=True,
    )


def diversity_plot(board: Board) -> str | None:
    """Sample quality against diversity; None where the diversity of no two rows differs."""
    quality = quality_metric(board.protocol)
    diversity = diversity_metric(board.protocol)
    if quality is None or diversity is None:
        return None
    points = [
        Point(row.label, row.family, x, y)
        for row in board.rows
        if (x := row.metric(diversity)) and (y := row.metric(quality))
    ]
    if len({point.x.mean for point in points}) < 2:
        return None
    name = metric_info(diversity).title
    title = metric_info(quality).title
    return scatter(
        points,
        f"{title} against {name.lower()}",
        f"{name} (higher is better)",
        f"{title} (lower is better)",
        floor=floor_mean(board, quality),
    )


def floor_mean(board: Board, metric: str) -> float | None:
    """The noise floor of a metric; None where it was not measured.

    Args:
        board: The board.
        metric: Name of the metric.
    """
    return next((value.mean for row in board.floor if (value := row.metric(metric))), None)


def scatter(
    points: Sequence[Point],
    title: str,
    x_title: str,
    y_title: str,
    floor: float | None = None,
    log_x: bool = False,
    kinds: bool = False,
    lines: Sequence[Line] = (),
) -> str | None:
    """Labelled points with error bars, as an SVG document.

    Args:
        points: What to draw. Without any, None is returned.
        title: Title for readers who hear the picture.
        x_title: Title of the x axis.
        y_title: Title of the y axis.
        floor: A value of y that is drawn as a line.
        log_x: Logarithmic x axis. Otherwise it is one where the values span more than a decade.
        kinds: Whether markers show the kind of a likelihood: filled, hollow, with an arrow.
        lines: Lines through means, drawn below the points.
    """
    if not points:
        return None
    on_lines = [point for line in lines for point in line.points]
    x = make_axis(
        [*(point.x for point in points), *(x for x, _ in on_lines)], x_title, log_x or None
    )
    heights = [*(point.y for point in points), *(y for _, y in on_lines)]
    if floor is not None:
        heights.append(Summary((floor,)))
    y = make_axis(heights, y_title, False if kinds else None)
    ordered = sorted(points, key=lambda point: (point.x.mean, point.y.mean, point.label))
    drawn = [draw_point(point, x, y) for point in ordered]
    line = None
    if floor is not None:
        line = to_y(y.at(floor))
    add_labels(drawn, line)
    return (
        environment()
        .get_template("plot.svg.j2")
        .render(
            title=title,
            width=WIDTH,
            height=HEIGHT,
            left=LEFT,
            right=WIDTH - RIGHT,
            top=TOP,
            bottom=HEIGHT - BOTTOM,
            font=FONT,
            x_title=x_title,
            y_title=y_title,
            drawn=drawn,
            floor=None if line is None else f"{line:.1f}",
            kinds=kinds,
            colours=COLOURS,
            x_ticks=[(f"{to_x(x.at(value)):.1f}", text) for value, text in x.ticks],
            y_ticks=[(f"{to_y(y.at(value)):.1f}", text) for value, text in y.ticks],
            lines=[draw_line(line, x, y) for line in lines],
            legend=legend([point.family for point in points]),
        )
    )


def draw_point(point: Point, x: Axis, y: Axis) -> dict[str, Any]:
    """What the template needs of a point: positions in the picture, texts, marker and colour.

    Args:
        point: A row.
        x: The horizontal axis.
        y: The vertical axis.
    """
    sx = point.x.sd or 0.0
    sy = point.y.sd or 0.0
    text = point.label
    if len(text) > LONGEST_LABEL:
        text = text[: LONGEST_LABEL - 1] + "…"
    return {
        "cx": to_x(x.at(point.x.mean)),
        "cy": to_y(y.at(point.y.mean)),
        "xs": (to_x(x.at(point.x.mean - sx)), to_x(x.at(point.x.mean + sx))),
        "ys": (to_y(y.at(point.y.mean + sy)), to_y(y.at(point.y.mean - sy))),
        "text": text,
        "full": point.label,
        "kind": point.kind,
        "family": point.family,
        "class": family_class(point.family),
        "marker": marker(point.family),
        "x_value": f"{point.x.mean:.4g}",
        "y_value": f"{point.y.mean:.4g}",
    }


def draw_line(line: Line, x: Axis, y: Axis) -> dict[str, str]:
    """What the template needs of a line.

    Args:
        line: A line.
        x: The horizontal axis.
        y: The vertical axis.
    """
    corners = [f"{to_x(x.at(a.mean)):.1f} {to_y(y.at(b.mean)):.1f}" for a, b in line.points]
    path = f"M{'L'.join(corners)}"
    return {"family": line.family, "class": family_class(line.family), "path": path}


def legend(families: Sequence[str]) -> list[dict[str, Any]]:
    """Marker, name and position of every family, in two lines where one is too short."""
    entries: list[dict[str, Any]] = []
    x = LEFT + 8
    y = 18.0
    for family in sorted(set(families), key=family_order):
        if x + 15 + text_width(family) > WIDTH and entries:
            x = LEFT + 8
            y = y + 26
        entries.append(
            {
                "x": f"{x:.1f}",
                "y": f"{y:g}",
                "marker": marker(family),
                "class": family_class(family),
                "text": family,
            }
        )
        x += text_width(family) + 26
    return entries
