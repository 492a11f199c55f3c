"""The sheets that figures are drawn on: 1600 x 900 pixels, a title, a caption, large letters.

The same figure has the same bytes each time.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from PIL import Image

from genbench.data.pictures import grid
from genbench.spec import Spec

__all__ = [
    "DRAWING",
    "MARKERS",
    "OTHERS",
    "PALETTE",
    "legible",
    "literal",
    "mosaic",
    "panel",
    "render",
    "sheet",
    "style",
]

# This is the version of the figures. It is raised by hand when a figure or a word on it changes, so
# that committed figures of an older version are drawn again.
DRAWING = 2

# These are the colours of Okabe and Ito (2008), with a darker yellow, a grey and a violet. Most
# colour-blind people can tell them apart, and the markers help the others.
PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#B5A800",
    "#8C8C8C",
    "#6A2C91",
)
MARKERS = "os^DvPX*<>"
# Classes without a colour of their own have this grey, which is lighter than the grey of the
# palette.
OTHERS = "#D2D2D2"
# This colour is between images. It is neither black nor white nor grey, so that the edges of an
# image can be seen.
_BETWEEN = (140, 175, 215)
# Sizes of letters are in points.
_SMALL = 14
_TEXT = 15
_TITLE = 22
_FONT = "DejaVu Sans"
_DPI = 100
# A PNG of more bytes than this is reduced to 256 colours.
_MAX_PNG = 300 * 1024


def style() -> AbstractContextManager[None]:
    """Settings under which figures are drawn and saved."""
    return matplotlib.rc_context(
        {
            "font.family": _FONT,
            "font.size": _TEXT,
            "axes.titlesize": 18,
            "axes.labelsize": _TEXT,
            "xtick.labelsize": _SMALL,
            "ytick.labelsize": _SMALL,
            "legend.fontsize": _SMALL,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "svg.hashsalt": "genbench",
            "svg.fonttype": "path",
        }
    )


def sheet(title: str, caption: str) -> Figure:
    """An empty figure with a title and a caption.

    Args:
        title: At the top.
        caption: At the bottom; lines are broken.

    Returns:
        The figure; content goes between 0.17 and 0.87 of its height.
    """
    figure = Figure(figsize=(16, 9), dpi=_DPI)
    figure.text(0.02, 0.965, literal(title), fontsize=_TITLE, va="top", weight="bold")
    figure.text(0.02, 0.02, literal(textwrap.fill(caption, 132)), fontsize=_TEXT, va="bottom")
    return figure


def literal(text: str) -> str:
    """Text for matplotlib in which a dollar sign does not begin a formula."""
    return text.replace("$", r"\$")


def legible(names: Sequence[str], width: int) -> list[str]:
    """Names as labels show them: without their middle where they are too wide.

    A name gives way to its number where the font lacks a letter of it, or where another name would
    look the same.

    Args:
        names: Names by number.
        width: Pixels of the widest label.
    """
    short = [_shortened(name, width) for name in names]
    labels = []
    for number, name in enumerate(short):
        is_legible = name and short.count(name) == 1
        labels.append(name if is_legible else str(number))
    return labels


def _shortened(name: str, width: int) -> str:
    """A name of at most `width` pixels; empty where the font lacks a letter of it."""
    font = get_font(findfont(_FONT))
    if not all(font.get_char_index(ord(letter)) for letter in name):
        return ""
    font.set_size(_SMALL, _DPI)
    for left_out in range(len(name)):
        kept = len(name) - left_out
        shown = name
        if left_out:
            beginning = name[: -(-kept // 2)]
            ending = name[len(name) - kept // 2 :]
            shown = f"{beginning}\N{HORIZONTAL ELLIPSIS}{ending}"
        font.set_text(shown)
        if font.get_width_height()[0] / 64 <= width:  # The unit of the font is 1/64 of a pixel.
            return shown
    return ""


def panel(
    figure: Figure, left: float, width: float, bottom: float = 0.2, height: float = 0.64
) -> Axes:
    """Axes on a sheet.

    Args:
        figure: The sheet.
        left: Left edge, as a share of the width of the sheet.
        width: Width, likewise.
        bottom: Lower edge, as a share of the height of the sheet.
        height: Height, likewise.
    """
    return figure.add_axes((left, bottom, width, height))


def mosaic(
    axes: Axes,
    images: np.ndarray,
    spec: Spec,
    columns: int,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    names: tuple[str, str] = ("", ""),
) -> None:
    """Draw images in reading order, with pixels as blocks.

    Args:
        axes: Where they are drawn.
        images: integers (N, C, H, W).
        spec: Shape and levels of an image.
        columns: Images in a row.
        row_labels: Labels beside the rows.
        column_labels: Labels above the columns.
        names: Names of the horizontal and the vertical axis.
    """
    picture = grid(images, spec, columns, paper=_BETWEEN)
    axes.imshow(picture, interpolation="none")
    rows = -(-len(images) // columns)
    height = picture.shape[0] / rows
    width = picture.shape[1] / columns
    axes.set_xticks([(i + 0.5) * width for i in range(len(column_labels))], column_labels)
    axes.set_yticks([(i + 0.5) * height for i in range(len(row_labels))], row_labels)
    axes.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.xaxis.set_label_position("top")
    axes.set(xlabel=names[0], ylabel=names[1])


def render(figure: Figure) -> tuple[bytes, bytes]:
    """The bytes of a figure as PNG and as SVG, without dates or names of programs."""
    png = io.BytesIO()
    svg = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return _small(png.getvalue()), svg.getvalue()


def _small(png: bytes) -> bytes:
    """The same picture without transparency, with 256 colours where it would be too large."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    out = io.BytesIO()
    picture.save(out, format="PNG", optimize=True)
    if len(out.getvalue()) > _MAX_PNG:
        out = io.BytesIO()
        picture.quantize(256).save(out, format="PNG", optimize=True)
    return out.getvalue()
