"""The figure of points of the plane by label, in the colours of the figures."""

from __future__ import annotations

from collections.abc import Sized

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from genbench.explore.drawing import Drawing
from genbench.explore.sheet import MARKERS, OTHERS, PALETTE, literal, panel, sheet
from genbench.explore.subject import Subject

__all__ = ["coloured_classes", "draw_by_label", "scatter_by_label"]


def draw_by_label(
    subject: Subject,
    title: str,
    caption: str,
    place: np.ndarray,
    y: Tensor | None,
    axis_names: tuple[str, str],
    prior: np.ndarray | None = None,
) -> Drawing:
    """A sheet of encodings in the plane, by label.

    Args:
        subject: The run.
        title: Title of the sheet.
        caption: What the points are; what colours and labels mean is added.
        place: Points (N, 2).
        y: Labels, int64 (N,), or None.
        axis_names: Names of the two coordinates.
        prior: Draws of the prior (M, 2), in grey behind the points.
    """
    if subject.model.classes:
        caption += " The model is given the labels, so its latents need not tell them."
    caption += colours(place, y)
    figure = sheet(title, caption)
    axes = panel(figure, 0.07, 0.73, 0.21, 0.66)
    if prior is not None:
        axes.scatter(
            prior[:, 0], prior[:, 1], s=20, c=OTHERS, linewidths=0, zorder=0.4, label="the prior"
        )
    scatter_by_label(axes, place, y, subject)
    axes.set(xlabel=axis_names[0], ylabel=axis_names[1])
    return Drawing(figure, title, caption)


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
    # Both axes have the same scale, so that distances in all directions can be compared.
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
