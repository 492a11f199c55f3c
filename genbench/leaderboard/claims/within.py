"""One metric of a row against others of the same runs, such as codes against pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import value_cell
from genbench.leaderboard.claims.row_test import Measured, RowTest
from genbench.leaderboard.claims.statistics import compare_paired
from genbench.leaderboard.intervals import paired
from genbench.leaderboard.rows import Row
from genbench.records.catalogue import metric_info
from genbench.system.typed import Text

__all__ = ["Within"]


@dataclass(frozen=True)
class Within(RowTest):
    """A metric of the subject is larger than every other one of the same runs, whose values are
    paired.

    Args:
        metric: Name of the metric.
        others: Names of the others, of the same scale.
    """

    metric: Text
    others: tuple[Text, ...]

    def measure(self, board: Board, subject: Row, rivals: Sequence[Row]) -> Measured | str:
        """The other one against which the claim is least sure gives the effect: supported against
        each of them, contradicted by one.
        """
        names = (self.metric, *self.others)
        summaries = {name: row for name in names if (row := subject.metric(name)) is not None}
        lacking = [name for name in names if name not in summaries]
        if lacking:
            return f"{', '.join(lacking)}: not measured for {subject.label}"
        a = summaries[self.metric].values
        tests = {name: compare_paired(a, summaries[name].values) for name in self.others}
        hardest = max(tests, key=lambda name: tests[name].above)
        b = summaries[hardest].values
        texts = [
            f"{metric_info(name).title} {value_cell(summary, metric_info(name).digits).text}"
            for name, summary in summaries.items()
        ]
        sentence = f"{subject.label}: {texts[0]}, against {', '.join(texts[1:])}"
        if len(tests) > 1:
            sentence = f"{sentence}; the effect is against {metric_info(hardest).title_in_text}"
        contradiction = len(tests) * min(test.below for test in tests.values())
        return Measured(
            sentence=sentence,
            unit=f"{metric_info(self.metric).title_in_text}, difference",
            effect=fmean(a) - fmean(b),
            interval=paired(a, b),
            p_support=tests[hardest].above,
            p_contradiction=min(1.0, contradiction),
        )
