"""The figure of texts: samples beside held-out lines, and completions of a beginning."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.capabilities import Completes
from genbench.data.pictures import texts
from genbench.explore.drawing import Drawing
from genbench.explore.sheet import literal, sheet
from genbench.explore.subject import NotPossible, Subject
from genbench.spec import Text

__all__ = ["text"]

# A column has at most this many lines. A line of more characters than this is cut.
_LINES = 20
_WIDTH = 46


def text(subject: Subject) -> Drawing:
    """Samples, held-out lines, and completions of the first half of one.

    Raises:
        NotPossible: The data are no text.
    """
    looks = subject.spec.looks
    if not isinstance(looks, Text):
        raise NotPossible("the data are no text")
    held_out, _ = subject.held_out(_LINES)
    y = None
    if subject.model.conditional:
        y = subject.data.y_of_samples(subject.rng(_LINES, "sample"))
    columns = {
        "samples": texts(subject.sample(_LINES, y).cpu().numpy(), looks),
        "held-out lines": texts(held_out.cpu().numpy(), looks),
    }
    caption = "Independent draws, not selected, beside lines of the test split."
    completions = completed(subject, held_out[:1], y)
    if completions is not None:
        ends = texts(completions.cpu().numpy(), looks)
        known = beginning(held_out[0], looks)
        columns["completions"] = ends
        caption += f" Completions are draws of what follows {looks.read(known)!r}, given that."
    lines = tuple(
        line
        for name, column in columns.items()
        for line in (f"{name}:", *(f"  {x}" for x in column))
    )
    title = subject.title("Text", f"n = {_LINES}")
    figure = sheet(title, caption)
    for i, (name, column) in enumerate(columns.items()):
        left = 0.02 + 0.33 * i
        figure.text(left, 0.89, name, weight="bold", va="top")
        shown = [literal(shortened(line)) for line in column]
        figure.text(left, 0.85, "\n".join(shown), fontsize=12, family="DejaVu Sans Mono", va="top")
    return Drawing(figure, title, caption, lines)


def completed(subject: Subject, x: Tensor, y: Tensor | None) -> Tensor | None:
    """Draws of what follows the first half of a line; None where the model has none.

    Args:
        subject: The run.
        x: The line, integers (1, 1, 1, L).
        y: Labels of the draws, int64 (20,), or None.
    """
    model = subject.model
    looks = subject.spec.looks
    if not isinstance(model, Completes) or not isinstance(looks, Text):
        return None
    known = len(beginning(x[0], looks))
    rng = subject.rng(_LINES, "completion")
    return model.complete(x.expand(_LINES, -1, -1, -1), known, rng, y)


def beginning(x: Tensor, looks: Text) -> list[int]:
    """The levels of the first half of a line, which does not count its padding.

    Args:
        x: Integers (1, 1, L).
        looks: How levels are read as characters.
    """
    levels: list[int] = torch.flatten(x).tolist()
    return levels[: len(looks.read(levels)) // 2]


def shortened(line: str) -> str:
    """A line of printable characters, at most 46, the last of them an ellipsis where it was longer."""
    shown = "".join(c if c.isprintable() else "\N{MIDDLE DOT}" for c in line)
    if len(shown) <= _WIDTH:
        return shown
    return f"{shown[: _WIDTH - 1]}\N{HORIZONTAL ELLIPSIS}"
