"""Tests that compare rows: the subject of a claim with its rivals.

A claim against several rivals is supported if it is against each of them (intersection-union: the
largest p value), and contradicted if one of them says the opposite (the smallest p value, times the
number of rivals).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from genbench.leaderboard.board import Board
from genbench.leaderboard.claims.claim_test import ClaimTest
from genbench.leaderboard.claims.entry import ClaimFile
from genbench.leaderboard.claims.evidence import Evidence
from genbench.leaderboard.claims.finding import Finding
from genbench.leaderboard.intervals import Interval
from genbench.leaderboard.rows import Row

__all__ = ["Measured", "Pair", "PairTest", "RowTest"]


@dataclass(frozen=True)
class Measured:
    """What a test measures on some rows.

    Attributes:
        sentence: In words and numbers.
        unit: What the effect is.
        effect: The size; None where it cannot be known.
        interval: 95 % interval of the effect; None where it is not known.
        p_support: p value against the hypothesis that the claim is not true.
        p_contradiction: The same for its contradiction.
        is_exact: Whether the quantity has no error, and its p values are 0 or 1.
    """

    sentence: str
    unit: str = ""
    effect: float | None = None
    interval: Interval | None = None
    p_support: float = 1.0
    p_contradiction: float = 1.0
    is_exact: bool = False


@dataclass(frozen=True)
class Pair:
    """The subject of a claim against one rival.

    Attributes:
        effect: The size of the difference; None where it cannot be known.
        interval: Its 95 % interval; None where it is not known.
        p_support: p value of the claim against this rival.
        p_contradiction: p value of the opposite.
        reason: Why nothing can be resolved; empty where something can.
        is_exact: Whether the difference has no error.
    """

    effect: float | None
    interval: Interval | None = None
    p_support: float = 1.0
    p_contradiction: float = 1.0
    reason: str = ""
    is_exact: bool = False


class RowTest(ClaimTest):
    """A test of rows of one board."""

    @abstractmethod
    def measure(self, board: Board, subject: Row, rivals: Sequence[Row]) -> Measured | str:
        """Compare rows.

        Args:
            board: Where they stand.
            subject: What the claim is about.
            rivals: What it is compared with.

        Returns:
            What was measured; or why it was not, in words.
        """

    def seeds_needed(self, seeds: int) -> int:
        """How many training seeds a row needs.

        Args:
            seeds: As many as quantities with an error need on this data set.
        """
        return seeds

    def findings(self, entry: ClaimFile, evidence: Evidence) -> Iterator[Finding]:
        """What the records say, for every data set and budget under which it was measured."""
        for budget, folder in entry.folders.items():
            measured = {board.protocol.dataset for board in evidence.boards(folder)}
            for dataset, comparison in entry.compare.items():
                if budget and dataset not in measured:
                    continue
                names = (comparison.subject, *comparison.rivals)
                seeds = entry.seeds or evidence.settings.seeds_of(dataset)
                yield self.finding(evidence, budget, folder, dataset, names, seeds)

    def finding(
        self,
        evidence: Evidence,
        budget: str,
        folder: str,
        dataset: str,
        names: Sequence[str],
        seeds: int,
    ) -> Finding:
        """What the records of one folder say about one data set.

        Args:
            evidence: The records.
            budget: What the rows have in common.
            folder: Folder of the records.
            dataset: Name of the data set.
            names: Families or labels, the subject first.
            seeds: How many training seeds a quantity with an error needs.
        """
        labels = [evidence.settings.label(dataset, name) for name in names]
        needed = self.seeds_needed(seeds)
        compared = evidence.rows(folder, dataset, labels, needed)
        rows = tuple(row for row in compared.rows if row is not None)
        if compared.board is None or len(rows) < len(labels):
            return Finding(dataset, "", budget, rows=rows, lacks=compared.lacks)
        measured = self.measure(compared.board, rows[0], rows[1:])
        if isinstance(measured, str):
            return Finding(dataset, measured, budget, rows=rows, lacks=compared.lacks)
        return Finding(
            dataset=dataset,
            sentence=measured.sentence,
            budget=budget,
            effect=measured.effect,
            interval=measured.interval,
            unit=measured.unit,
            p_support=measured.p_support,
            p_contradiction=measured.p_contradiction,
            is_exact=measured.is_exact,
            rows=rows,
            lacks=compared.lacks,
        )


class PairTest(RowTest):
    """A test of the subject against each of its rivals."""

    @abstractmethod
    def unit(self, board: Board) -> str:
        """What the effect is."""

    @abstractmethod
    def value(self, board: Board, row: Row) -> str | None:
        """The quantity of a row as a text; None where the row does not have it."""

    @abstractmethod
    def pair(self, board: Board, subject: Row, rival: Row) -> Pair:
        """Compare the subject of a claim with one rival. Both have the quantity.

        Args:
            board: Where both stand.
            subject: What the claim is about.
            rival: What it is compared with.
        """

    def measure(self, board: Board, subject: Row, rivals: Sequence[Row]) -> Measured | str:
        """Compare the subject with every rival. The effect is that of the rival against which the
        claim is least sure.
        """
        rows = (subject, *rivals)
        values = [self.value(board, row) for row in rows]
        without = [row.label for row, value in zip(rows, values) if value is None]
        if without:
            return f"{self.unit(board)}: not measured for {', '.join(without)}"
        pairs = [self.pair(board, subject, rival) for rival in rivals]
        hardest = max(range(len(pairs)), key=lambda i: pairs[i].p_support)
        pair = pairs[hardest]
        texts = [f"{row.label} {value}" for row, value in zip(rows, values)]
        sentence = f"{texts[0]}, against {', '.join(texts[1:])}"
        if len(rivals) > 1:
            sentence = f"{sentence}; the effect is against {rivals[hardest].label}"
        reasons = sorted({other.reason for other in pairs if other.reason})
        contradiction = len(pairs) * min(other.p_contradiction for other in pairs)
        return Measured(
            sentence="; ".join([sentence, *reasons]),
            unit=self.unit(board),
            effect=pair.effect,
            interval=pair.interval,
            p_support=pair.p_support,
            p_contradiction=min(1.0, contradiction),
            is_exact=all(other.is_exact for other in pairs),
        )
