"""Families of models: their order in tables, and the colour and marker of each in plots."""

from __future__ import annotations

__all__ = ["COLOURS", "FAMILIES", "family_class", "family_order", "marker"]

FAMILIES = ("classical", "vae", "gan", "autoregressive", "flow", "flow_matching", "diffusion")

# Each family has a colour for a light and one for a dark background. Both are legible as text.
COLOURS = {
    "classical": ("#765400", "#e2c05c"),
    "vae": ("#0f62ad", "#72b8f5"),
    "gan": ("#b83a0b", "#ff9a62"),
    "autoregressive": ("#6d3bd1", "#bda2ff"),
    "flow": ("#0a7468", "#3fd3bf"),
    "flow_matching": ("#476800", "#a9d45e"),
    "diffusion": ("#b0176a", "#f783c3"),
    "other": ("#57534e", "#c2bcb2"),
}

# Each family has a shape beside its colour, so that plots are legible without colours.
MARKERS = {
    "classical": "M-8.5-7L8.5 7V-7L-8.5 7Z",
    "vae": "M-6.5-6.5H6.5V6.5H-6.5Z",
    "gan": "M0-8.5L8 6.5H-8Z",
    "autoregressive": "M0-9L9 0L0 9L-9 0Z",
    "flow": "M0 8.5L8-6.5H-8Z",
    "flow_matching": "M8.5 0L-6.5 8V-8Z",
    "diffusion": "M7.2 0A7.2 7.2 0 1 1-7.2 0A7.2 7.2 0 1 1 7.2 0Z",
}
OTHER_MARKER = "M-2.5-8H2.5V-2.5H8V2.5H2.5V8H-2.5V2.5H-8V-2.5H-2.5Z"


def family_class(family: str) -> str:
    """The style class of a family. All families that genbench does not know share one class."""
    if family in FAMILIES:
        return f"family-{family}"
    return "family-other"


def family_order(family: str) -> tuple[int, str]:
    """What families are sorted by: the known ones in their order, then the others by name."""
    if family in FAMILIES:
        return FAMILIES.index(family), family
    return len(FAMILIES), family


def marker(family: str) -> str:
    """Outline of a family's marker around the origin, as an SVG path."""
    return MARKERS.get(family, OTHER_MARKER)
