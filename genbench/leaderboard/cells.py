"""The cells of a board: numbers with their errors, units and kinds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from genbench.leaderboard.board import Board
from genbench.leaderboard.rows import Mark, Row, Summary
from genbench.leaderboard.words import (
    quality,
    quality_words,
    relative_spread,
    speed_words,
    stability_words,
)
from genbench.records.catalogue import metric_info
from genbench.records.parts import LikelihoodKind
from genbench.records.record import NOISE_FLOOR
from genbench.system.json_files import canonical_json

__all__ = [
    "NONE",
    "Cell",
    "Column",
    "Line",
    "Maker",
    "Table",
    "batch_words",
    "cost_cell",
    "count_words",
    "density_cell",
    "family_cell",
    "join_names",
    "judged",
    "kind_words",
    "likelihood_meaning",
    "likelihood_words",
    "metric_cell",
    "name_cell",
    "nll_cell",
    "no_floor",
    "plain_text",
    "range_text",
    "rough_text",
    "seeds_cell",
    "speed_cell",
    "stability_cell",
    "with_needs",
]

NONE = "–"
_PREFIX: dict[LikelihoodKind, str] = {"exact": "", "bound": "<= ", "estimate": "~ "}


@dataclass(frozen=True)
class Cell:
    """One cell: its text, what it sorts by, its mark, and words that stand below it."""

    text: str
    sort: float | str | None = None
    mark: Mark = ""
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its head, "lower" or "higher" where it is ranked, and whether it holds words."""

    title: str
    better: Literal["lower", "higher"] | None = None
    words: bool = False


@dataclass(frozen=True)
class Line:
    """A row of cells, its family (for the colour), and whether it is the noise floor."""

    cells: tuple[Cell, ...]
    family: str
    floor: bool = False


@dataclass(frozen=True)
class Table:
    """What every format prints."""

    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


Maker = tuple[Column, Callable[[Row], Cell]]


def seeds_cell(board: Board, row: Row) -> Cell:
    n = len(row.records)
    return Cell(f"{n} of {board.protocol.seeds}" if board.lacks(row) else str(n), n)


def cost_cell(make: Callable[[Row], Cell]) -> Callable[[Row], Cell]:
    """Nothing is known of what foreign images cost."""
    return lambda row: make(row) if row.first.cost.device != "-" else Cell(NONE)


def with_needs(row: Row, cell: Cell) -> Cell:
    """A cost that is also that of the runs that were needed first says so."""
    if row.first.needs:
        return replace(cell, note=f"with {', '.join(row.first.needs)}")
    return cell


def no_floor(makers: list[Maker]) -> Line:
    cells = [Cell(NONE) for _ in makers]
    cells[0] = Cell(NOISE_FLOOR, note="not measured")
    return Line(tuple(cells), "-", floor=True)


def name_cell(row: Row) -> Cell:
    words = ["given labels" if row.conditional else "", _options(row.first.sample_options)]
    return Cell(row.label, row.label, note=", ".join(filter(None, words)))


def family_cell(row: Row) -> Cell:
    return Cell(row.family, row.family)


def kind_words(row: Row) -> str:
    if row.conditional:
        return f"{row.family}, given labels"
    return row.family


def density_cell(row: Row) -> Cell:
    return Cell(NONE if row.first.density == "-" else row.first.density, row.first.density)


def metric_cell(board: Board, name: str) -> Callable[[Row], Cell]:
    info = metric_info(name)

    def cell(row: Row) -> Cell:
        prefix = _PREFIX[row.kind] if info.of_likelihood and row.kind else ""
        plain = _value(
            row.metric(name),
            info.digits,
            board.mark(row, name) if row in board.rows else "",
            prefix,
        )
        if not info.of_likelihood or row.metric(name) is None:
            return plain
        return replace(plain, note=_step_words(row.kl_step_error, plain.text))

    return cell


def judged(board: Board, name: str) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        plain = metric_cell(board, name)(row)
        words = quality_words(board, row, name) if row in board.rows else ""
        return replace(plain, note=", ".join(filter(None, [words, plain.note])))

    return cell


def nll_cell(board: Board, conditional: bool) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        nll = row.nll(conditional)
        kind = row.kind
        if nll is None or kind is None:
            return Cell(NONE)
        cell = _value(
            nll, 2, board.nll_mark(row, conditional) if row in board.rows else "", _PREFIX[kind]
        )
        return replace(
            cell,
            note=", ".join(
                filter(
                    None,
                    [
                        likelihood_meaning(row),
                        _effort(row),
                        _step_words(row.nll_step_error, cell.text),
                    ],
                )
            ),
        )

    return cell


def likelihood_words(board: Board, row: Row) -> Cell:
    found = [(c, nll_cell(board, c)(row)) for c in board.conditional if row.nll(c)]
    if not found:
        return Cell(NONE, note="none" if row.first.density == "implicit" else "not measured")
    conditional, cell = found[0]
    words = [
        str(row.kind),
        "proved best"
        if cell.mark == "best"
        else f"lowest {row.kind}"
        if cell.mark == "lead"
        else "",
    ]
    words = words[1:] if cell.mark == "lead" else words
    return Cell(
        cell.text,
        cell.sort,
        cell.mark,
        ", ".join(filter(None, [*words, "p(x | y)" if conditional else ""])),
    )


