"""The figures by name, each a function from a subject to a drawing.

Which of them a run gets follows from what its model and its data offer. A figure that a run cannot
have raises `NotPossible` with the reason.
"""

from __future__ import annotations

from collections.abc import Callable

from genbench.explore.arithmetic import arithmetic
from genbench.explore.drawing import Drawing
from genbench.explore.encodings import encodings
from genbench.explore.images import reconstructions, samples
from genbench.explore.neighbours import neighbours
from genbench.explore.points import points
from genbench.explore.processes import forward, reverse
from genbench.explore.subject import Subject
from genbench.explore.text import text
from genbench.explore.tsne import tsne
from genbench.explore.walks import interpolation, manifold, traversals

__all__ = ["FIGURES", "Drawing"]

_IN_ORDER: tuple[Callable[[Subject], Drawing], ...] = (
    samples,
    reconstructions,
    manifold,
    encodings,
    traversals,
    interpolation,
    arithmetic,
    neighbours,
    tsne,
    forward,
    reverse,
    points,
    text,
)


FIGURES: dict[str, Callable[[Subject], Drawing]] = {figure.__name__: figure for figure in _IN_ORDER}
