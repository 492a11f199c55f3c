"""What a test finds about a claim on one data set."""

from __future__ import annotations

from dataclasses import dataclass

from genbench.leaderboard.intervals import Interval
from genbench.leaderboard.rows import Row

__all__ = ["Finding", "Lack"]


@dataclass(frozen=True)
class Lack:
    """Runs without which a claim has no verdict.

    Attributes:
        dataset: Name of the data set.
        label: <model>[@variant], the row that lacks them.
        seeds: Training seeds that are not there.
        needed: How many training seeds the row needs.
        folder: Folder of the records below the leaderboard's, such as claims/games; empty: that of
            the boards themselves.
    """

    dataset: str
    label: str
    seeds: tuple[int, ...]
    needed: int
    folder: str = ""

    @property
    def model(self) -> str:
        """Name of the recipe."""
        return self.label.partition("@")[0]

    @property
    def variant(self) -> str:
        """Name of the evaluation; empty for the default one."""
        return self.label.partition("@")[2]

    @property
    def seeds_there(self) -> int:
        """How many training seeds there are."""
        return self.needed - len(self.seeds)

    def __str__(self) -> str:
        place = f" in {self.folder}" if self.folder else ""
        return f"{self.dataset}/{self.label}{place}: {self.seeds_there} of {self.needed} seeds"


@dataclass(frozen=True)
class Finding:
    """What the records say about a claim on one data set, before the correction over all claims.

    Attributes:
        dataset: Name of the data set; empty for a demonstration, which has none.
        sentence: The measurement in words and numbers.
        budget: What the rows have in common, such as "equal images"; empty: each is trained as its
            recipe says.
        effect: The measured size, in `unit`; None where there is nothing to measure it from.
        interval: 95 % interval of the effect, not corrected for the number of claims; None where it
            is not known.
        unit: What the effect is, such as "FID, ratio".
        p_support: p value against the hypothesis that the claim is not true; None where nothing was
            tested.
        p_contradiction: p value against the hypothesis that what the entry states as contradiction
            is not true.
        is_exact: Whether the quantity has no error, such as a number of network evaluations. Its p
            values are 0 or 1, and take no part in the correction.
        rows: The rows that were compared, the subject of the claim first.
        lacks: Runs without which there is no verdict.
        figure: A picture that belongs to it, below the leaderboard's folder; empty without one.
    """

    dataset: str
    sentence: str
    budget: str = ""
    effect: float | None = None
    interval: Interval | None = None
    unit: str = ""
    p_support: float | None = None
    p_contradiction: float | None = None
    is_exact: bool = False
    rows: tuple[Row, ...] = ()
    lacks: tuple[Lack, ...] = ()
    figure: str = ""

    @property
    def is_tested(self) -> bool:
        """Whether its two hypotheses are among those that are corrected for."""
        return self.is_measured and not self.is_exact

    @property
    def is_measured(self) -> bool:
        """Whether there is a verdict at all."""
        return self.p_support is not None and not self.lacks
