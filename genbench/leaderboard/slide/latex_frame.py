"""The slide as a table in LaTeX, for `\\input` in a frame of beamer or in a paper; needs booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from genbench.leaderboard.latex import latex_comments, latex_text
from genbench.leaderboard.slide.colours import MARKS
from genbench.leaderboard.slide.grid import Slide, SlideCell, SlideRow

__all__ = ["slide_latex"]


def slide_latex(slide: Slide) -> str:
    """The slide as a tabular whose cells have several lines."""
    heads = ["", *slide.words, *slide.questions]
    lines = [
        latex_comments([slide.title, slide.subtitle, slide.footnote]),
        r"\begin{tabular}{@{}l" + "l" * (len(heads) - 1) + "@{}}",
        r"\toprule",
        " & ".join(rf"\textbf{{{latex_text(head)}}}" for head in heads) + r" \\",
    ]
    for row in slide.rows:
        lines += [r"\midrule", " & ".join(row_cells(row)) + r" \\"]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def row_cells(row: SlideRow) -> list[str]:
    """The cells of a family."""
    name = [rf"\textbf{{{latex_text(row.name)}}}", *small([row.kind, row.sampling, row.stands])]
    cells = [stack(name)]
    cells += [cell_text(cell) for cell in row.cells]
    return [
        *cells,
        *(stack([latex_text(part) for part in text.split(",")]) for text in row.answers),
    ]


def cell_text(cell: SlideCell | None) -> str:
    """A verdict, in lines; nothing where the lectures say nothing."""
    if cell is None:
        return ""
    head = rf"{MARKS[cell.outcome].latex} \textbf{{{latex_text(cell.phrase)}}}"
    return stack(
        [head, latex_text(cell.outcome), *small([cell.number, cell.error, cell.elsewhere])]
    )


def small(texts: Sequence[str]) -> list[str]:
    """Texts that are not empty, in a small font."""
    return [rf"{{\small {latex_text(text)}}}" for text in texts if text]


def stack(lines: Sequence[str]) -> str:
    """Lines above one another in a cell, the first on the line of the row."""
    return r"\begin{tabular}[t]{@{}l@{}}" + r" \\ ".join(lines) + r"\end{tabular}"
