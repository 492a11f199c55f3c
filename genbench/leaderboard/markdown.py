"""Boards as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import Cell, Table
from genbench.leaderboard.curves import curve_sentence
from genbench.leaderboard.table import board_table, board_title, comparison_table, facts

__all__ = ["board_markdown", "markdown_list", "markdown_text"]


def board_markdown(board: Board) -> str:
    """A board under its header: how it was measured, the comparison, and every measurement."""
    dataset = markdown_text(board.protocol.dataset)
    parts = [f"## {dataset}: {markdown_text(board_title(board))}"]
    parts.append(markdown_list(f"{name}: {value}" for name, value in facts(board)))
    for table in (comparison_table(board), board_table(board)):
        parts.append(f"### {table.title}\n\n{markdown_table(table)}")
    sentence = curve_sentence(board)
    if sentence is not None:
        parts.append(markdown_text(sentence))
    return "\n\n".join(parts)


def markdown_table(table: Table) -> str:
    """A table with its head; columns of numbers are aligned to the right."""
    arrow = {"lower": " ↓", "higher": " ↑", None: ""}
    head = [markdown_text(column.title) + arrow[column.better] for column in table.columns]
    rule = [":---" if column.words else "---:" for column in table.columns]
    body = [[markdown_cell(cell) for cell in line.cells] for line in table.lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *body])


def markdown_cell(cell: Cell) -> str:
    """A cell: bold if it is best, italic if it is the lowest of its kind, and the note behind it."""
    sign = {"best": "**", "lead": "*", "": ""}[cell.mark]
    text = f"{sign}{markdown_text(cell.text)}{sign}"
    if cell.note:
        return f"{text} ({markdown_text(cell.note)})"
    return text


def markdown_list(items: Iterable[str]) -> str:
    """Texts as a list of bullets."""
    return "\n".join(f"- {markdown_text(item)}" for item in items)


def markdown_text(text: str) -> str:
    """A text on one line, in which no letter is read as Markdown or HTML."""
    escaped = re.sub(r"([\\`*_\[\]|&~])", r"\\\1", " ".join(text.split()))
    return re.sub(r"<(?=[A-Za-z/!?])", r"\\<", escaped).replace(r"\~ ", "~ ")
