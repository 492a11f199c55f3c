"""Two rows of a board against each other: better, worse, or not resolved, with the effect and its
interval.

A is better if the whole interval (`genbench.leaderboard.intervals`) lies on its side of zero. One
seed has no spread, and resolves nothing; nor do values that are equal at all seeds; nor does a row
some of whose runs diverged win by its survivors. Of likelihoods only that is resolved which the
kinds of number prove: a bound that lies above an exact value says nothing. Each line is one test:
among many metrics one in twenty is outside by chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from genbench.errors import InputError, nearest
from genbench.leaderboard.board import Board
from genbench.leaderboard.formats import load_boards
from genbench.leaderboard.intervals import Interval
from genbench.leaderboard.rows import Row, Summary, likelihood_unit
from genbench.leaderboard.table import FLOOR_SPREAD, board_title
from genbench.records.catalogue import metric_info

__all__ = ["Comparison", "Verdict", "compare", "compare_rows"]

Verdict = Literal["better", "worse", "not resolved"]


@dataclass(frozen=True)
class Comparison:
    """One quantity of two rows.

    Attributes:
        quantity: Its column head, with an arrow that points to what is better.
        a: Of the first row over its seeds.
        b: Of the second.
        interval: Of the difference of their means, a - b; None where one of them has one seed.
        verdict: Of the first row.
        reason: Why nothing is resolved, where the interval does not say it.
    """

    quantity: str
    a: Summary
    b: Summary
    interval: Interval | None
    verdict: Verdict
    reason: str = ""

    @property
    def effect(self) -> float:
        return self.a.mean - self.b.mean


def compare_rows(board: Board, a: Row, b: Row) -> Iterator[Comparison]:
    """Every quantity that both rows have and that is ranked."""
    for name in board.protocol.metrics:
        info = metric_info(name)
        mine = a.metric(name)
        other = b.metric(name)
        if info.better and mine and other:
            lower = info.better == "lower"
            bound = info.of_likelihood
            yield _compared(
                board, f"{info.title} {'↓' if lower else '↑'}", mine, other, lower, a, b, bound
            )
    for conditional in board.conditional:
        mine = a.nll(conditional)
        other = b.nll(conditional)
        if mine and other and a.model_key != b.model_key:
            yield _compared(
                board,
                f"{likelihood_unit(board.protocol)} p(x{' | y' if conditional else ''}) ↓",
                mine,
                other,
                True,
                a,
                b,
                True,
            )


def _compared(
    board: Board,
    quantity: str,
    mine: Summary,
    other: Summary,
    lower: bool,
    a: Row,
    b: Row,
    of_likelihood: bool,
) -> Comparison:
    interval = a.difference(b, mine, other)
    if interval is None:
        return Comparison(
            quantity, mine, other, None, "not resolved", _no_interval(mine, other, a, b)
        )
    if not board.tests_differences:
        reason = (
            "former protocol, one seed for all trainings: the interval leaves out sampling noise"
        )
        return Comparison(quantity, mine, other, interval, "not resolved", reason)
    if interval[0] <= 0 <= interval[1]:
        return Comparison(quantity, mine, other, interval, "not resolved")
    verdict: Verdict = "better" if (interval[1] < 0) == lower else "worse"
    winner, loser = (a, b) if verdict == "better" else (b, a)
    if winner.diverged:
        reason = f"{winner.diverged} of {len(winner.records)} runs of {winner.label} diverged"
        return Comparison(quantity, mine, other, interval, "not resolved", reason)
    if of_likelihood and (winner.kind == "estimate" or loser.kind != "exact"):
        reason = f"{winner.label} is {_article(winner.kind)}, {loser.label} {_article(loser.kind)}: no proof"
        return Comparison(quantity, mine, other, interval, "not resolved", reason)
    return Comparison(quantity, mine, other, interval, verdict)


def _no_interval(mine: Summary, other: Summary, a: Row, b: Row) -> str:
    """Why a difference has no interval."""
    for summary, row in ((mine, a), (other, b)):
        if summary.n < 2:
            return f"one seed of {row.label}: its spread is unknown"
    return "the same difference at every seed: no spread to measure it by"


def _article(kind: str | None) -> str:
    return {"exact": "exact", "bound": "a bound", "estimate": "an estimate"}.get(
        kind or "", "unknown"
    )


def compare(out: Path, a: str, b: str, dataset: str | None = None) -> Iterator[str]:
    """What the `compare` command prints: every board that holds both rows.

    Args:
        out: Folder with records/.
        a: Label of a row, as the tables print it: ddpm@ddim50, noise-floor.
        b: Another one.
        dataset: Only this one's boards.

    Raises:
        InputError: No board holds both.
    """
    found = [board for board in load_boards(out) if dataset in (None, board.protocol.dataset)]
    if not found:
        raise InputError(
            f"no board of {dataset!r} in {out}; {nearest(str(dataset), [x.protocol.dataset for x in load_boards(out)])}"
        )
    labels = {row.label for board in found for row in (*board.rows, *board.floor)}
    for name in (a, b):
        if name not in labels:
            raise InputError(f"no row {name!r} in {out}; {nearest(name, labels)}")
    both = [(board, rows[a], rows[b]) for board in found if {a, b} <= (rows := _rows(board)).keys()]
    if not both:
        raise InputError(
            f"{a} and {b} are on no board together: numbers of different protocols are not compared"
        )
    for board, row_a, row_b in both:
        yield f"{board.protocol.dataset}, {board_title(board)} ({board.protocol.hash[:8]})"
        yield f"A = {a} ({_seeds(row_a)}), B = {b} ({_seeds(row_b)}); A - B with its 95 % interval"
        yield from _lines(list(compare_rows(board, row_a, row_b)))
        if row_a in board.floor or row_b in board.floor:
            yield f"  {FLOOR_SPREAD}"
        yield ""


def _rows(board: Board) -> dict[str, Row]:
    return {row.label: row for row in (*board.rows, *board.floor)}


def _seeds(row: Row) -> str:
    return f"{len(row.records)} seed{'s' if len(row.records) > 1 else ''}"


def _lines(found: Sequence[Comparison]) -> Iterator[str]:
    cells = [("", "A", "B", "A - B", "interval", "A is")]
    for one in found:
        interval = f"[{one.interval[0]:+.4g}, {one.interval[1]:+.4g}]" if one.interval else "–"
        verdict = one.verdict + (f" ({one.reason})" if one.reason else "")
        cells.append(
            (
                one.quantity,
                f"{one.a.mean:.4g}",
                f"{one.b.mean:.4g}",
                f"{one.effect:+.4g}",
                interval,
                verdict,
            )
        )
    widths = [max(len(row[i]) for row in cells) for i in range(5)]
    for row in cells:
        left = row[0].ljust(widths[0])
        right = "  ".join(cell.rjust(width) for cell, width in zip(row[1:5], widths[1:]))
        yield f"  {left}  {right}  {row[5]}".rstrip()
