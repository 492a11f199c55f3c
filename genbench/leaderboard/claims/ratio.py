"""Speed, network evaluations and cost of one row as a multiple of those of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import count_cell, plain_cell, rough_cell
from genbench.leaderboard.claims.row_test import Pair, PairTest
from genbench.leaderboard.claims.seed_pair import seed_ratio
from genbench.leaderboard.rows import Row
from genbench.leaderboard.summary import Summary
from genbench.system.typed import Range

__all__ = ["Ratio"]

Quantity = Literal[
    "images per second", "seconds per image", "network evaluations", "training seconds per image",
    "parameters",
]  # fmt: skip
COUNTS = ("network evaluations", "parameters")


@dataclass(frozen=True)
class Ratio(PairTest):
    """A quantity of the subject is larger, or smaller, than that of every rival by a factor.

    What was timed is compared on one device only. Network evaluations and parameters are counts: they
    have no error, and their verdict needs one seed.

    Args:
        quantity: What is compared. Seconds per image are those of one image at batch size 1.
        subject_is: What the claim says of the subject.
        factor: By what factor at least.
    """

    quantity: Quantity
    subject_is: Literal["larger", "smaller"]
    factor: Annotated[float, Range(1)] = 1.0

    @property
    def is_count(self) -> bool:
        """Whether the quantity has no error."""
        return self.quantity in COUNTS

    def seeds_needed(self, seeds: int) -> int:
        """A count needs one seed."""
        if self.is_count:
            return 1
        return seeds

    def unit(self, board: Board) -> str:
        """What the effect is."""
        return f"{self.quantity}, ratio"

    def summary(self, row: Row) -> Summary | None:
        """The quantity over the seeds."""
        quantities = {
            "images per second": row.images_per_second,
            "seconds per image": row.latency_seconds,
            "network evaluations": row.network_evaluations,
            "training seconds per image": training_seconds_per_image(row),
            "parameters": Summary(tuple(float(r.cost.parameters) for r in row.records)),
        }
        return quantities[self.quantity]

    def value(self, board: Board, row: Row) -> str | None:
        """The quantity over the seeds as a text."""
        summary = self.summary(row)
        if summary is None:
            return None
        if self.quantity == "parameters":
            return count_cell(int(value) for value in summary.values).text
        if self.quantity == "training seconds per image":
            return f"{1000 * summary.mean:.3g} ms"
        if self.quantity == "seconds per image":
            return f"{rough_cell(summary, 1000).text} ms"
        if self.is_count:
            return plain_cell(summary).text
        return rough_cell(summary).text

    def pair(self, board: Board, subject: Row, rival: Row) -> Pair:
        """Subject over rival."""
        a = self.summary(subject)
        b = self.summary(rival)
        if a is None or b is None:
            raise ValueError(f"{self.quantity} is not measured")
        if self.is_count:
            return self.pair_of_counts(a, b, rival)
        devices = {self.device(subject), self.device(rival)}
        if len(devices) > 1:
            reason = f"{subject.label} and {rival.label} were timed on different devices"
            return Pair(a.mean / b.mean, reason=reason)
        is_larger = self.subject_is == "larger"
        return seed_ratio(subject, rival, a.values, b.values, is_larger, self.factor)

    def device(self, row: Row) -> str | None:
        """What timed the quantity."""
        if self.quantity == "training seconds per image":
            return " / ".join(sorted({record.cost.device for record in row.records}))
        return row.speed_device

    def pair_of_counts(self, a: Summary, b: Summary, rival: Row) -> Pair:
        """Counts that are equal at every seed, one over the other.

        Args:
            a: The counts of the subject.
            b: Those of the rival.
            rival: The rival.
        """
        if max(a.values) != min(a.values) or max(b.values) != min(b.values):
            return Pair(
                a.mean / b.mean, reason="the counts differ from seed to seed", is_exact=True
            )
        if b.mean == 0:
            return Pair(a.mean, reason=f"{rival.label} needs none", is_exact=True)
        ratio = a.mean / b.mean
        claimed = ratio if self.subject_is == "larger" else b.mean / max(a.mean, 1e-300)
        return Pair(
            effect=ratio,
            p_support=0.0 if claimed >= self.factor and claimed > 1 else 1.0,
            p_contradiction=0.0 if claimed < 1 else 1.0,
            is_exact=True,
        )


def training_seconds_per_image(row: Row) -> Summary | None:
    """Seconds of training for one image seen, over the seeds; None where nothing was trained."""
    values = [
        record.seconds_in_all / record.images_in_all
        for record in row.records
        if record.images_in_all
    ]
    if len(values) < len(row.records):
        return None
    return Summary(tuple(values))
