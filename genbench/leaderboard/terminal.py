"""The comparison on a terminal: one line a model, at most a hundred columns, and what the numbers
say in two sentences.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import Cell
from genbench.leaderboard.formats import load_boards, render_tables
from genbench.leaderboard.rows import Row, likelihood_unit
from genbench.leaderboard.table import comparison_table
from genbench.leaderboard.words import MAY_BE_CHANCE, speed_words
from genbench.records.catalogue import metric_info, quality_metric
from genbench.system.letters import with_letters_of

__all__ = ["print_comparison", "sentences"]

LINE_WIDTH = 100


class Value(NamedTuple):
    """A row and the mean of one of its quantities."""

    row: Row
    mean: float


def print_comparison(out: Path, console: Console | None = None) -> None:
    """Print the boards of a leaderboard's folder: fitted to a terminal, or as Markdown where the
    output goes elsewhere.

    Args:
        out: Folder with records/.
        console: Where to print; a terminal of its own is made of the standard output.
    """
    if console is None and not sys.stdout.isatty():
        print(render_tables(out, "md"))
        return
    console = console or Console(highlight=False)
    width = min(LINE_WIDTH, console.width)
    boundless = console.options.update(max_width=10 * LINE_WIDTH)
    for board in load_boards(out):
        table = terminal_table(board, encoding=console.encoding)
        if console.measure(table, options=boundless).maximum > width:
            table = terminal_table(board, spreads=False, encoding=console.encoding)
        console.print(table, width=width)
        for sentence in sentences(board):
            console.print(sentence, width=width, markup=False)
        console.print()


def terminal_table(board: Board, spreads: bool = True, encoding: str = "utf-8") -> RichTable:
    """The comparison of a board: model, quality, likelihood with its kind, images/s and density of
    every row, best quality first, the noise floor last.

    Args:
        board: What to draw.
        spreads: Whether to print standard deviations beside means.
        encoding: That of the terminal, which may lack signs.
    """
    table = comparison_table(board)
    aspects = [column.title.partition(":")[0] for column in table.columns]
    wanted = ("Model", "Sample quality", "Likelihood", "Sampling", "Density")
    places = [aspects.index(aspect) for aspect in wanted if aspect in aspects]
    title = f"{board.protocol.dataset}, protocol {board.protocol.name}"
    shown = RichTable(title=title, box=None, pad_edge=False, title_justify="left")
    for place in places:
        column = table.columns[place]
        head = (
            column.title.rpartition(": ")[2]
            + {"lower": " ↓", "higher": " ↑", None: ""}[column.better]
        )
        shown.add_column(
            with_letters_of(encoding, head),
            justify="left" if column.words else "right",
            no_wrap=True,
            overflow="ellipsis",
        )
    quality = places[1] if "Sample quality" in aspects else 0
    higher = table.columns[quality].better == "higher"
    lines = list(zip(table.lines, (*board.rows, *board.floor)))
    for line, row in sorted(
        lines, key=lambda pair: (pair[0].floor, sort_key(pair[0].cells[quality], higher))
    ):
        kinds = [row.kind if aspects[place] == "Likelihood" else None for place in places]
        texts = [cell_text(line.cells[place], kind, spreads) for place, kind in zip(places, kinds)]
        texts = [with_letters_of(encoding, text) for text in texts]
        shown.add_row(*texts, style="dim" if line.floor else "")
    return shown


def sort_key(cell: Cell, higher: bool) -> float:
    """A number to sort by, the best first; cells without one come last.

    Args:
        cell: The cell of the quality metric.
        higher: Whether higher is better.
    """
    if not isinstance(cell.sort, (int, float)):
        return float("inf")
    if higher:
        return -cell.sort
    return cell.sort


def cell_text(cell: Cell, kind: str | None, spreads: bool) -> str:
    """A cell as rich writes it: the best in bold.

    Args:
        cell: The cell.
        kind: Kind of a likelihood, which stands behind the number; None for other cells.
        spreads: Whether to print the standard deviation.
    """
    number = cell.text
    if not spreads:
        number = number.partition(" ± ")[0]
    words = escape(f"{number} {kind}" if kind else number)
    if cell.mark == "best":
        return f"[bold]{words}[/bold]"
    return words


# --- sentences, computed from numbers only --------------------------------------------------------


def sentences(board: Board) -> list[str]:
    """What a board says of quality against speed, and of likelihood against quality; fewer where it
    holds no two models.
    """
    return [sentence for sentence in (of_speed(board), of_likelihood(board)) if sentence]


def of_speed(board: Board) -> str:
    """What the model of best quality costs in time, beside the fastest one.

    Returns:
        A sentence; empty where fewer than two models were timed.
    """
    ranked = by_quality(board)
    timed = [Value(row, speed.mean) for row, _ in ranked if (speed := row.images_per_second)]
    if len(timed) < 2:
        return ""
    best = ranked[0]
    title = quality_title(board)
    digits = quality_digits(board)
    fastest = max(timed, key=lambda value: value.mean)
    lead = f"{best.row.label} has the {extreme(board)} {title}, {best.mean:.{digits}f}"
    lead = f"{lead}{doubt(board, best.row)}"
    if fastest.row is best.row:
        is_shown = speed_words(board, fastest.row) == "fastest"
        chance = "" if is_shown else f" (its lead {MAY_BE_CHANCE})"
        return f"{lead}, and is the fastest{chance}, with {rounded(fastest.mean, 3)} images/s."
    speeds = {id(row): mean for row, mean in timed}
    other = next(value.mean for value in ranked if value.row is fastest.row)
    rival = f"{fastest.row.label}, with {title} {other:.{digits}f}"
    if id(best.row) not in speeds:
        return f"{lead}; the fastest is {rival}: {rounded(fastest.mean, 3)} images/s."
    ratio = fastest.mean / speeds[id(best.row)]
    rate = f"{rounded(speeds[id(best.row)], 3)} images/s"
    return f"{lead}, at {rate}; {rival}, makes {rounded(ratio)} times as many."


def of_likelihood(board: Board) -> str:
    """Where the lowest likelihood figure stands in quality, and how many models have samples but no
    density.
    """
    ranked = by_quality(board)
    scored = [
        Value(row, nll.mean) for row in board.rows if not row.conditional and (nll := row.nll())
    ]
    if len(scored) < 2:
        return ""
    lowest = min(scored, key=lambda value: value.mean)
    unit = likelihood_unit(board.protocol)
    value = f"{lowest.mean:.2f} {unit} ({lowest.row.kind})"
    figure = f"The lowest likelihood figure is that of {lowest.row.label}, {value}"
    place = next((k for k, value in enumerate(ranked, 1) if value.row is lowest.row), None)
    if place is None:
        speed = lowest.row.images_per_second
        if speed:
            return f"{figure}, which makes {rounded(speed.mean, 3)} images/s."
        return f"{figure}."
    title = quality_title(board)
    if place == 1:
        return f"{figure}; by {title} it is first, too."
    return f"{figure}; by {title} it is number {place} of {len(ranked)}."


def by_quality(board: Board) -> list[Value]:
    """Models of p(x) with their quality, the best first."""
    metric = quality_metric(board.protocol)
    if metric is None:
        return []
    values = [
        Value(row, summary.mean)
        for row in board.rows
        if not row.conditional and (summary := row.metric(metric))
    ]
    return sorted(values, key=lambda value: value.mean, reverse=extreme(board) == "highest")


def quality_title(board: Board) -> str:
    """The name of the quality metric within a sentence."""
    return metric_info(quality_metric(board.protocol) or "fid").title_in_text


def quality_digits(board: Board) -> int:
    """Decimals of the quality metric."""
    return metric_info(quality_metric(board.protocol) or "fid").digits


def extreme(board: Board) -> str:
    """Which end of the quality metric is the good one."""
    if metric_info(quality_metric(board.protocol) or "fid").better == "higher":
        return "highest"
    return "lowest"


def doubt(board: Board, best: Row) -> str:
    """A remark where the lead of the best row is not shown by the seeds."""
    metric = quality_metric(board.protocol)
    if metric and board.mark(best, metric) == "best":
        return ""
    return f" (its lead {MAY_BE_CHANCE})"


def rounded(value: float, digits: int = 2) -> str:
    """A number with so many significant digits, and with commas. Speeds have the three of the table."""
    text = f"{value:.{digits}g}"
    if float(text) >= 10 ** (digits - 1):
        return f"{float(text):,.0f}"
    return text
