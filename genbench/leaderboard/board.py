r"""Which numbers may stand in one table, and which of them may be called best.

A board holds the records of one protocol: every field equal, but for metrics that came later, which
older records lack. A row of it is one model, variant, configuration (without its seed) and class of
device, over its training seeds:

    x_1, ..., x_n    the value of each run that finished
    m = 1/n sum_s x_s                        never the minimum
    sd^2 = 1/(n-1) sum_s (x_s - m)^2         the spread over training seeds; unknown for n = 1
    e = sd, for n = 1 the error of the measurement itself, and 0 where that is unknown too

Row a *beats* row b in a metric if the 95 % interval of m_a - m_b lies on the better side of zero
(`genbench.leaderboard.intervals`): the rule of `genbench compare`, by which one seed beats nothing.
A row is *best* if it beats every other row, none of its runs diverged, and it has the seeds that
the protocol asks for: a mean over the runs that did not diverge is never best, though it can keep
others from being best. The noise floor is printed, but not ranked.

On a board of the former protocol all trainings were evaluated with one seed. There the spread over
trainings leaves out the noise of sampling, so that no row beats another.

Likelihoods are printed in nats per image where the data has two levels, else in bits per dimension;
a board has one of the two. They are claims of different strength about the truth b of a model,
given the printed value v:

    exact      b = v
    bound      b <= v
    estimate   b = v up to an error of either sign

so a beats b only if a is exact or a bound, b is exact, and the interval of v_a - v_b lies below
zero. In particular an exact value below a rival's bound proves nothing. Besides, the lowest of
several values of one kind is marked as *lead*. This mark says which figure is lowest, and claims
nothing about the models. p(x) and p(x | y) are different columns. Speeds are compared on one device
only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import groupby

from genbench.errors import InputError
from genbench.leaderboard.families import family_order
from genbench.leaderboard.intervals import Interval
from genbench.leaderboard.rows import Mark, Row, RowKey, make_row, row_key
from genbench.records.catalogue import metric_info
from genbench.records.contents import NOISE_FLOOR
from genbench.records.parts import ProtocolIdentity
from genbench.records.record import Record

__all__ = ["Board", "beats", "boards"]


@dataclass(frozen=True)
class Board:
    """The rows of one protocol.

    Attributes:
        protocol: How every row was measured.
        rows: Sorted by family and label, without the noise floor.
        floor: Rows of the noise floor; empty where it was not measured.
        apart: In what this protocol differs from another of the same name and data, in words; empty
            where there is none.
    """

    protocol: ProtocolIdentity
    rows: tuple[Row, ...]
    floor: tuple[Row, ...]
    apart: str = ""

    @cached_property
    def conditional(self) -> tuple[bool, ...]:
        """Which likelihood columns there are: False for p(x), True for p(x | y)."""
        if any(row.nll(True) for row in self.rows):
            return (False, True)
        return (False,)

    @property
    def tests_differences(self) -> bool:
        """Whether an interval over training seeds covers all noise: not under the former protocol."""
        return not self.protocol.is_former

    def lacks(self, row: Row) -> int:
        """How many training seeds of those that the protocol asks for a row does not have."""
        return max(0, self.protocol.seeds - len(row.records))

    def rows_like(self, row: Row) -> list[Row]:
        """The rows that one is ranked among: models of p(x), or of p(x | y), which are told more."""
        return [other for other in self.rows if other.conditional is row.conditional]

    def may_win(self, row: Row) -> bool:
        """Whether a row can be best at all: no run diverged, and no training seed is missing."""
        return not row.diverged and not self.lacks(row)

    def mark(self, row: Row, metric: str) -> Mark:
        """Whether a row is best in a metric.

        Args:
            row: A row of this board.
            metric: Name of the metric.
        """
        info = metric_info(metric)
        if not self.tests_differences or info.better is None:
            return ""
        if info.of_likelihood:
            kinds = {other.kind for other in self.rows if other.metric(metric)}
            if kinds - {"exact"}:
                return ""  # A value below a rival's upper bound proves nothing.
        if not self.may_win(row) or row.metric(metric) is None:
            return ""
        rivals = [other for other in self.rows_like(row) if other is not row]
        rivals = [rival for rival in rivals if rival.metric(metric)]
        if rivals and all(beats(row, rival, metric) for rival in rivals):
            return "best"
        return ""

    def nll_mark(self, row: Row, conditional: bool = False) -> Mark:
        """Whether a row is proved best in likelihood, or has the lowest value of its kind.

        Args:
            row: A row of this board.
            conditional: Whether the likelihood of p(x | y) is meant instead of that of p(x).
        """
        nll = row.nll(conditional)
        if nll is None or not self.may_win(row):
            return ""
        rivals = [other for other in self.rows if other.model_key != row.model_key]
        rivals = [rival for rival in rivals if rival.nll(conditional)]
        is_proved = all(proves_below(row, rival, conditional) for rival in rivals)
        if self.tests_differences and rivals and is_proved:
            return "best"
        of_one_kind = [rival for rival in rivals if rival.kind == row.kind]
        means = [other.mean for rival in of_one_kind if (other := rival.nll(conditional))]
        if means and nll.mean < min(means):
            return "lead"
        return ""


def boards(records: Iterable[Record]) -> list[Board]:
    """Sort records into boards.

    Args:
        records: Records of any protocols.

    Returns:
        One board per protocol, sorted by data set, name and hash of the protocol; those of the
        former protocol after the others.

    Raises:
        InputError: Records of one row contradict each other.
    """
    ordered = sorted(
        records, key=lambda r: (r.dataset, r.protocol.name, r.protocol.is_former, r.protocol.hash)
    )
    groups = groupby(ordered, key=lambda record: record.protocol.hash)
    every = [make_board(list(group)) for _, group in groups]
    protocols = [board.protocol for board in every]
    return [replace(board, apart=difference_words(board.protocol, protocols)) for board in every]


def difference_words(protocol: ProtocolIdentity, every: Sequence[ProtocolIdentity]) -> str:
    """What tells a protocol from others of the same name and data, but for the rule of seeds:
    "chunk 64, repeats 5".

    Args:
        protocol: The protocol.
        every: All protocols.
    """
    name = (protocol.dataset, protocol.name)
    namesakes = [other for other in every if (other.dataset, other.name) == name]
    names = [
        field.name
        for field in fields(protocol)
        if field.name != "evaluated_by"
        and len({getattr(other, field.name) for other in namesakes}) > 1
    ]
    return ", ".join(
        f"{name.replace('_', ' ')} {field_text(name, getattr(protocol, name))}" for name in names
    )


def field_text(name: str, value: object) -> str:
    """A field of a protocol as text: hashes by their first digits."""
    if value is None:
        return "none"
    if name.endswith("hash"):
        return str(value)[:8]
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def make_board(records: Sequence[Record]) -> Board:
    """The board of some records.

    Raises:
        InputError: They are of different protocols, or records of one row contradict each other.
    """
    if len({record.protocol.hash for record in records}) != 1:
        raise InputError("records of different protocols never share a table")
    groups: dict[RowKey, list[Record]] = {}
    for record in sorted(records, key=lambda record: (row_key(record), record.seed)):
        groups.setdefault(row_key(record), []).append(record)
    rows = [make_row(key, list(groups), tuple(group)) for key, group in groups.items()]
    rows.sort(key=lambda row: (family_order(row.family), row.label))
    floor = tuple(row for row in rows if row.first.model == NOISE_FLOOR)
    # Protocols may differ in metrics that were added later. The board has the protocol with the
    # most metrics.
    protocol = max((record.protocol for record in records), key=lambda one: len(one.metrics))
    return Board(protocol, tuple(row for row in rows if row not in floor), floor)


def beats(row: Row, rival: Row, metric: str) -> bool:
    """Whether the interval of a difference lies on the better side of zero.

    Args:
        row: The row that may be better.
        rival: The row that it is compared with.
        metric: Name of a metric that is ranked.
    """
    summary = row.metric(metric)
    rival_summary = rival.metric(metric)
    if summary is None or rival_summary is None:
        return False
    if metric_info(metric).better == "lower":
        return is_negative(row.difference(rival, summary, rival_summary))
    return is_negative(rival.difference(row, rival_summary, summary))


def proves_below(row: Row, rival: Row, conditional: bool) -> bool:
    """Whether the likelihoods of two rows prove that -log p of the first is lower.

    Args:
        row: The row that may be better.
        rival: The row that it is compared with.
        conditional: Whether the likelihoods of p(x | y) are compared instead of those of p(x).
    """
    nll = row.nll(conditional)
    rival_nll = rival.nll(conditional)
    if nll is None or rival_nll is None:
        return False
    return (
        row.kind in ("exact", "bound")
        and rival.kind == "exact"
        and is_negative(row.difference(rival, nll, rival_nll))
    )


def is_negative(interval: Interval | None) -> bool:
    """Whether an interval lies below zero. One that is not known does not."""
    return interval is not None and interval[1] < 0
