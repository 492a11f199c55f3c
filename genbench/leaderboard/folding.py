"""Which rows of a long board the page shows at first, and which it unfolds on demand."""

from __future__ import annotations

from dataclasses import dataclass, field

from genbench.leaderboard.board import Board
from genbench.leaderboard.slide.plan import representatives

__all__ = ["LONGEST_WHOLE", "Folds", "folds_of"]

# A board of at most this many rows is seen at one glance, and nothing of it is folded.
LONGEST_WHOLE = 12


@dataclass(frozen=True)
class Folds:
    """The rows of a board that are folded.

    Attributes:
        others: Labels of the rows that are unfolded on demand.
        counts: Label of a row that stands for its family -> how many others the family has.
    """

    others: frozenset[str] = frozenset()
    counts: dict[str, int] = field(default_factory=dict)


def folds_of(board: Board) -> Folds:
    """What is folded of a board: nothing of a short one; of a long one, every row of a family whose
    recipe `configs/slide.yaml` names but the row of that recipe.

    Args:
        board: The board.
    """
    if len(board.rows) <= LONGEST_WHOLE:
        return Folds()
    chosen = representatives(board.protocol.dataset, board.rows)
    others = [row for row in board.rows if row.family in chosen and row is not chosen[row.family]]
    families = [row.family for row in others]
    counts = {
        row.label: families.count(family) for family, row in chosen.items() if family in families
    }
    return Folds(frozenset(row.label for row in others), counts)
