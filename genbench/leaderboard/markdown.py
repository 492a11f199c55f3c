"""Boards as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import Cell, Table
from genbench.leaderboard.table import board_table, board_title, comparison_table, facts

__all__ = ["board_markdown", "markdown_list", "markdown_text"]


def board_markdown(board: Board) -> str:
    parts = [f"## {markdown_text(board.protocol.dataset)}: {markdown_text(board_title(board))}"]
    parts.append(markdown_list(f"{name}: {value}" for name, value in facts(board)))
    for table in (comparison_table(board), board_table(board)):
        parts.append(f"### {table.title}\n\n{_markdown_table(table)}")
    return "\n\n".join(parts)


def _markdown_table(table: Table) -> str:
    arrow = {"lower": " ↓", "higher": " ↑", None: ""}
    head = [markdown_text(column.title) + arrow[column.better] for column in table.columns]
    rule = [":---" if column.words else "---:" for column in table.columns]
    body = [[_markdown_cell(cell) for cell in line.cells] for line in table.lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *body])


def _markdown_cell(cell: Cell) -> str:
    text = markdown_text(cell.text)
    sign = {"best": "**", "lead": "*", "": ""}[cell.mark]
    return f"{sign}{text}{sign}" + (f" ({markdown_text(cell.note)})" if cell.note else "")


def markdown_list(items: Iterable[str]) -> str:
    return "\n".join(f"- {markdown_text(item)}" for item in items)


def markdown_text(text: str) -> str:
    escaped = re.sub(r"([\\`*_\[\]|&~])", r"\\\1", " ".join(text.split()))
    return re.sub(r"<(?=[A-Za-z/!?])", r"\\<", escaped).replace(r"\~ ", "~ ")
