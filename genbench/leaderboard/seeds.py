"""The single values behind a mean: what a table would print in a column if one run were the whole
row.
"""

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
    """Title of a column -> "seed 0: 6.81 · seed 1: 6.29 · seed 2: diverged".

    Args:
        board: Where the row stands.
        row: One of its rows, or its noise floor.
        draw: What makes the table.

    Returns:
        Columns whose numbers differ between the seeds, and no other.
    """
    tables = [draw(_alone(board, row, record)) for record in row.records]
    found: dict[str, list[str]] = {}
    for record, table in zip(row.records, tables):
        for column, cell in zip(table.columns, table.lines[0].cells):
            if not column.words:
                found.setdefault(column.title, []).append(_value(record, cell))
    return {
        title: SEPARATOR.join(f"seed {seed}: {value}" for seed, value in zip(row.seeds, values))
        for title, values in found.items()
        if len(set(values)) > 1 and any(any(map(str.isdigit, value)) for value in values)
    }


def seed_text(value: float) -> str:
    """At least four significant digits, without an exponent."""
    decimals = 3 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{min(max(decimals, 0), 9)}f}"


def _alone(board: Board, row: Row, record: Record) -> Board:
    one = (Row(row.label, (record,)),)
    if row in board.floor:
        return replace(board, rows=(), floor=one)
    return replace(board, rows=one, floor=())


def _value(record: Record, cell: Cell) -> str:
    if not isinstance(cell.sort, (int, float)):
        if record.status == "diverged":
            return "diverged"
        return cell.text
    prefix = next((p for p in ("<= ", "~ ") if cell.text.startswith(p)), "")
    return prefix + seed_text(cell.sort)
