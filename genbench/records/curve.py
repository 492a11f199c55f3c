"""The quality of samples over the images seen, as a run measured it while it was trained.

A point of the curve is logged under `val/<metric>_<images>`: the metric, and how many samples it is
computed from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

from genbench.system.typed import Natural, Range, read_value

__all__ = ["POINTS", "Curve", "CurvePoint", "logged_curve", "logged_name"]

# A curve has a point after every eighth of the budget.
POINTS = 8


@dataclass(frozen=True)
class CurvePoint:
    """One point of a curve.

    Attributes:
        images_seen: Training images, over all players and processes.
        value: The metric.
    """

    images_seen: Natural
    value: float


@dataclass(frozen=True)
class Curve:
    """How good the samples of a run were while it was trained.

    Attributes:
        metric: What was measured.
        images: Number of samples of the averaged weights, the same noise at every point.
        reference_images: Number of validation images that they were compared with.
        variant: The evaluation whose sampler drew them; empty for the default one.
        points: The points, in the order of the images seen.
    """

    metric: str
    images: Annotated[Natural, Range(2)]
    reference_images: Natural
    variant: str
    points: tuple[CurvePoint, ...]

    def __post_init__(self) -> None:
        """Check that there are points, one after the other.

        Raises:
            ValueError: One line.
        """
        if not self.points:
            raise ValueError("points is empty")
        seen = [point.images_seen for point in self.points]
        if seen != sorted(set(seen)):
            raise ValueError(f"points.images_seen is {seen}, which does not grow")

    @property
    def last(self) -> CurvePoint:
        """The point at the end of training."""
        return self.points[-1]


def logged_name(metric: str, images: int) -> str:
    """The name under which a point of the curve is logged.

    Examples:
        >>> logged_name("fid", 256)
        'val/fid_256'
    """
    return f"val/{metric}_{images}"


def logged_curve(
    lines: Iterable[Mapping[str, float]], metric: str, reference_images: int, variant: str
) -> Curve | None:
    """The curve that a metrics file holds; None where it holds no point.

    Args:
        lines: Its lines: `images`, and values by their names. Of points of several numbers of
            samples those of the last number are taken.
        metric: What was measured.
        reference_images: Number of validation images.
        variant: The evaluation whose sampler drew the samples.
    """
    beginning = logged_name(metric, 0).removesuffix("0")
    points: dict[int, dict[int, CurvePoint]] = {}
    images = 0
    for line in lines:
        for name, value in line.items():
            number = name.removeprefix(beginning)
            if name.startswith(beginning) and number.isdecimal():
                images = int(number)
                seen = read_value(Natural, line["images"])
                points.setdefault(images, {})[seen] = CurvePoint(seen, value)
    if not images:
        return None
    ordered = tuple(point for _, point in sorted(points[images].items()))
    return Curve(metric, images, reference_images, variant, ordered)
