"""The slide as rectangles with lines of text on a canvas of 1280 x 720 px: what SVG, PNG and
PowerPoint draw.

Widths of texts are those of DejaVu Sans, the widest of the usual fonts, which comes with
matplotlib: what fits here fits in any other font.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from PIL import ImageFont

from genbench.leaderboard.slide.colours import GROUND, INK, MARKS, PAPER, QUIET
from genbench.leaderboard.slide.grid import Slide, SlideCell, SlideRow

__all__ = ["HEIGHT", "LINE", "PADDING", "WIDTH", "Panel", "TextLine", "font", "panels"]

WIDTH = 1280
HEIGHT = 720
MARGIN = 24
TITLE_HEIGHT = 66
HEAD_HEIGHT = 54
FOOT_HEIGHT = 32
NAME_WIDTH = 178
ANSWER_WIDTH = 84
TALLEST_ROW = 114
GAP = 4
PADDING = 7
LINE = 1.17  # distance of two baselines in units of the font size
# There is room for this many lines in the usual sizes below the words of a cell.
FEW_LINES = 3
# The back row of a lecture hall has to read words and numbers. Smaller text stands below them.
WORD = 20
NUMBER = 16
SMALL = 14
SMALLER = 12
SMALLEST = 11


@dataclass(frozen=True)
class TextLine:
    """A line of text in a panel.

    Attributes:
        text: What it says.
        size: Size of the font in px.
        colour: Colour, as hexadecimal digits.
        bold: Whether it is bold.
    """

    text: str
    size: int
    colour: str = INK
    bold: bool = False

    @property
    def width(self) -> float:
        """Width in px."""
        return float(font(self.size, self.bold).getlength(self.text))


@dataclass(frozen=True)
class Panel:
    """A rectangle with lines of text, the first at its top.

    Attributes:
        x: Left edge in px.
        y: Upper edge in px.
        width: Width in px.
        height: Height in px.
        fill: Colour of the ground.
        lines: Lines of text.
    """

    x: float
    y: float
    width: float
    height: float
    fill: str
    lines: tuple[TextLine, ...]

    @property
    def baselines(self) -> Iterator[tuple[TextLine, float]]:
        """Each line with the vertical position of its baseline."""
        y = self.y + PADDING - 3
        for line in self.lines:
            yield line, y + line.size
            y += LINE * line.size


@dataclass(frozen=True)
class ColumnPlace:
    """Where a column stands.

    Attributes:
        x: Left edge in px.
        width: Width in px.
        title: Its head.
    """

    x: float
    width: float
    title: str


@cache
def font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, as matplotlib brings it."""
    from matplotlib import get_data_path

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), size)


def panels(slide: Slide) -> list[Panel]:
    """The panels of a slide, from the upper left to the lower right."""
    return [title_panel(slide), *head_panels(slide), *row_panels(slide), foot_panel(slide)]


def title_panel(slide: Slide) -> Panel:
    """Title and subtitle."""
    width = WIDTH - 2 * MARGIN + 2 * PADDING
    lines = (TextLine(slide.title, 30, bold=True), TextLine(slide.subtitle, SMALL, QUIET))
    return Panel(MARGIN - PADDING, 6, width, TITLE_HEIGHT - 6, PAPER, fit(lines, width))


def foot_panel(slide: Slide) -> Panel:
    """What the signs mean, at the lower edge."""
    width = WIDTH - 2 * MARGIN + 2 * PADDING
    line = TextLine(slide.footnote, SMALL, QUIET)
    y = HEIGHT - FOOT_HEIGHT
    return Panel(MARGIN - PADDING, y, width, FOOT_HEIGHT, PAPER, fit((line,), width))


def columns(slide: Slide) -> list[ColumnPlace]:
    """The column of the families, one a word, one a question that a family may answer."""
    room = WIDTH - 2 * MARGIN - NAME_WIDTH - len(slide.questions) * ANSWER_WIDTH
    word_width = room / max(len(slide.words), 1)
    widths = [NAME_WIDTH, *(word_width for _ in slide.words)]
    widths += [ANSWER_WIDTH for _ in slide.questions]
    places = []
    x = float(MARGIN)
    for width, title in zip(widths, ["", *slide.words, *slide.questions], strict=True):
        places.append(ColumnPlace(x, width - GAP, title))
        x += width
    return places


