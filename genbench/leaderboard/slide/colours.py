"""Colours, signs and words of verdicts, the same in every format of the slide."""

from __future__ import annotations

from dataclasses import dataclass

from genbench.leaderboard.claims import Outcome

__all__ = ["GROUND", "INK", "MARKS", "PAPER", "QUIET", "Mark"]

INK = "#1c1b19"
QUIET = "#5f5b55"
PAPER = "#fffefb"
GROUND = "#f5f2ea"


@dataclass(frozen=True)
class Mark:
    """How a verdict looks.

    Attributes:
        sign: A sign, for those who do not tell the colours apart.
        colour: Colour of sign and words, as hexadecimal digits.
        fill: Colour of the cell.
        dark_colour: As `colour`, on a dark page.
        dark_fill: As `fill`, on a dark page.
        latex: The sign in LaTeX without packages.
    """

    sign: str
    colour: str
    fill: str
    dark_colour: str
    dark_fill: str
    latex: str


MARKS: dict[Outcome, Mark] = {
    "supported": Mark("✓", "#0b5a32", "#d9efe1", "#8fe0b0", "#12402a", r"$\surd$"),
    "contradicted": Mark("✗", "#98190b", "#fadcd5", "#ffb3a3", "#571b12", r"$\times$"),
    "not resolved": Mark("≈", "#274b7d", "#e0e9f6", "#a9c8f5", "#1d3557", r"$\approx$"),
    "not measured": Mark("…", "#5f5b55", "#f5f2ea", "#b3ada3", "#272522", r"$\cdot$"),
}
