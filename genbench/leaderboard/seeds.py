"""The single values behind a mean: what a table would print if one run were the whole row."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import Cell, Table
from genbench.leaderboard.rows import Row
from genbench.records.record import Record

__all__ = ["SEPARATOR", "seed_text", "seed_values"]

SEPARATOR = " · "


def seed_values(board: Board, row: Row, draw: Callable[[Board], Table]) -> dict[str, str]:
    """The values of the seeds in every column of a row.

    Args:
        board: Where the row stands.
        row: One of its rows, or its noise floor.
        draw: The function that makes the table of a board.

    Returns:
        Title of a column -> "seed 0: 6.81 · seed 1: 6.29 · seed 2: diverged", for the columns whose
        numbers differ between the seeds.
    """
    tables = [draw(board_of_one(board, row, record)) for record in row.records]
    columns: dict[str, list[str]] = {}
    for record, table in zip(row.records, tables):
        for column, cell in zip(table.columns, table.lines[0].cells):
            if not column.words:
                columns.setdefault(column.title, []).append(cell_value(record, cell))
    return {
        title: SEPARATOR.join(f"seed {seed}: {value}" for seed, value in zip(row.seeds, values))
        for title, values in columns.items()
        if len(set(values)) > 1 and any(any(map(str.isdigit, value)) for value in values)
    }


def seed_text(value: float) -> str:
    """A number with at least four significant digits, without an exponent."""
    if value == 0:
        return "0"
    decimals = 3 - math.floor(math.log10(abs(value)))
    return f"{value:,.{min(max(decimals, 0), 9)}f}"


def board_of_one(board: Board, row: Row, record: Record) -> Board:
    """The board as it would be if one record were its only row."""
    one = (Row(row.label, (record,)),)
    if row in board.floor:
        return replace(board, rows=(), floor=one)
    return replace(board, rows=one, floor=())


def cell_value(record: Record, cell: Cell) -> str:
    """The number of a cell with its kind, or "diverged"."""
    if not isinstance(cell.sort, (int, float)):
        if record.status == "diverged":
            return "diverged"
        return cell.text
    for sign in ("<= ", "~ "):
        if cell.text.startswith(sign):
            return f"{sign}{seed_text(cell.sort)}"
    return seed_text(cell.sort)
