"""Two rows of a board against each other: better, worse, or not resolved, with the effect and its
interval.

A is better if the whole interval (`genbench.leaderboard.intervals`) lies on its side of zero. One
seed has no spread, and resolves nothing. The same holds for values that are equal at all seeds. A
row with diverged runs does not win by the runs that did not diverge. For likelihoods, only what the
kinds of number prove is resolved: a bound that lies above an exact value says nothing. Each line is
one test, so that among many metrics one in twenty is resolved by chance.
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
from genbench.leaderboard.rows import Row, likelihood_unit
from genbench.leaderboard.summary import Summary
from genbench.leaderboard.table import FLOOR_SPREAD, board_title
from genbench.records.catalogue import metric_info

__all__ = ["Comparison", "Verdict", "compare", "compare_rows"]

Verdict = Literal["better", "worse", "not resolved"]
FORMER_REASON = (
    "former protocol, one seed for all trainings: the interval leaves out sampling noise"
)


@dataclass(frozen=True)
class Comparison:
    """One quantity of two rows.

    Attributes:
        quantity: Its column head, with an arrow that points to what is better.
        a: The quantity of the first row over its seeds.
        b: The quantity of the second row.
        interval: 95 % interval of the difference of the means, a - b; None where it is not known.
        verdict: Whether the first row is better or worse.
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
        """Difference of the means, a - b."""
        return self.a.mean - self.b.mean


@dataclass(frozen=True)
class Quantity:
    """What two rows are compared in.

    Attributes:
        name: Column head with an arrow.
        lower: Whether lower is better.
        of_likelihood: Whether it is computed from likelihoods, so that their kinds decide what is
            proved.
    """

    name: str
    lower: bool
    of_likelihood: bool


def compare_rows(board: Board, a: Row, b: Row) -> Iterator[Comparison]:
    """Every quantity that both rows have and that is ranked.

    Args:
        board: Where the rows stand.
        a: A row, or the noise floor.
        b: Another one.
    """
    for name in board.protocol.metrics:
        info = metric_info(name)
        a_value = a.metric(name)
        b_value = b.metric(name)
        if info.better and a_value and b_value:
            lower = info.better == "lower"
            arrow = "↓" if lower else "↑"
            quantity = Quantity(f"{info.title} {arrow}", lower, info.of_likelihood)
            yield compare_values(board, quantity, a_value, b_value, a, b)
    if a.model_key == b.model_key:
        return  # Samplers of one model share its likelihood.
    unit = likelihood_unit(board.protocol)
    for conditional in board.conditional:
        a_value = a.nll(conditional)
        b_value = b.nll(conditional)
        if a_value and b_value:
            variables = "x | y" if conditional else "x"
            quantity = Quantity(f"{unit} p({variables}) ↓", lower=True, of_likelihood=True)
            yield compare_values(board, quantity, a_value, b_value, a, b)


def compare_values(
    board: Board, quantity: Quantity, a_value: Summary, b_value: Summary, a: Row, b: Row
) -> Comparison:
    """Compare one quantity of two rows.

    Args:
        board: Where the rows stand.
        quantity: What is compared.
        a_value: The quantity of row a.
        b_value: The quantity of row b.
        a: A row.
        b: Another one.
    """
    interval = a.difference(b, a_value, b_value)
    if interval is None:
        verdict: Verdict = "not resolved"
        reason = why_no_interval(a_value, b_value, a, b)
    else:
        verdict, reason = judge(board, quantity, interval, a, b)
    return Comparison(quantity.name, a_value, b_value, interval, verdict, reason)


def judge(
    board: Board, quantity: Quantity, interval: Interval, a: Row, b: Row
) -> tuple[Verdict, str]:
    """Whether row a is better or worse than row b, and why that is not resolved.

    Args:
        board: Where the rows stand.
        quantity: What is compared.
        interval: Interval of a - b.
        a: A row.
        b: Another one.
    """
    if not board.tests_differences:
        return "not resolved", FORMER_REASON
    if interval[0] <= 0 <= interval[1]:
        return "not resolved", ""
    verdict: Verdict = "worse"
    winner, loser = b, a
    if (interval[1] < 0) == quantity.lower:
        verdict = "better"
        winner, loser = a, b
    if winner.diverged:
        runs = f"{winner.diverged} of {len(winner.records)} runs"
        return "not resolved", f"{runs} of {winner.label} diverged"
    if quantity.of_likelihood and (winner.kind == "estimate" or loser.kind != "exact"):
        kinds = [f"{winner.label} is {kind_words(winner)}", f"{loser.label} {kind_words(loser)}"]
        return "not resolved", f"{', '.join(kinds)}: no proof"
    return verdict, ""


