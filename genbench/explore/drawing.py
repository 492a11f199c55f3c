"""What figures share: the drawing that a figure returns, and sheets that hold one grid of images."""

from __future__ import annotations

from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from genbench.explore.sheet import mosaic, panel, sheet
from genbench.explore.subject import Subject

__all__ = ["Drawing", "first_classes", "one_label", "sheet_of", "signed"]


class Drawing(NamedTuple):
    """A figure with the words on it.

    Attributes:
        figure: The sheet.
        title: Its title.
        caption: The sentences below it.
        lines: What it says as plain text, for the terminal.
    """

    figure: Figure
    title: str
    caption: str
    lines: tuple[str, ...] = ()


def sheet_of(
    subject: Subject,
    title: str,
    caption: str,
    x: Tensor,
    columns: int,
    rows: list[str],
    names: list[str] | None = None,
    axes: tuple[str, str] = ("", ""),
    left: float = 0.1,
) -> Drawing:
    """Draw a sheet that holds one grid of images.

    Args:
        subject: The run; its data say how an image is shown.
        title: Title of the sheet.
        caption: Sentences below the grid.
        x: integers (N, C, H, W), in reading order.
        columns: Images in a row.
        rows: Labels of the rows.
        names: Labels of the columns.
        axes: Names of the horizontal and the vertical axis.
        left: Left edge of the grid, as a share of the sheet's width; labels of rows go left of it.
    """
    figure = sheet(title, caption)
    mosaic(
        panel(figure, left, 0.96 - left, 0.13, 0.73),
        x.cpu().numpy(),
        subject.spec,
        columns,
        rows,
        names or [],
        axes,
    )
    return Drawing(figure, title, caption)


def first_classes(subject: Subject, places: str) -> str:
    """The sentence of a caption that says that only the first ten classes are shown.

    Args:
        subject: The run; its data must have labels.
        places: What stands for a class: "rows" or "columns".

    Returns:
        The sentence with a space before it; empty where all classes are shown.
    """
    classes = subject.need_labels()
    if classes > 10:
        return f" The {places} are the first 10 of {classes} classes, by label."
    return ""


def one_label(subject: Subject, n: int) -> Tensor | None:
    """The same label n times for a model of p(x | y); None for a model of p(x).

    It is the subject's label, or class 0.

    Raises:
        NotPossible: y is no label.
    """
    if not subject.model.conditional:
        return None
    subject.need_labels()
    return torch.full((n,), subject.label or 0, device=subject.device)


def signed(values: Tensor) -> list[str]:
    """Numbers of one decimal with their sign as labels; 0 has none."""
    labels = []
    for value in values.tolist():
        label = f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")
        labels.append(label if round(value, 1) else "0")
    return labels
