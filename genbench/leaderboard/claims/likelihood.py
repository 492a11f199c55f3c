"""Likelihoods: which model's is better, and how far two bounds of one model lie apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import KIND_SIGNS, value_cell
from genbench.leaderboard.claims.row_test import Pair, PairTest
from genbench.leaderboard.claims.seed_pair import (
    are_paired,
    seed_difference,
    without_survivors,
)
from genbench.leaderboard.rows import Row, likelihood_unit

__all__ = ["BoundGap", "LikelihoodOrder"]


@dataclass(frozen=True)
class LikelihoodTest(PairTest):
    """A test of -log p(x), in bits per dimension or nats, with its kind."""

    def unit(self, board: Board) -> str:
        """What the effect is."""
        return f"{likelihood_unit(board.protocol)}, difference"

    def value(self, board: Board, row: Row) -> str | None:
        """The likelihood over the seeds, with the sign of its kind."""
        if row.nll() is None or row.kind is None:
            return None
        return value_cell(row.nll(), 3, sign=KIND_SIGNS[row.kind]).text

    def values(self, row: Row) -> tuple[float, ...]:
        """-log p(x) of each run."""
        summary = row.nll()
        if summary is None:
            return ()
        return summary.values


@dataclass(frozen=True)
class LikelihoodOrder(LikelihoodTest):
    """The subject has a better likelihood than every rival.

    Args:
        about: models: as far as the kinds of number prove it: the lower one must be exact or a bound,
            and the higher one exact, so that an exact value under a rival's bound proves nothing, and
            an estimate nothing at all; numbers: the printed values, of one kind, such as two bounds.
    """

    about: Literal["models", "numbers"]

    def pair(self, board: Board, subject: Row, rival: Row) -> Pair:
        """Subject minus rival."""
        pair = seed_difference(
            subject, rival, self.values(subject), self.values(rival), is_larger=False
        )
        if self.about == "numbers":
            return numbers_alone(pair, subject, rival)
        can_be_better = proves(subject, rival)
        can_be_worse = proves(rival, subject)
        reason = pair.reason
        if not (can_be_better or can_be_worse):
            reason = f"{subject.label} and {rival.label}: their kinds prove no order"
        elif not can_be_better and fmean(self.values(subject)) < fmean(self.values(rival)):
            reason = f"{rival.label} is {'a bound' if rival.kind == 'bound' else 'an estimate'}, "
            reason += "under which nothing is proved"
        return replace(
            pair,
            p_support=pair.p_support if can_be_better and not subject.diverged else 1.0,
            p_contradiction=pair.p_contradiction if can_be_worse and not rival.diverged else 1.0,
            reason=reason,
        )


def numbers_alone(pair: Pair, subject: Row, rival: Row) -> Pair:
    """The pair where the printed values are compared, if they are of one kind.

    Args:
        pair: As the values give it.
        subject: What the claim is about.
        rival: What it is compared with.
    """
    if subject.kind != rival.kind:
        reason = f"{subject.label} and {rival.label} have numbers of different kinds"
        return Pair(pair.effect, reason=reason)
    return without_survivors(pair, subject, rival, "better")


def proves(winner: Row, loser: Row) -> bool:
    """Whether a lower value of the winner would prove that its likelihood is better."""
    return winner.kind in ("exact", "bound") and loser.kind == "exact"


@dataclass(frozen=True)
class BoundGap(LikelihoodTest):
    """The subject is a looser bound than every rival, a tighter number of the same runs, such as that
    of many importance weights. The difference of two bounds is at most the gap to log p(x).
    """

    def pair(self, board: Board, subject: Row, rival: Row) -> Pair:
        """Subject minus rival, paired by seed."""
        pair = seed_difference(
            subject, rival, self.values(subject), self.values(rival), is_larger=True
        )
        if not are_paired(subject, rival):
            reason = f"{subject.label} and {rival.label} are not of the same runs"
            return Pair(pair.effect, reason=reason)
        return pair
