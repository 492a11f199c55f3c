"""What decides a claim: a test, with its arguments from the entry of the claim."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from genbench.leaderboard.claims.entry import ClaimFile
from genbench.leaderboard.claims.evidence import Evidence
from genbench.leaderboard.claims.finding import Finding

__all__ = ["ClaimTest"]


class ClaimTest(ABC):
    """A way to decide claims. A test is a frozen dataclass whose fields are its arguments; it knows
    quantities, and no claim by name.
    """

    compares_rows: ClassVar[bool] = True
    """Whether an entry says under `compare` whose rows are looked at."""

    @abstractmethod
    def findings(self, entry: ClaimFile, evidence: Evidence) -> Iterator[Finding]:
        """What the records say about each data set, also where records are missing, and about each
        further budget under which the data set was measured.

        Args:
            entry: The file of the claim.
            evidence: The records.
        """