def head_panels(slide: Slide) -> list[Panel]:
    """The heads of the columns, in two lines where one is too short."""
    heads = []
    sizes = [WORD] * (1 + len(slide.words)) + [NUMBER] * len(slide.questions)
    for place, size in zip(columns(slide), sizes, strict=True):
        lines = fit(wrapped(TextLine(place.title, size, bold=True), place.width), place.width)
        height = sum(LINE * line.size for line in lines) + PADDING
        y = TITLE_HEIGHT + HEAD_HEIGHT - height
        heads.append(Panel(place.x, y, place.width, height, PAPER, lines))
    return heads


def row_panels(slide: Slide) -> list[Panel]:
    """Every family: its name, a cell a word, and what it can answer."""
    if not slide.rows:
        return []
    room = HEIGHT - TITLE_HEIGHT - HEAD_HEIGHT - FOOT_HEIGHT
    height = min(room / len(slide.rows), TALLEST_ROW)
    drawn = []
    for i, row in enumerate(slide.rows):
        y = TITLE_HEIGHT + HEAD_HEIGHT + i * height
        places = columns(slide)
        parts = [(GROUND, name_lines(row))]
        parts += [cell_part(cell, places[1].width) for cell in row.cells]
        parts += [(GROUND, answer_lines(text, places[-1].width)) for text in row.answers]
        for place, (fill, lines) in zip(places, parts, strict=True):
            fitted = fit(lines, place.width, height - GAP)
            drawn.append(Panel(place.x, y, place.width, height - GAP, fill, fitted))
    return drawn


def name_lines(row: SlideRow) -> tuple[TextLine, ...]:
    """A family, what kind of model it is, and the row that stands for it."""
    return (
        TextLine(row.name, WORD + 2, bold=True),
        TextLine(row.kind, NUMBER),
        TextLine(row.sampling, SMALL, QUIET),
        TextLine(row.stands, SMALL, QUIET),
    )


def cell_part(cell: SlideCell | None, width: float) -> tuple[str, tuple[TextLine, ...]]:
    """Ground and lines of a cell. An empty one has no verdict: the lectures say nothing there.

    Args:
        cell: The cell.
        width: Width of its column in px.
    """
    if cell is None:
        return PAPER, ()
    mark = MARKS[cell.outcome]
    words = (
        TextLine(f"{mark.sign} {cell.phrase}", WORD, mark.colour, True),
        TextLine(cell.outcome, WORD, mark.colour),
    )
    numbers = wrapped(TextLine(cell.number, NUMBER), width)
    texts = [text for text in (cell.error, cell.elsewhere) if text]
    if len(numbers) + len(texts) > FEW_LINES:
        numbers = wrapped(TextLine(cell.number, SMALL), width)
        return mark.fill, (*words, *numbers, *(TextLine(text, SMALLER, QUIET) for text in texts))
    return mark.fill, (*words, *numbers, *(TextLine(text, SMALL, QUIET) for text in texts))


def answer_lines(text: str, width: float) -> tuple[TextLine, ...]:
    """What a family answers, each part between commas on lines of its own.

    Args:
        text: The answer.
        width: Width of its column in px.
    """
    parts = [wrapped(TextLine(part, NUMBER), width) for part in text.split(",")]
    return tuple(line for lines in parts for line in lines)


def wrapped(line: TextLine, width: float) -> tuple[TextLine, ...]:
    """A line in as many as it needs to fit, broken between words."""
    lines: list[TextLine] = []
    for word in line.text.split():
        longer = replace(line, text=f"{lines[-1].text} {word}") if lines else line
        if lines and longer.width <= width - 2 * PADDING:
            lines[-1] = longer
        else:
            lines.append(replace(line, text=word))
    return tuple(lines)


def fit(
    lines: tuple[TextLine, ...], width: float, height: float = float("inf")
) -> tuple[TextLine, ...]:
    """Lines that stay inside a panel: a wide one in a smaller font, and none below its lower edge.

    Args:
        lines: Lines of text.
        width: Width of the panel in px.
        height: Its height.
    """
    kept: list[TextLine] = []
    y = 2.0 * PADDING - 6
    for line in lines:
        size = line.size
        while size > SMALLEST and replace(line, size=size).width > width - 2 * PADDING:
            size -= 1
        y += LINE * size
        if y <= height:
            kept.append(replace(line, size=size))
    return tuple(kept)
