"""Where the labels of a plot stand.

Labels are placed greedily, each at the candidate around its point with the smallest cost: area that
covers other labels, markers and error bars; whether the label lies nearer to another point, or its
leader (the line from the point) crosses one; distance. Several orders are tried, and the one whose
sum of costs is smallest is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genbench.leaderboard.frame import (
    BOTTOM,
    FONT,
    HEIGHT,
    LEFT,
    RADIUS,
    RIGHT,
    TOP,
    WIDTH,
    text_width,
)

__all__ = ["Box", "Position", "add_labels", "place_labels"]

Position = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle in user units of the picture, (x, y) its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    def overlap(self, other: Box) -> float:
        """Area that two rectangles have in common."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        if width <= 0:
            return 0.0
        return width * max(0.0, height)

    def nearest(self, x: float, y: float) -> Position:
        """The point of the rectangle that is nearest to (x, y)."""
        return min(max(x, self.x), self.x + self.width), min(max(y, self.y), self.y + self.height)


def place_labels(
    centres: Sequence[Position], widths: Sequence[float], obstacles: Sequence[Box]
) -> list[Box]:
    """Boxes of labels beside their points. They cover neither each other nor, where there is room,
    the obstacles.

    Args:
        centres: Positions of the points.
        widths: Width of the label of each point.
        obstacles: What labels should leave free, such as markers and error bars.

    Returns:
        One box per point, in the order of the points.
    """
    indices = range(len(centres))
    orders = [list(indices)]
    for axis in (0, 1):
        for sign in (1, -1):
            # `sorted` calls the function at once, so that it sees the axis and the sign of this
            # turn.
            orders.append(sorted(indices, key=lambda i: sign * centres[i][axis]))
    attempts = [place_in_order(order, centres, widths, obstacles) for order in orders]
    _, boxes = min(attempts, key=lambda attempt: attempt[0])
    return boxes


def place_in_order(
    order: Sequence[int],
    centres: Sequence[Position],
    widths: Sequence[float],
    obstacles: Sequence[Box],
) -> tuple[float, list[Box]]:
    """Place the labels one after the other.

    Args:
        order: Indices of the points, the first to be placed first.
        centres: Positions of the points.
        widths: Width of the label of each point.
        obstacles: What labels should leave free.

    Returns:
        The sum of the costs, and one box per point.
    """
    boxes: dict[int, Box] = {}
    total = 0.0
    for i in order:
        others = [*centres[:i], *centres[i + 1 :]]
        boxes[i], cost = cheapest(
            candidates(*centres[i], widths[i]), [*boxes.values()], obstacles, centres[i], others
        )
        total += cost
    return total, [boxes[i] for i in range(len(centres))]


def cheapest(
    options: Sequence[tuple[Box, float]],
    labels: Sequence[Box],
    obstacles: Sequence[Box],
    centre: Position,
    others: Sequence[Position],
) -> tuple[Box, float]:
    """The first candidate of least cost.

    Args:
        options: Candidates, each with its preference. A cost is at least the preference, and the
            preferences rise, so that most of the later candidates are not tried.
        labels: Labels that have their places already.
        obstacles: What labels should leave free.
        centre: The point of the label.
        others: All other points.
    """
    best = options[0][0]
    least = math.inf
    for box, preference in options:
        if preference >= least:
            break
        cost = covered_cost(box, preference, labels, obstacles)
        cost += 1500 * misleads(box, centre, others, labels)
        if cost < least:
            best = box
            least = cost
    return best, least


def candidates(cx: float, cy: float, width: float) -> list[tuple[Box, float]]:
    """Places for a label around the point (cx, cy), in rings of growing distance, the right side
    first.

    Returns:
        Each box with its preference, which is smallest for the best place.
    """
    places = []
    height = FONT * 1.15
    for distance in (RADIUS + 5, 24.0, 40.0, 58.0, 80.0, 105.0, 135.0, 170.0):
        for rank, angle in enumerate((0, 180, 270, 90, 315, 45, 225, 135, 290, 70, 250, 110)):
            dx = math.cos(math.radians(angle))
            dy = math.sin(math.radians(angle))
            x = cx + distance * dx - width * (1 - dx) / 2
            y = cy + distance * dy - height * (1 - dy) / 2
            places.append((Box(x, y, width, height), distance + rank))
    return places


