"""Boards as LaTeX."""

from __future__ import annotations

from collections.abc import Iterable

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import Cell, Table
from genbench.leaderboard.table import board_table, comparison_table, facts

__all__ = ["board_latex", "latex_comments"]

# These letters are written as LaTeX commands, since LaTeX would read them as commands, or does not
# know them.
LETTERS = {
    "∞": r"$\infty$",
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"$\sim$",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
    "‖": r"$\|$",
    "−": "$-$",
    "✓": r"$\surd$",
    "✗": r"$\times$",
    "≈": r"$\approx$",
    "…": r"\dots{}",
}


def board_latex(board: Board) -> str:
    """The tables of a board below comments that say how it was measured."""
    parts = [latex_comments([f"{name}: {value}" for name, value in facts(board)])]
    parts += [latex_table(table, board) for table in (comparison_table(board), board_table(board))]
    return "\n".join(parts)


def latex_table(table: Table, board: Board) -> str:
    """A table with its caption, for the package booktabs."""
    arrow = {"lower": r" $\downarrow$", "higher": r" $\uparrow$", None: ""}
    head = [latex_text(column.title) + arrow[column.better] for column in table.columns]
    ranked = [[latex_cell(cell) for cell in line.cells] for line in table.lines if not line.floor]
    floor = [[latex_cell(cell) for cell in line.cells] for line in table.lines if line.floor]
    caption = f"{table.title}, {board.protocol.dataset}. " + "; ".join(
        f"{name}: {value}" for name, value in facts(board)
    )
    lines = [
        r"\begin{table}",
        rf"\caption{{{latex_text(caption)}}}",
        r"\begin{tabular}{" + alignment(table) + "}",
        r"\toprule",
    ]
    lines += [
        latex_line(head),
        r"\midrule",
        *map(latex_line, ranked),
        r"\midrule",
        *map(latex_line, floor),
    ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def alignment(table: Table) -> str:
    """One letter per column: words to the left, numbers to the right."""
    return "".join("l" if column.words else "r" for column in table.columns)


def latex_line(cells: list[str]) -> str:
    """One line of a table."""
    return " & ".join(cells) + r" \\"


def latex_cell(cell: Cell) -> str:
    """A cell: bold if it is best, italic if it is the lowest of its kind, and the note behind it."""
    text = latex_text(cell.text).replace("$<$=", r"$\leq$")
    text = {"best": rf"\textbf{{{text}}}", "lead": rf"\textit{{{text}}}", "": text}[cell.mark]
    if cell.note:
        return f"{text} ({latex_text(cell.note)})"
    return text


def latex_comments(items: Iterable[str]) -> str:
    """Texts as comments, one a line."""
    return "\n".join(f"% {' '.join(item.split())}" for item in items)


def latex_text(text: str) -> str:
    """A text on one line, in which no letter is read as a command."""
    return "".join(LETTERS.get(letter, letter) for letter in " ".join(text.split()))
