r"""The pictures of the comparison, as SVG from a template: the same records give the same bytes.

    quality over speed       y = sample quality (lower is better) against x = images per second, both with sd over seeds
    likelihood over quality  y = bits per dimension, or nats, against x = sample quality; the marker shows the kind of the likelihood
    quality over diversity   y = sample quality against x = diversity (higher is better)

A logarithmic axis takes x to (log x - log low) / (log high - log low). Labels are placed greedily,
each at the candidate around its point with the smallest cost: area that covers other labels,
markers and error bars, then whether it lies nearer to another point or its leader crosses one, then
distance. Of several orders, the one whose sum of costs is smallest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from genbench.leaderboard.board import FAMILIES, Board
from genbench.leaderboard.rows import Summary, likelihood_unit
from genbench.records.catalogue import diversity_metric, metric_info, quality_metric

__all__ = [
    "COLOURS", "Axis", "Box", "Point", "diversity_plot", "environment", "family_class", "likelihood_plot", "marker",
    "place_labels", "plots", "quality_plot", "scatter",
]  # fmt: skip

WIDTH = 760
HEIGHT = 500
LEFT = 86.0
RIGHT = 24.0
TOP = 68.0
BOTTOM = 70.0
FONT = 16.0
RADIUS = 7.0
# The average bold letter of DejaVu Sans, the widest of the usual system fonts.
_LETTER = 0.66
# One shape per family beside its colour: legible without colours.
_MARKERS = {
    "classical": "M-8.5-7L8.5 7V-7L-8.5 7Z",
    "vae": "M-6.5-6.5H6.5V6.5H-6.5Z",
    "gan": "M0-8.5L8 6.5H-8Z",
    "autoregressive": "M0-9L9 0L0 9L-9 0Z",
    "flow": "M0 8.5L8-6.5H-8Z",
    "flow_matching": "M8.5 0L-6.5 8V-8Z",
    "diffusion": "M7.2 0A7.2 7.2 0 1 1-7.2 0A7.2 7.2 0 1 1 7.2 0Z",
}
# On light and on dark ground, both legible as text.
COLOURS = {
    "classical": ("#765400", "#e2c05c"),
    "vae": ("#0f62ad", "#72b8f5"),
    "gan": ("#b83a0b", "#ff9a62"),
    "autoregressive": ("#6d3bd1", "#bda2ff"),
    "flow": ("#0a7468", "#3fd3bf"),
    "flow_matching": ("#476800", "#a9d45e"),
    "diffusion": ("#b0176a", "#f783c3"),
    "other": ("#57534e", "#c2bcb2"),
}
_OTHER_MARKER = "M-2.5-8H2.5V-2.5H8V2.5H2.5V8H-2.5V2.5H-8V-2.5H-2.5Z"


@dataclass(frozen=True)
class Point:
    """A row in a plot: x and y over seeds, and the kind of its likelihood where that is plotted."""

    label: str
    family: str
    x: Summary
    y: Summary
    kind: str = "exact"


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`, and its ticks as (value, text)."""

    title: str
    low: float
    high: float
    log: bool
    ticks: tuple[tuple[float, str], ...]

    def at(self, value: float) -> float:
        """Position from 0 (low) to 1 (high), clipped."""
        f: Callable[[float], float] = math.log if self.log else float
        if self.log and value <= 0:
            return 0.0
        return min(1.0, max(0.0, (f(value) - f(self.low)) / (f(self.high) - f(self.low))))


@dataclass(frozen=True)
class Box:
    """A rectangle in user units of the picture."""

    x: float
    y: float
    width: float
    height: float

    def overlap(self, other: Box) -> float:
        """Common area."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        if width <= 0:
            return 0.0
        return width * max(
            0.0, min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        )

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The point of the rectangle that is nearest to (x, y)."""
        return min(max(x, self.x), self.x + self.width), min(max(y, self.y), self.y + self.height)


def environment() -> Any:
    """Jinja with the templates of this folder; everything is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("genbench.leaderboard")
    return Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def family_class(family: str) -> str:
    """The style class of a family; a user's family has one of its own for all."""
    if family in FAMILIES:
        return f"family-{family}"
    return "family-other"


def marker(family: str) -> str:
    """Outline of a family's marker around the origin, as an SVG path."""
    return _MARKERS.get(family, _OTHER_MARKER)


