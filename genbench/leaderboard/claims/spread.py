"""The spread of a metric over training seeds, which is what an unstable training shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import stdev
from typing import Literal

from genbench.leaderboard.board import Board
from genbench.leaderboard.claims.row_test import Pair, PairTest
from genbench.leaderboard.claims.seed_pair import logarithms
from genbench.leaderboard.claims.statistics import KURTOSIS_FACTOR, PValues, compare_spreads
from genbench.leaderboard.intervals import CONFIDENCE
from genbench.leaderboard.rows import Row
from genbench.records.catalogue import metric_info, named_metric

__all__ = ["Spread", "compare_divergence"]


@dataclass(frozen=True)
class Spread(PairTest):
    """The final quality of the subject spreads more, or less, over training seeds than that of every
    rival.

    Spreads are those of logarithms, so that a poor model is not called unstable for its larger
    numbers. Diverged runs are counted by an exact test (Fisher), and a row that has some is never
    the stable one. The spread holds the noise of sampling, which all rows share.

    Args:
        metric: Name of a metric; quality: the one that stands for it on the board.
        subject_is: What the claim says of the subject's spread.
    """

    subject_is: Literal["larger", "smaller"]
    metric: str = "quality"

    def name(self, board: Board) -> str:
        """Name of the metric on a board."""
        return named_metric(board.protocol, self.metric)

    def unit(self, board: Board) -> str:
        """What the effect is."""
        title = metric_info(self.name(board)).title_in_text
        return f"sd over seeds of log {title}, ratio"

    def logarithms(self, board: Board, row: Row) -> tuple[float, ...] | None:
        """Logarithms of the metric of every finished run; None where it was not measured, or has
        none.
        """
        summary = row.metric(self.name(board))
        if summary is None:
            return () if row.diverged else None
        if min(summary.values) <= 0:
            return None
        return logarithms(summary.values)

    def value(self, board: Board, row: Row) -> str | None:
        """The spread as a text, and how many runs diverged."""
        values = self.logarithms(board, row)
        if values is None or (len(values) < 2 and not row.diverged):
            return None
        diverged = f"{row.diverged} of {len(row.records)} runs diverged"
        if len(values) < 2:
            return diverged
        text = f"{100 * stdev(values):.2g} %"
        if row.diverged:
            return f"{text} ({diverged})"
        return text

    def pair(self, board: Board, subject: Row, rival: Row) -> Pair:
        """Spread of the subject over that of the rival."""
        a = self.logarithms(board, subject) or ()
        b = self.logarithms(board, rival) or ()
        p_values = with_diverged_runs(compare_spreads(a, b), subject, rival)
        support, contradiction = p_values.above, p_values.below
        if self.subject_is == "smaller":
            support, contradiction = contradiction, support
        if min(len(a), len(b)) < 2 or stdev(b) == 0:
            return Pair(None, None, support, contradiction)
        return Pair(stdev(a) / stdev(b), spread_interval(a, b), support, contradiction)


def with_diverged_runs(p_values: PValues, subject: Row, rival: Row) -> PValues:
    """p values of "the subject is less stable" and of "the rival is", of finished and of diverged
    runs together.

    Args:
        p_values: Those of the finished runs.
        subject: A row.
        rival: Another one.
    """
    if not (subject.diverged or rival.diverged):
        return p_values
    counts = compare_divergence(
        subject.diverged, len(subject.records), rival.diverged, len(rival.records)
    )
    above = min(1.0, 2 * min(p_values.above, counts.above))
    below = min(1.0, 2 * min(p_values.below, counts.below))
    return PValues(
        above=1.0 if rival.diverged else above,
        below=1.0 if subject.diverged else below,
    )


def compare_divergence(diverged: int, runs: int, rival_diverged: int, rival_runs: int) -> PValues:
    """Fisher's exact p values of "the first diverges more often" and of "the second does".

    Args:
        diverged: Diverged runs of the first row.
        runs: All its runs.
        rival_diverged: Diverged runs of the second row.
        rival_runs: All its runs.

    Examples:
        >>> round(compare_divergence(5, 5, 0, 5).above, 6) == round(1 / 252, 6)
        True
    """
    total = diverged + rival_diverged
    ways = [
        math.comb(runs, k) * math.comb(rival_runs, total - k) for k in range(min(runs, total) + 1)
    ]
    return PValues(
        above=sum(ways[diverged:]) / sum(ways), below=sum(ways[: diverged + 1]) / sum(ways)
    )


def spread_interval(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, float] | None:
    """95 % interval of a ratio of standard deviations, by the same F as the p values.

    Args:
        a: Values of the first row, at least two.
        b: Values of the second row, which are not all equal.
    """
    from scipy.special import fdtri

    if stdev(a) == 0:
        return None
    freedoms = [(len(values) - 1) / KURTOSIS_FACTOR for values in (a, b)]
    high = float(fdtri(freedoms[1], freedoms[0], (1 + CONFIDENCE) / 2))
    low = 1 / float(fdtri(freedoms[0], freedoms[1], (1 + CONFIDENCE) / 2))
    ratio = stdev(a) / stdev(b)
    return ratio * math.sqrt(low), ratio * math.sqrt(high)
