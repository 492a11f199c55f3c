"""The slide as SVG: the same records give the same bytes."""

from __future__ import annotations

from genbench.leaderboard.plots import environment
from genbench.leaderboard.slide.colours import PAPER
from genbench.leaderboard.slide.grid import Slide
from genbench.leaderboard.slide.panels import HEIGHT, PADDING, WIDTH, panels

__all__ = ["slide_svg"]


def slide_svg(slide: Slide) -> str:
    """The slide as the text of an SVG of 1280 x 720 px."""
    template = environment().get_template("slide.svg.j2")
    return template.render(
        slide=slide,
        panels=panels(slide),
        width=WIDTH,
        height=HEIGHT,
        paper=PAPER,
        padding=PADDING,
    )
