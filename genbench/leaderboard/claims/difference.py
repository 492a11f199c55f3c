"""A metric of one row against that of others, over training seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import value_cell
from genbench.leaderboard.claims.row_test import Pair, PairTest
from genbench.leaderboard.claims.seed_pair import seed_difference, seed_ratio, without_survivors
from genbench.leaderboard.rows import Row
from genbench.leaderboard.summary import Summary
from genbench.records.catalogue import MetricInfo, metric_info, named_metric

__all__ = ["Difference"]


@dataclass(frozen=True)
class Difference(PairTest):
    """The subject is better, or worse, in a metric than every rival. A row of which runs diverged is
    never the better one. Of a metric without a better direction the subject's is larger, or smaller.

    Args:
        metric: Name of a metric; quality or diversity: the one that stands for it on the board.
        subject_is: What the claim says of the subject, or of its value.
        scale: ratio: of geometric means, by the logarithms, for distances whose spread grows with
            their size; difference: of means, for shares and for values that may be negative.
    """

    metric: str
    subject_is: Literal["better", "worse", "larger", "smaller"] = "better"
    scale: Literal["ratio", "difference"] = "difference"

    def name(self, board: Board) -> str:
        """Name of the metric on a board."""
        return named_metric(board.protocol, self.metric)

    def info(self, board: Board) -> MetricInfo:
        """The description of the metric."""
        return metric_info(self.name(board))

    def unit(self, board: Board) -> str:
        """What the effect is."""
        return f"{self.info(board).title_in_text}, {self.scale}"

    def summary(self, board: Board, row: Row) -> Summary | None:
        """The metric over the seeds."""
        return row.metric(self.name(board))

    def value(self, board: Board, row: Row) -> str | None:
        """The metric over the seeds as a text."""
        summary = self.summary(board, row)
        if summary is None:
            return None
        return value_cell(summary, self.info(board).digits).text

    def pair(self, board: Board, subject: Row, rival: Row) -> Pair:
        """The ratio of subject and rival, or their difference."""
        summaries = [self.summary(board, row) for row in (subject, rival)]
        a, b = (summary.values for summary in summaries if summary)
        compare = seed_ratio if self.scale == "ratio" else seed_difference
        if self.subject_is == "larger" or self.subject_is == "smaller":
            return compare(subject, rival, a, b, self.subject_is == "larger")
        is_higher_better = self.info(board).better == "higher"
        is_larger = is_higher_better == (self.subject_is == "better")
        pair = compare(subject, rival, a, b, is_larger)
        return without_survivors(pair, subject, rival, self.subject_is)
