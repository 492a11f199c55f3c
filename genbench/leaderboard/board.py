r"""Which numbers may stand in one table, and which of them may be called best.

A board holds the records of one protocol: every field equal. A row of it is one model, variant,
configuration (without its seed) and class of device, over its training seeds:

    x_1, ..., x_n    the value of each run that finished
    m = 1/n sum_s x_s                        never the minimum
    sd^2 = 1/(n-1) sum_s (x_s - m)^2         the spread over training seeds; unknown for n = 1
    e = sd, for n = 1 the error of the measurement itself, and 0 where that is unknown too

Row a *beats* row b in a metric if the 95 % interval of m_a - m_b lies on the better side of zero
(`genbench.leaderboard.intervals`): the rule of `genbench compare`, by which one seed beats nothing.
A row is *best* if it beats every other row, none of its runs diverged, and it has the seeds that
the protocol asks for: a mean over survivors wins nothing, though it can keep others from winning.
The noise floor is printed, not ranked.

On a board of the former protocol all trainings were evaluated with one seed. There the spread over
trainings leaves out the noise of sampling, so that no row beats another.

Likelihoods are printed in nats per image where the data has two levels, else in bits per dimension;
a board has one of the two. They are claims of different strength about the truth b of a model,
given the printed value v:

    exact      b = v
    bound      b <= v
    estimate   b = v up to an error of either sign

so a beats b only if a is exact or a bound, b is exact, and the interval of v_a - v_b lies below
zero. In particular an exact value under a rival's bound proves nothing. Besides, the lowest of
several values of one kind is marked as *lead*: the lowest figure, which is no claim about the
models. p(x) and p(x | y) are different columns. Speeds are compared on one device only.
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
from genbench.records.parts import ProtocolIdentity
from genbench.records.record import NOISE_FLOOR, Record

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
        return tuple(
            c for c in (False, True) if c is False or any(row.nll(True) for row in self.rows)
        )

    def lacks(self, row: Row) -> int:
        """How many training seeds of those that the protocol asks for a row does not have."""
        return max(0, self.protocol.seeds - len(row.records))

    def rows_like(self, row: Row) -> list[Row]:
        """The rows that one is ranked among: models of p(x), or of p(x | y), which are told more."""
        return [other for other in self.rows if other.conditional is row.conditional]

    @property
    def tests_differences(self) -> bool:
        """Whether an interval over training seeds covers all noise: not under the former protocol."""
        return not self.protocol.is_former

    def mark(self, row: Row, metric: str) -> Mark:
        """Whether the row is best in a metric."""
        info = metric_info(metric)
        if not self.tests_differences:
            return ""
        if info.of_likelihood and any(
            other.kind != "exact" for other in self.rows if other.metric(metric)
        ):
            return ""  # below a rival's upper bound is no proof
        rivals = [
            other for other in self.rows_like(row) if other is not row and other.metric(metric)
        ]
        if (
            info.better is None
            or row.diverged
            or self.lacks(row)
            or row.metric(metric) is None
            or not rivals
        ):
            return ""
        if all(beats(row, other, metric) for other in rivals):
            return "best"
        return ""

    def nll_mark(self, row: Row, conditional: bool = False) -> Mark:
        """Whether the row is proved best in likelihood, or has the lowest value of its kind."""
        mine = row.nll(conditional)
        if mine is None or row.diverged or self.lacks(row):
            return ""
        rivals = [
            other
            for other in self.rows
            if other.model_key != row.model_key and other.nll(conditional)
        ]
        if (
            self.tests_differences
            and rivals
            and all(_proves_below(row, other, conditional) for other in rivals)
        ):
            return "best"
        alike = [
            nll for other in rivals if other.kind == row.kind and (nll := other.nll(conditional))
        ]
        if alike and all(mine.mean < nll.mean for nll in alike):
            return "lead"
        return ""


def boards(records: Iterable[Record]) -> list[Board]:
    """One board per protocol, sorted by data set, name and hash of the protocol; those of the
    former protocol after the others.

    Raises:
        InputError: Records of one row contradict each other.
    """
    ordered = sorted(
        records, key=lambda r: (r.dataset, r.protocol.name, r.protocol.is_former, r.protocol.hash)
    )
    found = [_board(list(group)) for _, group in groupby(ordered, key=lambda r: r.protocol.hash)]
    return [replace(board, apart=_apart(board, found)) for board in found]


def _apart(board: Board, every: Sequence[Board]) -> str:
    """What tells a board's protocol from others of the same name and data, but for the rule of
    seeds: "chunk 64, repeats 5".
    """
    p = board.protocol
    namesakes = [
        o.protocol for o in every if (o.protocol.dataset, o.protocol.name) == (p.dataset, p.name)
    ]
    names = [
        f.name
        for f in fields(p)
        if f.name != "evaluated_by" and len({getattr(other, f.name) for other in namesakes}) > 1
    ]
    return ", ".join(
        f"{name.replace('_', ' ')} {_field_words(name, getattr(p, name))}" for name in names
    )


def _field_words(name: str, value: object) -> str:
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


def _board(records: Sequence[Record]) -> Board:
    if len({record.protocol.hash for record in records}) != 1:
        raise InputError("records of different protocols never share a table")
    groups: dict[RowKey, list[Record]] = {}
    for r in sorted(records, key=lambda r: (row_key(r), r.seed)):
        groups.setdefault(row_key(r), []).append(r)
    rows = [make_row(key, list(groups), tuple(found)) for key, found in groups.items()]
    rows.sort(key=lambda row: (family_order(row.family), row.label))
    floor = tuple(row for row in rows if row.first.model == NOISE_FLOOR)
    return Board(records[0].protocol, tuple(row for row in rows if row not in floor), floor)


def beats(row: Row, other: Row, metric: str) -> bool:
    mine = row.metric(metric)
    theirs = other.metric(metric)
    if mine is None or theirs is None:
        return False
    if metric_info(metric).better == "lower":
        return _below(row.difference(other, mine, theirs))
    return _below(other.difference(row, theirs, mine))


def _below(interval: Interval | None) -> bool:
    return interval is not None and interval[1] < 0


def _proves_below(row: Row, other: Row, conditional: bool) -> bool:
    mine = row.nll(conditional)
    theirs = other.nll(conditional)
    if mine is None or theirs is None:
        return False
    return (
        row.kind in ("exact", "bound")
        and other.kind == "exact"
        and _below(row.difference(other, mine, theirs))
    )
