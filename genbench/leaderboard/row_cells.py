"""The cells of a row: its names, metrics, likelihoods, speed, stability and cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import (
    KIND_SIGNS,
    NONE,
    Cell,
    Line,
    Maker,
    join_words,
    option_words,
    plain_cell,
    rough_cell,
    value_cell,
)
from genbench.leaderboard.rows import Mark, Row
from genbench.leaderboard.words import (
    quality,
    quality_words,
    relative_spread,
    speed_words,
    stability_words,
)
from genbench.records.catalogue import metric_info
from genbench.records.contents import NOISE_FLOOR

__all__ = [
    "batch_words",
    "cost_cell",
    "density_cell",
    "empty_floor",
    "family_cell",
    "family_words",
    "judged_cell",
    "likelihood_cell",
    "likelihood_meaning",
    "metric_cell",
    "name_cell",
    "nll_cell",
    "seeds_cell",
    "speed_cell",
    "stability_cell",
    "with_needs",
]


# --- words and costs ------------------------------------------------------------------------------


def name_cell(row: Row) -> Cell:
    """The label of a row; below it, whether it is told labels, and the options of its sampler."""
    labels = "given labels" if row.conditional else ""
    return Cell(
        row.label, row.label, note=join_words(labels, option_words(row.first.sample_options))
    )


def family_cell(row: Row) -> Cell:
    """The family of a row's model."""
    return Cell(row.family, row.family)


def density_cell(row: Row) -> Cell:
    """Whether the model has an explicit density. The noise floor and foreign images have no model."""
    if row.first.density == "-":
        return Cell(NONE, row.first.density)
    return Cell(row.first.density, row.first.density)


def seeds_cell(board: Board, row: Row) -> Cell:
    """How many training seeds a row has, out of how many where some are missing.

    Args:
        board: Where the row stands. Its protocol says how many seeds are needed.
        row: One of its rows.
    """
    n = len(row.records)
    if board.lacks(row):
        return Cell(f"{n} of {board.protocol.seeds}", n)
    return Cell(str(n), n)


def cost_cell(make: Callable[[Row], Cell]) -> Callable[[Row], Cell]:
    """A function that makes an empty cell of foreign images, whose cost is not known, and the cell
    of `make` of every other row.
    """

    def cell(row: Row) -> Cell:
        if row.first.cost.device == "-":
            return Cell(NONE)
        return make(row)

    return cell


def with_needs(row: Row, cell: Cell) -> Cell:
    """A cell of a cost that includes the runs that were needed first, whose names stand below it.

    Args:
        row: The row.
        cell: The cell of the cost.
    """
    if row.first.needs:
        return replace(cell, note=f"with {', '.join(row.first.needs)}")
    return cell


def empty_floor(makers: list[Maker]) -> Line:
    """The line of a noise floor that was not measured.

    Args:
        makers: The columns of the table.
    """
    cells = [Cell(NONE) for _ in makers]
    cells[0] = Cell(NOISE_FLOOR, note="not measured")
    return Line(tuple(cells), "-", floor=True)


def family_words(row: Row) -> str:
    """The family of a model, and whether it is told labels."""
    if row.conditional:
        return f"{row.family}, given labels"
    return row.family


# --- metrics and likelihoods ----------------------------------------------------------------------


def metric_cell(board: Board, name: str) -> Callable[[Row], Cell]:
    """A function that makes the cell of one metric of a row.

    Args:
        board: Where the rows stand.
        name: Name of the metric.
    """
    info = metric_info(name)

    def cell(row: Row) -> Cell:
        mark = board.mark(row, name) if row in board.rows else ""
        if not info.of_likelihood:
            return value_cell(row.metric(name), info.digits, mark)
        sign = KIND_SIGNS[row.kind] if row.kind else ""
        plain = value_cell(row.metric(name), info.digits, mark, sign)
        if row.metric(name) is None:
            return plain
        return replace(plain, note=step_words(row.kl_step_error, plain.text))

    return cell


def judged_cell(board: Board, name: str) -> Callable[[Row], Cell]:
    """As `metric_cell`, with a judgement in words: "best", "1.9 times the best".

    Args:
        board: Where the rows stand.
        name: Name of the metric.
    """
    make = metric_cell(board, name)

    def cell(row: Row) -> Cell:
        plain = make(row)
        if row not in board.rows:
            return plain
        return replace(plain, note=join_words(quality_words(board, row, name), plain.note))

    return cell