def covered_cost(
    box: Box, preference: float, labels: Sequence[Box], obstacles: Sequence[Box]
) -> float:
    """Cost of a place by its distance and by what it covers: the outside of the frame and other
    labels count most.
    """
    frame = Box(LEFT + 3, TOP + 3, WIDTH - LEFT - RIGHT - 6, HEIGHT - TOP - BOTTOM - 6)
    outside = box.width * box.height - box.overlap(frame)
    return (
        1000 * outside
        + 1000 * sum(map(box.overlap, labels))
        + 20 * sum(map(box.overlap, obstacles))
        + preference
    )


def misleads(box: Box, centre: Position, others: Sequence[Position], labels: Sequence[Box]) -> bool:
    """Whether a reader could take a label for that of another point.

    It lies nearer to another point than to its own, or the line from its point passes through
    another point or through another label.
    """
    end = box.nearest(*centre)
    length = math.dist(centre, end)
    line = [[a + k / 16 * (b - a) for a, b in zip(centre, end)] for k in range(1, 16)]
    if any(tuple(point) == label.nearest(*point) for label in labels for point in line):
        return True
    for other in others:
        if math.dist(box.nearest(*other), other) <= length:
            return True
        # `along` is the foot of the perpendicular from the other point, as a fraction of the line.
        along = sum((b - a) * (o - a) for a, b, o in zip(centre, end, other)) / (length**2 or 1.0)
        foot = [a + min(max(along, 0.0), 1.0) * (b - a) for a, b in zip(centre, end)]
        # Where two points lie on one another, no line can tell them apart.
        if math.dist(other, centre) > 2 * RADIUS and math.dist(other, foot) < RADIUS:
            return True
    return False


def add_labels(drawn: list[dict[str, Any]], line: float | None) -> None:
    """Give every point the place of its label.

    Args:
        drawn: The points, as `draw_point` makes them.
        line: Height of the line of the noise floor; None without one.
    """
    obstacles = [box for point in drawn for box in covered_boxes(point)]
    if line is not None:
        width = text_width("noise floor")
        obstacles.append(Box(LEFT, line - 2, WIDTH - LEFT - RIGHT, 4))
        obstacles.append(Box(WIDTH - RIGHT - width, line - FONT - 4, width, FONT + 4))
    centres = [(point["cx"], point["cy"]) for point in drawn]
    boxes = place_labels(centres, [text_width(point["text"]) for point in drawn], obstacles)
    for point, centre, box in zip(drawn, centres, boxes):
        nearest = box.nearest(*centre)
        # The text is anchored at the side of its box that is next to the point, so that a wrong
        # estimate of its width does not separate the two.
        anchor = "middle"
        at = 0.5
        if box.x >= centre[0]:
            anchor = "start"
            at = 0.0
        elif box.x + box.width <= centre[0]:
            anchor = "end"
            at = 1.0
        point["anchor"] = anchor
        point["label_x"] = box.x + at * box.width
        point["label_y"] = box.y + 0.8 * box.height
        point["leader"] = None
        if math.dist(nearest, centre) > 2.4 * RADIUS:
            point["leader"] = nearest


def covered_boxes(point: dict[str, Any]) -> list[Box]:
    """What a drawn point covers: its marker, its error bars, and the arrow of a bound."""
    size = 2 * RADIUS + 4
    x, y = point["cx"], point["cy"]
    boxes = [
        Box(x - size / 2, y - size / 2, size, size),
        Box(point["xs"][0], y - 2, point["xs"][1] - point["xs"][0], 4),
        Box(x - 2, point["ys"][0], 4, point["ys"][1] - point["ys"][0]),
    ]
    if point["kind"] == "bound":
        boxes.append(Box(x - 6, y, 12, 26))
    return boxes
