"""An exact statement: the numbers of a demonstration beside their closed forms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from genbench.leaderboard.claims.claim_test import ClaimTest
from genbench.leaderboard.claims.entry import ClaimFile
from genbench.leaderboard.claims.evidence import Evidence
from genbench.leaderboard.claims.finding import Finding
from genbench.records.demonstration import (
    DemonstrationRecord,
    demonstration_path,
    figure_path,
    read_demonstration,
)
from genbench.system.typed import Text

__all__ = ["Demonstrated"]


@dataclass(frozen=True)
class Demonstrated(ClaimTest):
    """Every number of a demonstration is within its tolerance of what theory says.

    Args:
        name: Name of the demonstration, as `genbench demo` knows it.
    """

    compares_rows: ClassVar[bool] = False

    name: Text

    def findings(self, entry: ClaimFile, evidence: Evidence) -> Iterator[Finding]:
        """The one finding of a demonstration, which has no data set."""
        path = demonstration_path(evidence.out, self.name)
        if not path.is_file():
            yield Finding("", f"not yet computed: genbench demo {self.name}")
            return
        record = read_demonstration(path)
        figure = figure_path(evidence.out, self.name)
        yield Finding(
            dataset="",
            sentence=f"{record.sentence} {numbers(record)}",
            effect=max(value.error for value in record.values),
            unit="largest error",
            p_support=0.0 if record.passed else 1.0,
            p_contradiction=1.0 if record.passed else 0.0,
            is_exact=True,
            figure=figure.relative_to(evidence.out).as_posix() if figure.is_file() else "",
        )


def numbers(record: DemonstrationRecord) -> str:
    """How many numbers agree with their closed forms."""
    agree = sum(value.passed for value in record.values)
    return f"{agree} of {len(record.values)} numbers are within their tolerance."
