"""One term of a likelihood, such as the KL of an ELBO, of one row against that of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import value_cell
from genbench.leaderboard.claims.row_test import Pair, PairTest
from genbench.leaderboard.claims.seed_pair import seed_difference
from genbench.leaderboard.rows import Row
from genbench.leaderboard.summary import Summary
from genbench.system.typed import Text

__all__ = ["Term"]


@dataclass(frozen=True)
class Term(PairTest):
    """A part of -log p(x), in bits per dimension, is larger, or smaller, than that of every rival.

    Args:
        term: Name of the part, as records call it.
        subject_is: What the claim says of the subject's.
    """

    term: Text
    subject_is: Literal["larger", "smaller"]

    def unit(self, board: Board) -> str:
        """What the effect is."""
        return f"{self.term} in bits/dim, difference"

    def summary(self, row: Row) -> Summary | None:
        """The term over the seeds; None where a run does not have it."""
        values = [x.terms[self.term] for x in row.likelihoods if self.term in x.terms]
        if not values or len(values) < len(row.likelihoods):
            return None
        return Summary(tuple(values))

    def value(self, board: Board, row: Row) -> str | None:
        """The term over the seeds as a text."""
        summary = self.summary(row)
        if summary is None:
            return None
        return value_cell(summary, 3).text

    def pair(self, board: Board, subject: Row, rival: Row) -> Pair:
        """Subject minus rival."""
        summaries = [self.summary(row) for row in (subject, rival)]
        a, b = (summary.values for summary in summaries if summary)
        return seed_difference(subject, rival, a, b, is_larger=self.subject_is == "larger")
