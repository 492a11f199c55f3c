"""What a model declares, and every record of it repeats: no number is estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from genbench.leaderboard.board import Board
from genbench.leaderboard.claims.row_test import Measured, RowTest
from genbench.leaderboard.rows import Row

__all__ = ["Declared"]

WORDS = {
    "implicit": "no explicit density",
    "explicit": "an explicit density",
    "exact": "an exact likelihood",
    "bound": "a bound of the likelihood",
    "estimate": "an estimate of the likelihood",
}


@dataclass(frozen=True)
class Declared(RowTest):
    """Every model that is named declares a property.

    Args:
        density: The property. implicit: the model has no density, and no likelihood on any board.
            explicit: it has one. exact, bound or estimate: its likelihood is of this kind.
    """

    density: Literal["implicit", "explicit", "exact", "bound", "estimate"]

    def seeds_needed(self, seeds: int) -> int:
        """What is declared holds for every seed."""
        return 1

    def measure(self, board: Board, subject: Row, rivals: Sequence[Row]) -> Measured:
        """Whether the rows have the property."""
        rows = (subject, *rivals)
        properties = [declared_properties(row) for row in rows]
        holds = all(self.density in each for each in properties)
        words = [" and ".join(WORDS[name] for name in each) for each in properties]
        texts = [f"{row.label}: {text}" for row, text in zip(rows, words)]
        return Measured(
            sentence="; ".join(texts),
            unit="declared by the model",
            p_support=0.0 if holds else 1.0,
            p_contradiction=1.0 if holds else 0.0,
            is_exact=True,
        )


def declared_properties(row: Row) -> tuple[str, ...]:
    """Whether a model has a density, and of what kind its likelihood is."""
    if row.first.density == "implicit" and row.kind is None:
        return ("implicit",)
    if row.kind is None:
        return ("explicit",)
    return ("explicit", row.kind)
