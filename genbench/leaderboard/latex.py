"""Boards as LaTeX."""

from __future__ import annotations

from collections.abc import Iterable

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import Cell, Table
from genbench.leaderboard.table import board_table, comparison_table, facts

__all__ = ["board_latex", "latex_comments"]

_LATEX = {
    "∞": r"$\infty$",
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"$\sim$", "<": r"$<$", ">": r"$>$", "|": r"$|$", "±": r"$\pm$", "×": r"$\times$",
    "–": "--", "‖": r"$\|$",
}  # fmt: skip


def board_latex(board: Board) -> str:
    parts = [latex_comments([f"{name}: {value}" for name, value in facts(board)])]
    parts += [_latex_table(table, board) for table in (comparison_table(board), board_table(board))]
    return "\n".join(parts)


def _latex_table(table: Table, board: Board) -> str:
    arrow = {"lower": r" $\downarrow$", "higher": r" $\uparrow$", None: ""}
    head = [_latex(column.title) + arrow[column.better] for column in table.columns]
    ranked = [[_latex_cell(cell) for cell in line.cells] for line in table.lines if not line.floor]
    floor = [[_latex_cell(cell) for cell in line.cells] for line in table.lines if line.floor]
    caption = f"{table.title}, {board.protocol.dataset}. " + "; ".join(
        f"{name}: {value}" for name, value in facts(board)
    )
    lines = [
        r"\begin{table}",
        rf"\caption{{{_latex(caption)}}}",
        r"\begin{tabular}{" + _alignment(table) + "}",
        r"\toprule",
    ]
    lines += [
        _latex_line(head),
        r"\midrule",
        *map(_latex_line, ranked),
        r"\midrule",
        *map(_latex_line, floor),
    ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _alignment(table: Table) -> str:
    return "".join("l" if column.words else "r" for column in table.columns)


def _latex_line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex_cell(cell: Cell) -> str:
    text = _latex(cell.text).replace("$<$=", r"$\leq$")
    text = {"best": rf"\textbf{{{text}}}", "lead": rf"\textit{{{text}}}", "": text}[cell.mark]
    return text + (f" ({_latex(cell.note)})" if cell.note else "")


def latex_comments(items: Iterable[str]) -> str:
    return "\n".join(f"% {' '.join(item.split())}" for item in items)


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))
