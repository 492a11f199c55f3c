"""How much the quality of samples goes up and down within a run."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Literal

from genbench.leaderboard.board import Board
from genbench.leaderboard.claims.row_test import Pair, PairTest
from genbench.leaderboard.claims.seed_pair import logarithms, seed_difference
from genbench.leaderboard.rows import Row
from genbench.records.catalogue import metric_info
from genbench.records.curve import Curve

__all__ = ["Oscillation", "ripple"]


@dataclass(frozen=True)
class Oscillation(PairTest):
    """Within a run, the quality of the subject's samples goes up and down more, or less, than that of
    every rival: `ripple` of the curve over the images seen, one number a run.

    Args:
        subject_is: What the claim says of the subject's ripple.
    """

    subject_is: Literal["larger", "smaller"] = "larger"

    def unit(self, board: Board) -> str:
        """What the effect is."""
        metrics = {
            record.curve.metric for row in board.rows for record in row.records if record.curve
        }
        titles = ", ".join(sorted(metric_info(name).title_in_text for name in metrics))
        return f"ripple of log {titles or 'quality'} within a run, difference"

    def ripples(self, row: Row) -> tuple[float, ...] | None:
        """The ripple of every finished run; None where one has no curve."""
        values = [
            ripple(record.curve) if record.curve else None
            for record in row.records
            if record.status == "done"
        ]
        known = tuple(value for value in values if value is not None)
        if not known or len(known) < len(values):
            return None
        return known

    def value(self, board: Board, row: Row) -> str | None:
        """The mean ripple as a text."""
        values = self.ripples(row)
        if values is None:
            return None
        return f"{100 * fmean(values):.2g} %"

    def pair(self, board: Board, subject: Row, rival: Row) -> Pair:
        """Ripple of the subject minus that of the rival."""
        a = self.ripples(subject) or ()
        b = self.ripples(rival) or ()
        return seed_difference(subject, rival, a, b, is_larger=self.subject_is == "larger")


def ripple(curve: Curve) -> float | None:
    """Mean size of a step of the logarithm in the second half of a curve, around its mean step, which
    is progress. None for fewer than three steps, or where a value is not positive.

    Args:
        curve: The quality over the images seen.
    """
    values = [point.value for point in curve.points[len(curve.points) // 2 - 1 :]]
    if len(values) < 4 or min(values) <= 0:
        return None
    steps = [b - a for a, b in pairwise(logarithms(values))]
    progress = fmean(steps)
    return fmean(abs(step - progress) for step in steps)
