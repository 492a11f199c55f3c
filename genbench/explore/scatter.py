"""Points of the plane by label, in the colours of the figures."""

from __future__ import annotations

from collections.abc import Sized

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from genbench.explore.sheet import MARKERS, OTHERS, PALETTE, literal
from genbench.explore.subject import Subject

__all__ = ["coloured_classes", "colours", "scatter_by_label"]


def scatter_by_label(axes: Axes, place: np.ndarray, y: Tensor | None, subject: Subject) -> None:
    """Draw points of the plane, a colour and a marker a class, and their legend.

    Args:
        axes: Where to draw; a unit becomes as long along both axes.
        place: Points (N, 2).
        y: Labels, int64 (N,), or None.
        subject: The run; its data name the classes.
    """
    labels = _labels(place, y)
    coloured, others = coloured_classes(labels)
    names = subject.class_names()
    for k, i in coloured.items():
        of_class = place[labels == k]
        axes.scatter(
            of_class[:, 0],
            of_class[:, 1],
            s=36,
            c=PALETTE[i],
            marker=MARKERS[i],
            linewidths=0,
            alpha=0.8,
            label="" if y is None else literal(f"y = {names[k]}"),
        )
    if others:
        rest = place[~np.isin(labels, list(coloured))]
        name = f"{others} other class{'es' * (others > 1)}"
        axes.scatter(rest[:, 0], rest[:, 1], s=20, c=OTHERS, linewidths=0, zorder=0.5, label=name)
    # distances along both axes are one measure
    axes.set_aspect("equal", adjustable="datalim")
    if y is not None:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, markerscale=1.5)


def colours(place: Sized, y: Tensor | None) -> str:
    """The sentence of a caption that says that only some classes have a colour.

    Args:
        place: N points.
        y: Labels, int64 (N,), or None.

    Returns:
        The sentence with a space before it; empty where all classes have one.
    """
    coloured, others = coloured_classes(_labels(place, y))
    if not others:
        return ""
    share = f"the {len(coloured)} most frequent of the {len(coloured) + others} classes here"
    return f" In colour, {share}; the others small and light grey."


def _labels(place: Sized, y: Tensor | None) -> np.ndarray:
    """Labels as an array; zeros where there are none."""
    return np.zeros(len(place), dtype=int) if y is None else y.cpu().numpy()


def coloured_classes(labels: np.ndarray) -> tuple[dict[int, int], int]:
    """Choose the classes that get a colour and a marker of their own.

    Where all labels are below the number of colours, a label has always the same colour. Else the
    most frequent classes get one.

    Args:
        labels: int (N,).

    Returns:
        The number of the colour by class, and the number of the other classes.
    """
    if labels.max() < len(PALETTE):
        return {k: k for k in np.unique(labels).tolist()}, 0
    classes, counts = np.unique(labels, return_counts=True)
    most = sorted(classes[np.argsort(-counts, kind="stable")][: len(PALETTE)].tolist())
    return {k: i for i, k in enumerate(most)}, len(classes) - len(most)
