"""How the figures of demonstrations look. The same figure has the same bytes each time."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PINK",
    "one_panel",
    "panels",
    "style",
    "svg",
]

# These colours of Okabe and Ito (2008) can be told apart by most colour-blind people.
BLUE = "#0072B2"
ORANGE = "#D55E00"
GREEN = "#009E73"
PINK = "#CC79A7"
BLACK = "#000000"
GREY = "#8C8C8C"

_HEIGHT = 4.2
_WIDTH_OF_ONE = 7.6
_WIDTH_OF_MORE = 10.4


def style() -> AbstractContextManager[None]:
    """Settings under which figures are drawn and saved."""
    return matplotlib.rc_context(
        {
            "font.family": "DejaVu Sans",
            "font.size": 12,
            "axes.titlesize": 13,
            "axes.labelsize": 12,
            "xtick.labelsize": 11,
            "ytick.labelsize": 11,
            "legend.fontsize": 11,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "lines.linewidth": 2,
            "path.simplify_threshold": 0.2,
            "svg.hashsalt": "genbench",
            "svg.fonttype": "path",
        }
    )


def one_panel(x: str, y: str) -> tuple[Figure, Axes]:
    """A figure with one plot.

    Args:
        x: Name of the horizontal axis.
        y: Name of the vertical axis.
    """
    figure = Figure(figsize=(_WIDTH_OF_ONE, _HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y)
    return figure, axes


def panels(count: int) -> tuple[Figure, list[Axes]]:
    """A figure with several plots side by side."""
    figure = Figure(figsize=(_WIDTH_OF_MORE, _HEIGHT), layout="constrained")
    return figure, [figure.add_subplot(1, count, i + 1) for i in range(count)]


def svg(figure: Figure) -> bytes:
    """The bytes of a figure as SVG, without dates or names of programs."""
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
