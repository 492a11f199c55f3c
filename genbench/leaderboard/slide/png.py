"""The slide as PNG, drawn with DejaVu Sans: the same records give the same bytes."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw

from genbench.leaderboard.slide.colours import PAPER
from genbench.leaderboard.slide.grid import Slide
from genbench.leaderboard.slide.panels import HEIGHT, PADDING, WIDTH, font, panels

__all__ = ["slide_png"]

# A px of the slide becomes this many pixels of the picture, so that the picture is sharp on a
# projector of 2560 x 1440.
SCALE = 2
CORNER = 4


def slide_png(slide: Slide) -> bytes:
    """The slide as the bytes of a PNG of 2560 x 1440 pixels."""
    picture = Image.new("RGB", (SCALE * WIDTH, SCALE * HEIGHT), PAPER)
    draw = ImageDraw.Draw(picture)
    for panel in panels(slide):
        corners = (panel.x, panel.y, panel.x + panel.width, panel.y + panel.height)
        scaled = [SCALE * corner for corner in corners]
        draw.rounded_rectangle(scaled, SCALE * CORNER, panel.fill)
        for line, y in panel.baselines:
            place = (SCALE * (panel.x + PADDING), SCALE * y)
            kind = font(SCALE * line.size, line.bold)
            draw.text(place, line.text, fill=line.colour, font=kind, anchor="ls")
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()
