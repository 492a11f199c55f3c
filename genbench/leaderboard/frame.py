"""The frame of a plot: its size in user units of the SVG, and positions in it."""

from __future__ import annotations

__all__ = [
    "BOTTOM",
    "FONT",
    "HEIGHT",
    "LEFT",
    "RADIUS",
    "RIGHT",
    "TOP",
    "WIDTH",
    "text_width",
    "to_x",
    "to_y",
]

WIDTH = 760
HEIGHT = 500
LEFT = 86.0
RIGHT = 24.0
TOP = 68.0
BOTTOM = 70.0
FONT = 16.0
RADIUS = 7.0
# The average bold letter of DejaVu Sans, the widest of the usual system fonts, has this width in
# units of FONT.
LETTER = 0.66


def to_x(fraction: float) -> float:
    """Horizontal position of a fraction of the x axis, 0 at its left end and 1 at its right end."""
    return LEFT + fraction * (WIDTH - LEFT - RIGHT)


def to_y(fraction: float) -> float:
    """Vertical position of a fraction of the y axis, 0 at its lower end and 1 at its upper end."""
    return HEIGHT - BOTTOM - fraction * (HEIGHT - TOP - BOTTOM)


def text_width(text: str) -> float:
    """Width of a text, by the average letter."""
    return LETTER * FONT * len(text) + 4