def nll_cell(board: Board, conditional: bool) -> Callable[[Row], Cell]:
    """A function that makes the cell of a row's likelihood.

    Args:
        board: Where the row stands.
        conditional: Whether it is that of p(x | y) instead of p(x).
    """

    def cell(row: Row) -> Cell:
        nll = row.nll(conditional)
        kind = row.kind
        if nll is None or kind is None:
            return Cell(NONE)
        mark = board.nll_mark(row, conditional) if row in board.rows else ""
        plain = value_cell(nll, 2, mark, KIND_SIGNS[kind])
        finer = step_words(row.nll_step_error, plain.text)
        shared = shared_words(row.nll_shared_error)
        words = join_words(likelihood_meaning(row), effort_words(row), shared, finer)
        return replace(plain, note=words)

    return cell


def likelihood_cell(board: Board, row: Row) -> Cell:
    """The likelihood of a row with a judgement in words: "exact", "proved best", "lowest bound".

    Args:
        board: Where the row stands.
        row: A row, or the noise floor.
    """
    for conditional in board.conditional:
        if row.nll(conditional):
            cell = nll_cell(board, conditional)(row)
            law = "p(x | y)" if conditional else ""
            return replace(cell, note=join_words(likelihood_words(row, cell.mark), law))
    if row.first.density == "implicit":
        return Cell(NONE, note="none")
    return Cell(NONE, note="not measured")


def likelihood_words(row: Row, mark: Mark) -> str:
    """Kind of a likelihood, and whether it is the lowest or proved best.

    Args:
        row: The row.
        mark: Its mark in the column of the likelihood.
    """
    if mark == "lead":
        return f"lowest {row.kind}"
    if mark == "best":
        return f"{row.kind}, proved best"
    return str(row.kind)


def likelihood_meaning(row: Row) -> str:
    """What a likelihood depends on besides its kind: "uniform dequantisation, K = 64"."""
    for record in row.records:
        likelihood = record.likelihood
        if likelihood:
            name = likelihood.dequantisation
            dequantisation = f"{name} dequantisation" if name else ""
            return join_words(dequantisation, option_words(likelihood.options))
    return ""


def effort_words(row: Row) -> str:
    """What a likelihood took, and how much its noise moves it: "64 network evaluations, ± 0.0021
    over 8 repeats".
    """
    words = []
    evaluations = row.nll_evaluations
    if evaluations and evaluations.mean > 1:
        words.append(f"{plain_cell(evaluations).text} network evaluations")
    if row.nll_repeats:
        repeats, error = row.nll_repeats
        words.append(f"± {error:.2g} over {repeats} repeats")
    return join_words(*words)


def step_words(error: float | None, text: str) -> str:
    """By how much finer steps of a solver move a value; empty where its text does not show that.

    Args:
        error: How much they move it; None without steps.
        text: The value as it is printed, such as "~ 6.35 ± 0.02".
    """
    mean = text.partition(" ±")[0]
    unit = 10.0 ** -len(mean.partition(".")[2])
    if error is not None and error >= unit / 2:
        return f"finer steps of its solver move it by {error:.2g}"
    return ""


def shared_words(error: float | None) -> str:
    """The standard error of a normalising constant; empty where none was estimated.

    Args:
        error: In the unit of the board.
    """
    if error is None:
        return ""
    return f"log Z is known to {error:.1g}"


# --- speed and stability --------------------------------------------------------------------------


def speed_cell(board: Board, row: Row) -> Cell:
    """Images per second with a judgement in words, and the device where there are several.

    Args:
        board: Where the row stands.
        row: A row, or the noise floor.
    """
    cell = rough_cell(row.images_per_second)
    words = speed_words(board, row)
    if row.evaluations_timed is not None:
        words = join_words(words, "extrapolated")
    devices = {other.speed_device for other in board.rows if other.speed_device}
    if len(devices) > 1 and row.speed_device:
        words = f"{words} on {row.speed_device}".strip()
    return Cell(cell.text, cell.sort, "", words)


def batch_words(row: Row) -> str:
    """The batch size at which images/s are largest, and whether only a part of a call was timed."""
    if row.batches is None:
        return ""
    smallest, largest = row.batches
    batch = f"batch {smallest:,}"
    if smallest < largest:
        batch = f"batches {smallest:,} to {largest:,}"
    if row.evaluations_timed is None:
        return batch
    return f"{batch}, extrapolated from {row.evaluations_timed:,} network evaluations of a call"


def stability_cell(board: Board, row: Row) -> Cell:
    """Spread of the quality metric over training seeds, and how many runs diverged.

    Args:
        board: Where the row stands.
        row: A row, or the noise floor.
    """
    relative = relative_spread(board, row)
    summary = quality(board, row)
    words = [stability_words(row)] if row in board.rows else []
    text = NONE
    if relative is not None:
        decimals = 0 if relative > 0.1 else 1
        text = f"{100 * relative:.{decimals}f} %"
    elif summary is not None and summary.sd is not None:
        text = f"sd {summary.sd:.2g}"
        words = ["mean near 0, no ratio", *words]
    return Cell(text, relative, note=", ".join(words))