def speed_cell(board: Board, row: Row) -> Cell:
    cell = rough_text(row.images_per_second)
    words = speed_words(board, row)
    if row.evaluations_timed is not None:
        words = ", ".join(filter(None, [words, "extrapolated"]))
    devices = {other.speed_device for other in board.rows if other.speed_device}
    if len(devices) > 1 and row.speed_device:
        words = f"{words} on {row.speed_device}".strip()
    return Cell(cell.text, cell.sort, "", words)


def stability_cell(board: Board, row: Row) -> Cell:
    relative = relative_spread(board, row)
    summary = quality(board, row)
    words = [stability_words(row)] if row in board.rows else []
    text = NONE
    if relative is not None:
        text = f"{100 * relative:.{0 if relative > 0.1 else 1}f} %"
    elif summary is not None and summary.sd is not None:
        text = f"sd {summary.sd:.2g}"
        words = ["mean near 0, no ratio", *words]
    return Cell(text, relative, note=", ".join(words))


def likelihood_meaning(row: Row) -> str:
    """What belongs to a likelihood besides its kind: "uniform dequantisation, K = 64"."""
    found = next((record.likelihood for record in row.records if record.likelihood), None)
    if found is None:
        return ""
    dequantisation = f"{found.dequantisation} dequantisation" if found.dequantisation else ""
    return ", ".join(filter(None, [dequantisation, _options(found.options)]))


def _effort(row: Row) -> str:
    """What a likelihood took and how far its noise is from settled: "64 network evaluations, ±
    0.0021 over 8 repeats".
    """
    evaluations = row.nll_evaluations
    repeats = row.nll_repeats
    words = (
        [f"{plain_text(evaluations).text} network evaluations"]
        if evaluations and evaluations.mean > 1
        else []
    )
    words += [f"± {repeats[1]:.2g} over {repeats[0]} repeats"] if repeats else []
    return ", ".join(words)


def _step_words(error: float | None, text: str) -> str:
    """By how much finer steps of its solver move a value, where that shows in its text, "~ 6.35 ±
    0.02".
    """
    mean = text.partition(" ±")[0]
    unit = 10.0 ** -len(mean.partition(".")[2])
    if error is not None and error >= unit / 2:
        return f"finer steps of its solver move it by {error:.2g}"
    return ""


def batch_words(row: Row) -> str:
    """At which batch images/s were found, and whether from parts of calls."""
    if row.batches is None:
        return ""
    smallest, largest = row.batches
    batch = f"batch {smallest:,}" if smallest == largest else f"batches {smallest:,} to {largest:,}"
    if row.evaluations_timed is None:
        return batch
    return f"{batch}, extrapolated from {row.evaluations_timed:,} network evaluations of a call"


def _options(options: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {canonical_json(options[name])}" for name in sorted(options))


def _value(summary: Summary | None, digits: int, mark: Mark = "", prefix: str = "") -> Cell:
    """Mean ± sd; as many decimals as show the first digit of the spread, at least `digits`, at most
    `digits` + 2.
    """
    if summary is None:
        return Cell(NONE)
    sd = summary.sd
    if sd:
        digits = max(digits, min(digits + 2, -math.floor(math.log10(sd))))
    text = f"{prefix}{summary.mean:,.{digits}f}" + (
        f" ± {sd:,.{digits}f}" if sd is not None else ""
    )
    return Cell(text, summary.mean, mark)


def plain_text(summary: Summary | None, scale: float = 1) -> Cell:
    """A mean to three significant digits."""
    if summary is None:
        return Cell(NONE)
    mean = scale * summary.mean
    return Cell(
        f"{float(f'{mean:.3g}'):,.0f}" if mean >= 100 or mean == int(mean) else f"{mean:.3g}", mean
    )


def rough_text(summary: Summary | None, scale: float = 1) -> Cell:
    """Mean ± sd of something timed: the mean to three significant digits, the spread to its first
    two.
    """
    cell = plain_text(summary, scale)
    if summary is None or summary.sd is None:
        return cell
    sd = scale * summary.sd
    return replace(
        cell,
        text=f"{cell.text} ± {float(f'{sd:.2g}'):,.0f}" if sd >= 10 else f"{cell.text} ± {sd:.2g}",
    )


def count_words(values: Iterable[int]) -> Cell:
    values = list(values)
    return Cell(range_text(values), max(values))


def range_text(values: Iterable[int]) -> str:
    found = sorted(set(values))
    if not found:
        return NONE
    if len(found) == 1:
        return f"{found[0]:,}"
    return f"{found[0]:,} to {found[-1]:,}"


def join_names(values: Iterable[str]) -> str:
    return ", ".join(sorted(set(values))) or NONE