def why_no_interval(a_value: Summary, b_value: Summary, a: Row, b: Row) -> str:
    """Why the difference of a quantity of two rows has no interval.

    Args:
        a_value: The quantity of row a.
        b_value: The quantity of row b.
        a: A row.
        b: Another one.
    """
    for summary, row in ((a_value, a), (b_value, b)):
        if summary.n < 2:
            return f"one seed of {row.label}: its spread is unknown"
    return "the same difference at every seed: no spread to measure it by"


def kind_words(row: Row) -> str:
    """The kind of a row's likelihood, as it stands in a sentence."""
    articles = {"exact": "exact", "bound": "a bound", "estimate": "an estimate"}
    return articles.get(row.kind or "", "unknown")


def compare(out: Path, a: str, b: str, dataset: str | None = None) -> Iterator[str]:
    """What the `compare` command prints: every board that holds both rows.

    Args:
        out: Folder with records/.
        a: Label of a row, as the tables print it: ddpm@ddim50, noise-floor.
        b: Label of another row.
        dataset: Only the boards of this data set; None: of all.

    Returns:
        The lines, one by one.

    Raises:
        InputError: No board holds both rows.
    """
    every = load_boards(out)
    chosen = [board for board in every if dataset in (None, board.protocol.dataset)]
    if not chosen:
        known = [board.protocol.dataset for board in every]
        raise InputError(f"no board of {dataset!r} in {out}; {nearest(str(dataset), known)}")
    labels = {label for board in chosen for label in rows_by_label(board)}
    for name in (a, b):
        if name not in labels:
            raise InputError(
                f"no row {name!r} in {out}; {nearest(name, labels)}; "
                "--out names the folder of other records, such as runs"
            )
    common = [board for board in chosen if {a, b} <= rows_by_label(board).keys()]
    if not common:
        raise InputError(
            f"{a} and {b} are on no board together: numbers of different protocols are not compared"
        )
    for board in common:
        rows = rows_by_label(board)
        yield f"{board.protocol.dataset}, {board_title(board)} ({board.protocol.hash[:8]})"
        yield (
            f"A = {a} ({seeds_text(rows[a])}), B = {b} ({seeds_text(rows[b])}); "
            "A - B with its 95 % interval"
        )
        yield from comparison_lines(list(compare_rows(board, rows[a], rows[b])))
        if rows[a] in board.floor or rows[b] in board.floor:
            yield f"  {FLOOR_SPREAD}"
        yield ""


def rows_by_label(board: Board) -> dict[str, Row]:
    """The rows of a board and its noise floor by their labels."""
    return {row.label: row for row in (*board.rows, *board.floor)}


def seeds_text(row: Row) -> str:
    """How many training seeds a row has."""
    n = len(row.records)
    if n == 1:
        return "1 seed"
    return f"{n} seeds"


def comparison_lines(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """A table of comparisons as lines of text, under a head."""
    cells = [("", "A", "B", "A - B", "interval", "A is")]
    cells += [comparison_cells(comparison) for comparison in comparisons]
    widths = [max(len(row[column]) for row in cells) for column in range(5)]
    for row in cells:
        first = row[0].ljust(widths[0])
        numbers = "  ".join(cell.rjust(width) for cell, width in zip(row[1:5], widths[1:]))
        yield f"  {first}  {numbers}  {row[5]}".rstrip()


def comparison_cells(comparison: Comparison) -> tuple[str, str, str, str, str, str]:
    """Quantity, both means, their difference, its interval and the verdict as texts."""
    interval = "–"
    if comparison.interval:
        low, high = comparison.interval
        interval = f"[{low:+.4g}, {high:+.4g}]"
    verdict: str = comparison.verdict
    if comparison.reason:
        verdict = f"{verdict} ({comparison.reason})"
    return (
        comparison.quantity,
        f"{comparison.a.mean:.4g}",
        f"{comparison.b.mean:.4g}",
        f"{comparison.effect:+.4g}",
        interval,
        verdict,
    )
