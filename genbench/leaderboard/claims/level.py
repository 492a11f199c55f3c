"""A metric of one row against a value that is known, over training seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import value_cell
from genbench.leaderboard.claims.numbers import number_text
from genbench.leaderboard.claims.row_test import Measured, RowTest
from genbench.leaderboard.claims.statistics import compare_paired
from genbench.leaderboard.intervals import paired
from genbench.leaderboard.rows import Row
from genbench.records.catalogue import metric_info

__all__ = ["Level"]


@dataclass(frozen=True)
class Level(RowTest):
    """A metric of the subject lies below, or above, a value that is known, such as that of the data.

    Args:
        metric: Name of a metric.
        value: What it is compared with.
        subject_is: On which side of the value the claim says that the subject is.
    """

    metric: str
    value: float
    subject_is: Literal["below", "above"]

    def measure(self, board: Board, subject: Row, rivals: Sequence[Row]) -> Measured | str:
        """The mean over the seeds, by Student's t."""
        info = metric_info(self.metric)
        summary = subject.metric(self.metric)
        if summary is None:
            return f"{info.title_in_text}: not measured for {subject.label}"
        values = [self.value] * summary.n
        p_values = compare_paired(summary.values, values)
        is_below = self.subject_is == "below"
        text = value_cell(summary, info.digits).text
        interval = paired(summary.values, values)
        if interval is not None:
            interval = (self.value + interval[0], self.value + interval[1])
        return Measured(
            sentence=f"{subject.label} {text}, against {number_text(self.value)}",
            unit=info.title_in_text,
            effect=summary.mean,
            interval=interval,
            p_support=p_values.below if is_below else p_values.above,
            p_contradiction=p_values.above if is_below else p_values.below,
        )
