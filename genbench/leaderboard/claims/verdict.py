"""The verdict on a claim, which follows from what its test finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from genbench.leaderboard.claims.claim import Claim
from genbench.leaderboard.claims.finding import Finding, Lack
from genbench.records.record import Record

__all__ = ["OUTCOMES", "OUTCOME_WORDS", "Outcome", "Verdict"]

Outcome = Literal["contradicted", "supported", "not resolved", "not measured"]

# The outcomes stand in the order in which they are shown.
OUTCOMES: tuple[Outcome, ...] = ("contradicted", "supported", "not resolved", "not measured")

OUTCOME_WORDS: dict[Outcome, str] = {
    "contradicted": "contradicted",
    "supported": "supported",
    "not resolved": "not resolved at this budget",
    "not measured": "not measured",
}


@dataclass(frozen=True)
class Verdict:
    """What the records say about one claim on one data set.

    Attributes:
        claim: The claim: its words, its row and column of the slide, what counts as support.
        finding: The measurement: effect, interval, unit, p values, rows, lacking runs, sentence.
        outcome: contradicted, supported, not resolved (at this budget), or not measured.
        adjusted_support: p value of the support after Holm's correction over all hypotheses of the
            page; None where nothing was tested or nothing had to be corrected.
        adjusted_contradiction: The same for the contradiction.
        disagrees: Budgets under which the same claim on the same data set is resolved the other way.
    """

    claim: Claim
    finding: Finding
    outcome: Outcome
    adjusted_support: float | None = None
    adjusted_contradiction: float | None = None
    disagrees: tuple[str, ...] = ()

    @property
    def dataset(self) -> str:
        """Name of the data set; empty for a demonstration."""
        return self.finding.dataset

    @property
    def words(self) -> str:
        """The outcome as it is printed."""
        return OUTCOME_WORDS[self.outcome]

    @property
    def effect(self) -> float | None:
        """The measured size; None where nothing was measured."""
        return self.finding.effect

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the effect, not corrected for the number of claims."""
        return self.finding.interval

    @property
    def unit(self) -> str:
        """What the effect is."""
        return self.finding.unit

    @property
    def sentence(self) -> str:
        """The measurement in words and numbers."""
        return self.finding.sentence

    @property
    def budget(self) -> str:
        """What the rows have in common; empty: each is trained as its recipe says."""
        return self.finding.budget

    @property
    def records(self) -> tuple[Record, ...]:
        """The records of all rows that were compared."""
        return tuple(record for row in self.finding.rows for record in row.records)

    @property
    def lacks(self) -> tuple[Lack, ...]:
        """Runs without which there is no verdict."""
        return self.finding.lacks
