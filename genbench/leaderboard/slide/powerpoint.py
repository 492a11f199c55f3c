"""The slide as a PowerPoint file of rectangles whose texts can be edited.

Needs python-pptx, which the extra `slides` installs.
"""

from __future__ import annotations

import io
import zipfile
from datetime import datetime
from typing import Any

from genbench.errors import InputError
from genbench.leaderboard.slide.grid import Slide
from genbench.leaderboard.slide.panels import HEIGHT, LINE, PADDING, WIDTH, Panel, panels

__all__ = ["slide_pptx"]

# A px is 1/96 of an inch, which is this many English Metric Units (EMU) and this many points.
EMU = 9525
POINTS = 0.75
# The file states this time instead of the time at which it was written, so that equal slides give
# equal bytes.
TIME = datetime(2000, 1, 1)
ZIP_TIME = (2000, 1, 1, 0, 0, 0)


def slide_pptx(slide: Slide) -> bytes:
    """The slide as the bytes of a PowerPoint file of one page, 16:9.

    Raises:
        InputError: python-pptx is not installed.
    """
    try:
        from pptx import Presentation
        from pptx.util import Emu
    except ModuleNotFoundError:
        raise InputError(
            "a PowerPoint file needs python-pptx, which is not installed: "
            "pip install 'genbench[slides]'"
        ) from None
    deck = Presentation()
    deck.slide_width = Emu(WIDTH * EMU)
    deck.slide_height = Emu(HEIGHT * EMU)
    page = deck.slides.add_slide(deck.slide_layouts[6])  # Layout 6 is the empty one.
    for panel in panels(slide):
        add_panel(page.shapes, panel)
    properties = deck.core_properties
    properties.title = slide.title
    properties.author = "genbench"
    properties.last_modified_by = "genbench"
    properties.created = TIME
    properties.modified = TIME
    file = io.BytesIO()
    deck.save(file)
    return without_times(file.getvalue())


def add_panel(shapes: Any, panel: Panel) -> None:
    """Add a panel, unless it is empty.

    Args:
        shapes: The shapes of a page.
        panel: The panel.
    """
    from pptx.dml.color import RGBColor
    from pptx.enum.shapes import MSO_SHAPE
    from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
    from pptx.util import Pt

    if not panel.lines:
        return
    corners = [round(EMU * value) for value in (panel.x, panel.y, panel.width, panel.height)]
    shape = shapes.add_shape(MSO_SHAPE.RECTANGLE, *corners)
    shape.fill.solid()
    shape.fill.fore_color.rgb = RGBColor.from_string(panel.fill.lstrip("#").upper())
    shape.line.fill.background()
    shape.shadow.inherit = False
    frame = shape.text_frame
    frame.word_wrap = False
    frame.vertical_anchor = MSO_ANCHOR.TOP
    frame.margin_left = PADDING * EMU
    frame.margin_right = 0
    frame.margin_top = round(PADDING / 2 * EMU)
    frame.margin_bottom = 0
    for i, line in enumerate(panel.lines):
        paragraph = frame.paragraphs[0] if i == 0 else frame.add_paragraph()
        paragraph.alignment = PP_ALIGN.LEFT
        paragraph.line_spacing = Pt(round(LINE * line.size * POINTS, 1))
        run = paragraph.add_run()
        run.text = line.text
        run.font.size = Pt(line.size * POINTS)
        run.font.bold = line.bold
        run.font.name = "DejaVu Sans"
        run.font.color.rgb = RGBColor.from_string(line.colour.lstrip("#").upper())


def without_times(content: bytes) -> bytes:
    """A zip file whose entries all have one time, so that equal slides are equal bytes."""
    written = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as archive,
        zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as copy,
    ):
        for name in archive.namelist():
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            copy.writestr(entry, archive.read(name))
    return written.getvalue()