def plots(board: Board) -> list[str]:
    """The pictures that the records of a board allow."""
    return [
        picture
        for picture in (quality_plot(board), likelihood_plot(board), diversity_plot(board))
        if picture
    ]


def quality_plot(board: Board) -> str | None:
    """Sample quality against images per second; None where no row has both."""
    metric = quality_metric(board.protocol)
    if metric is None:
        return None
    found = [
        Point(row.label, row.family, x, y)
        for row in board.rows
        if (x := row.images_per_second) and (y := row.metric(metric))
    ]
    title = metric_info(metric).title
    return scatter(
        found,
        f"{title} against sampling speed",
        "images/s (higher is better)",
        f"{title} (lower is better)",
        floor=_floor(board, metric),
        log_x=True,
    )


def likelihood_plot(board: Board) -> str | None:
    """-log p(x) against sample quality; None where no row has both."""
    metric = quality_metric(board.protocol)
    if metric is None:
        return None
    found = [
        Point(row.label, row.family, x, y, str(row.kind))
        for row in board.rows
        if (x := row.metric(metric)) and (y := row.nll())
    ]
    title = metric_info(metric).title
    return scatter(
        found,
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
    found = [
        Point(row.label, row.family, x, y)
        for row in board.rows
        if (x := row.metric(diversity)) and (y := row.metric(quality))
    ]
    if len({point.x.mean for point in found}) < 2:
        return None
    name = metric_info(diversity).title
    title = metric_info(quality).title
    floor = _floor(board, quality)
    return scatter(
        found,
        f"{title} against {name.lower()}",
        f"{name} (higher is better)",
        f"{title} (lower is better)",
        floor=floor,
    )


def _floor(board: Board, metric: str) -> float | None:
    """The noise floor of a metric."""
    return next((found.mean for row in board.floor if (found := row.metric(metric))), None)


def scatter(
    points: Sequence[Point],
    title: str,
    x_title: str,
    y_title: str,
    floor: float | None = None,
    log_x: bool = False,
    kinds: bool = False,
) -> str | None:
    """Labelled points with error bars, as an SVG document.

    Args:
        points: What to draw; None is returned without any.
        title: Title for readers who hear the picture.
        x_title: Title of the x axis.
        y_title: Title of the y axis.
        floor: A value of y that is drawn as a line.
        log_x: Logarithmic x axis; otherwise where the values span more than a decade.
        kinds: Markers show the kind of a likelihood: filled, hollow, with an arrow.
    """
    if not points:
        return None
    x = _axis([p.x for p in points], x_title, log_x or None)
    y = _axis(
        [p.y for p in points] + ([Summary((floor,))] if floor is not None else []),
        y_title,
        False if kinds else None,
    )
    drawn = [
        _drawn(point, x, y) for point in sorted(points, key=lambda p: (p.x.mean, p.y.mean, p.label))
    ]
    line = None if floor is None else _to_y(y.at(floor))
    _label(drawn, line)
    return environment().get_template("plot.svg.j2").render(
        title=title, width=WIDTH, height=HEIGHT, left=LEFT, right=WIDTH - RIGHT, top=TOP, bottom=HEIGHT - BOTTOM, font=FONT,
        x_title=x_title, y_title=y_title, drawn=drawn, floor=None if line is None else f"{line:.1f}", kinds=kinds,
        colours=COLOURS, x_ticks=[(f"{_to_x(x.at(v)):.1f}", text) for v, text in x.ticks],
        y_ticks=[(f"{_to_y(y.at(v)):.1f}", text) for v, text in y.ticks], legend=_legend(points),
    )  # fmt: skip


# --- axes -----------------------------------------------------------------------------------------


def _axis(summaries: Sequence[Summary], title: str, log: bool | None) -> Axis:
    """An axis that holds every mean and error bar; log=None: logarithmic where positive values span
    more than a decade.
    """
    means = [s.mean for s in summaries]
    if log is None:
        log = min(means) > 0 and max(means) > 10 * min(means)
    low = min(s.mean - (s.sd or 0) for s in summaries)
    high = max(s.mean + (s.sd or 0) for s in summaries)
    if log:
        low = max(low, min(means) / 2)  # a bar that reaches zero would never end on this axis
        pad = max(0.12 * math.log10(high / low), 0.15)
        low = low / 10**pad
        high = high * 10**pad
        return Axis(title, low, high, True, _log_ticks(low, high))
    pad = 0.12 * (high - low) or 0.1 * abs(high) or 1.0
    low = low - pad
    high = high + pad
    return Axis(title, low, high, False, _linear_ticks(low, high))


def _linear_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    raw = (high - low) / 7
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    decimals = max(0, -math.floor(math.log10(step)) + (step / power == 2.5))
    count = range(math.ceil(low / step), math.floor(high / step) + 1)
    return tuple((i * step, f"{i * step:,.{decimals}f}") for i in count)


def _log_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    multiples = (1, 2, 5) if high / low < 1000 else (1,)
    values = [
        float(f"{m}e{d}") for d in decades for m in multiples if low <= float(f"{m}e{d}") <= high
    ]
    return tuple((v, f"{v:,.0f}" if v >= 1 else f"{v:g}") for v in values)


# --- points and labels ----------------------------------------------------------------------------


def _drawn(point: Point, x: Axis, y: Axis) -> dict[str, Any]:
    cx = _to_x(x.at(point.x.mean))
    cy = _to_y(y.at(point.y.mean))
    sx = point.x.sd or 0.0
    sy = point.y.sd or 0.0
    xs = (_to_x(x.at(point.x.mean - sx)), _to_x(x.at(point.x.mean + sx)))
    ys = (_to_y(y.at(point.y.mean + sy)), _to_y(y.at(point.y.mean - sy)))
    text = point.label if len(point.label) <= 28 else point.label[:27] + "…"
    return {
        "cx": cx, "cy": cy, "xs": xs, "ys": ys, "text": text, "full": point.label, "kind": point.kind,
        "family": point.family, "class": family_class(point.family), "marker": marker(point.family),
        "x_value": f"{point.x.mean:.4g}", "y_value": f"{point.y.mean:.4g}",
    }  # fmt: skip


def _label(drawn: list[dict[str, Any]], line: float | None) -> None:
    """Gives every point the place of its label."""
    obstacles = [box for d in drawn for box in _ink(d)]
    if line is not None:
        obstacles.append(Box(LEFT, line - 2, WIDTH - LEFT - RIGHT, 4))
        obstacles.append(
            Box(
                WIDTH - RIGHT - _text_width("noise floor"),
                line - FONT - 4,
                _text_width("noise floor"),
                FONT + 4,
            )
        )
    boxes = place_labels(
        [(d["cx"], d["cy"]) for d in drawn], [_text_width(d["text"]) for d in drawn], obstacles
    )
    for d, box in zip(drawn, boxes):
        near = box.nearest(d["cx"], d["cy"])
        far = math.dist(near, (d["cx"], d["cy"])) > 2.4 * RADIUS
        # the text keeps to the side of its box that is next to the point, whatever its true width
        left = box.x >= d["cx"]
        right = box.x + box.width <= d["cx"]
        anchor, at = ("start", 0.0) if left else ("end", 1.0) if right else ("middle", 0.5)
        d |= {
            "anchor": anchor,
            "label_x": box.x + at * box.width,
            "label_y": box.y + 0.8 * box.height,
        }
        d["leader"] = near if far else None


def place_labels(
    centres: Sequence[tuple[float, float]], widths: Sequence[float], obstacles: Sequence[Box]
) -> list[Box]:
    """Boxes of labels beside their points that cover neither each other nor, where there is room,
    the obstacles.
    """
    given = range(len(centres))
    orders = [
        list(given),
        *(
            sorted(given, key=lambda i: sign * centres[i][axis])
            for axis in (0, 1)
            for sign in (1, -1)
        ),
    ]
    tried = []
    for order in orders:
        placed: dict[int, Box] = {}
        costs = 0.0
        for i in order:
            others = [*centres[:i], *centres[i + 1 :]]
            placed[i], cost = _cheapest(
                _candidates(*centres[i], widths[i]),
                [*placed.values()],
                obstacles,
                centres[i],
                others,
            )
            costs += cost
        tried.append((costs, [placed[i] for i in given]))
    return min(tried, key=lambda found: found[0])[1]


def _cheapest(
    candidates: Sequence[tuple[Box, float]],
    placed: Sequence[Box],
    obstacles: Sequence[Box],
    centre: tuple[float, float],
    others: Sequence[tuple[float, float]],
) -> tuple[Box, float]:
    """The first of least cost. A cost is at least its preference, and preferences rise: most of the
    later ones are not tried.
    """
    best = candidates[0][0]
    least = math.inf
    for box, preference in candidates:
        if preference >= least:
            break
        cost = _cost(box, preference, placed, obstacles) + 1500 * _misleads(
            box, centre, others, placed
        )
        if cost < least:
            best = box
            least = cost
    return best, least


def _candidates(cx: float, cy: float, width: float) -> list[tuple[Box, float]]:
    """(box, preference): rings of growing distance; right of the point first."""
    found = []
    height = FONT * 1.15
    for distance in (RADIUS + 5, 24.0, 40.0, 58.0, 80.0, 105.0, 135.0, 170.0):
        for rank, angle in enumerate((0, 180, 270, 90, 315, 45, 225, 135, 290, 70, 250, 110)):
            dx = math.cos(math.radians(angle))
            dy = math.sin(math.radians(angle))
            x = cx + distance * dx - width * (1 - dx) / 2
            y = cy + distance * dy - height * (1 - dy) / 2
            found.append((Box(x, y, width, height), distance + rank))
    return found


def _cost(box: Box, preference: float, placed: Sequence[Box], obstacles: Sequence[Box]) -> float:
    frame = Box(LEFT + 3, TOP + 3, WIDTH - LEFT - RIGHT - 6, HEIGHT - TOP - BOTTOM - 6)
    outside = box.width * box.height - box.overlap(frame)
    return (
        1000 * outside
        + 1000 * sum(map(box.overlap, placed))
        + 20 * sum(map(box.overlap, obstacles))
        + preference
    )


def _misleads(
    box: Box,
    centre: tuple[float, float],
    others: Sequence[tuple[float, float]],
    placed: Sequence[Box],
) -> bool:
    """Whether a label lies nearer to another point than to its own, or the line from its point
    passes through another, or through a label.
    """
    end = box.nearest(*centre)
    length = math.dist(centre, end)
    line = [[a + k / 16 * (b - a) for a, b in zip(centre, end)] for k in range(1, 16)]
    if any(tuple(point) == label.nearest(*point) for label in placed for point in line):
        return True
    for other in others:
        if math.dist(box.nearest(*other), other) <= length:
            return True
        # the foot of the perpendicular from the other point, as a fraction of the line
        along = sum((b - a) * (o - a) for a, b, o in zip(centre, end, other)) / (length**2 or 1.0)
        foot = [a + min(max(along, 0.0), 1.0) * (b - a) for a, b in zip(centre, end)]
        # two points that lie on one another cannot be told apart by a line
        if math.dist(other, centre) > 2 * RADIUS and math.dist(other, foot) < RADIUS:
            return True
    return False


def _ink(d: dict[str, Any]) -> list[Box]:
    """What a point covers: its marker and its error bars."""
    size = 2 * RADIUS + 4
    bars = [
        Box(d["xs"][0], d["cy"] - 2, d["xs"][1] - d["xs"][0], 4),
        Box(d["cx"] - 2, d["ys"][0], 4, d["ys"][1] - d["ys"][0]),
    ]
    arrow = [Box(d["cx"] - 6, d["cy"], 12, 26)] if d["kind"] == "bound" else []
    return [Box(d["cx"] - size / 2, d["cy"] - size / 2, size, size), *bars, *arrow]


def _legend(points: Sequence[Point]) -> list[dict[str, Any]]:
    families = sorted(
        {p.family for p in points},
        key=lambda f: (FAMILIES.index(f) if f in FAMILIES else len(FAMILIES), f),
    )
    found: list[dict[str, Any]] = []
    x = LEFT + 8
    y = 18.0
    for family in families:
        if x + 15 + _text_width(family) > WIDTH and found:  # a second line
            x = LEFT + 8
            y = y + 26
        found.append(
            {
                "x": f"{x:.1f}",
                "y": f"{y:g}",
                "marker": marker(family),
                "class": family_class(family),
                "text": family,
            }
        )
        x += _text_width(family) + 26
    return found


def _text_width(text: str) -> float:
    return _LETTER * FONT * len(text) + 4


def _to_x(fraction: float) -> float:
    return LEFT + fraction * (WIDTH - LEFT - RIGHT)


def _to_y(fraction: float) -> float:
    return HEIGHT - BOTTOM - fraction * (HEIGHT - TOP - BOTTOM)
