"""One page that can be shown to a class: `index.html`, which needs nothing but the pictures and
records beside it.

Style, plots and script are inside the file. Every value stands in the HTML: without the script all
of it is visible, with it tables sort, families filter and a cell shows the values of its seeds when
pointed at or focused. Nothing in the page depends on when or where it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import Table
from genbench.leaderboard.families import COLOURS, family_class, family_order, marker
from genbench.leaderboard.formats import board_text, load_boards
from genbench.leaderboard.gallery import figures, grids, strip
from genbench.leaderboard.noise_study import FOLDER, noise_text
from genbench.leaderboard.plots import environment, plots
from genbench.leaderboard.reproductions import LIST, reproductions_text
from genbench.leaderboard.seeds import SEPARATOR, seed_values
from genbench.leaderboard.sources import source
from genbench.leaderboard.table import (
    COMMAND,
    LEGEND,
    board_table,
    board_title,
    comparison_table,
    facts,
)
from genbench.leaderboard.words import MAY_BE_CHANCE
from genbench.records.store import record_files
from genbench.system.files import write_atomic
from genbench.system.temporary import remove_abandoned

__all__ = ["build", "page_text", "write_page"]


def build(out: Path) -> list[Path]:
    """Write <out>/<dataset>.md for every data set, <out>/index.html, <out>/reproductions.md where
    there is a published.yaml, and <out>/README.md where there is a noise study.

    Raises:
        InputError: A record or the list of published figures is bad; nothing is written.
    """
    for folder in (out, *(out / "records").glob("*"), *(out / "pictures").glob("*")):
        remove_abandoned(folder)
    while True:
        known = record_files(out)
        written = _build(out)
        if (
            record_files(out) == known
        ):  # else what another process has just added may be missing from what was written last
            return written


def _build(out: Path) -> list[Path]:
    found = load_boards(out)
    texts = {
        out / f"{dataset}.md": board_text(dataset, group) for dataset, group in _by_dataset(found)
    }
    texts[out / "index.html"] = page_text(found, out)
    if (out / FOLDER).is_dir():
        texts[out / "README.md"] = noise_text(found, out / FOLDER)
    if (out / LIST).exists():
        texts[out / "reproductions.md"] = reproductions_text(found, out / LIST)
    for path, text in texts.items():
        write_atomic(path, text)
    return list(texts)


def write_page(out: Path) -> Path:
    """Write <out>/index.html, atomically."""
    text = page_text(load_boards(out), out)
    write_atomic(out / "index.html", text)
    return out / "index.html"


def page_text(found: Sequence[Board], out: Path) -> str:
    """The content of index.html."""
    jinja = environment()
    jinja.globals |= {"style": family_class, "outline": marker}
    datasets = [
        _dataset(name, f"d{i}", group, out) for i, (name, group) in enumerate(_by_dataset(found))
    ]
    return jinja.get_template("page.html.j2").render(
        datasets=datasets,
        families=_families(found),
        legend=LEGEND,
        command=COMMAND,
        colours=COLOURS,
        separator=SEPARATOR,
        may_be_chance=MAY_BE_CHANCE,
    )


def _by_dataset(found: Sequence[Board]) -> list[tuple[str, list[Board]]]:
    return [
        (name, list(group))
        for name, group in groupby(found, key=lambda board: board.protocol.dataset)
    ]


def _families(found: Sequence[Board]) -> list[str]:
    """Every family of a row, the known ones in their order."""
    return sorted({row.family for board in found for row in board.rows}, key=family_order)


def _dataset(name: str, anchor: str, found: Sequence[Board], out: Path) -> dict[str, Any]:
    families = {row.first.model: row.family for board in found for row in board.rows}
    boards = [_board(board, f"{anchor}b{i}", out) for i, board in enumerate(found)]
    return {
        "name": name,
        "anchor": anchor,
        "boards": boards,
        "figures": figures(name, families, out),
    }


def _board(board: Board, anchor: str, out: Path) -> dict[str, Any]:
    shown = grids(board, out)
    return {
        "anchor": anchor,
        "name": " ".join([board.protocol.name, *(f"({words})" for words in _told_apart(board))]),
        "title": board_title(board).removeprefix("protocol "),
        "facts": facts(board),
        "comparison": _table(board, comparison_table, anchor, out),
        "board": _table(board, board_table, anchor),
        "plots": plots(board),
        "grids": shown,
        "seeds": sorted({picture.seed for grid in shown for picture in grid.pictures}),
        "sources": [
            {
                "anchor": f"{anchor}r{i}",
                "label": row.label,
                "family": row.family,
                "floor": row in board.floor,
                "from": source(row),
            }
            for i, row in enumerate((*board.rows, *board.floor))
        ],
    }


def _told_apart(board: Board) -> list[str]:
    """What a caption says besides the protocol's name, in short."""
    return [words for words in (board.apart, "former" if board.protocol.is_former else "") if words]


def _table(
    board: Board, draw: Callable[[Board], Table], anchor: str, out: Path | None = None
) -> dict[str, Any]:
    """A table with the values of the seeds; its lines are the board's rows, then the noise floor,
    measured or not. With `out`, the leaderboard's folder, each has a strip of samples.
    """
    table = draw(board)
    rows = (*board.rows, *board.floor)
    lines = []
    for i, (line, row) in enumerate(zip_longest(table.lines, rows)):
        seeds = seed_values(board, row, draw) if row else {}
        cells = [
            (column, cell, seeds.get(column.title, ""))
            for column, cell in zip(table.columns, line.cells)
        ]
        shown = {
            "family": line.family,
            "floor": line.floor,
            "anchor": f"{anchor}r{i}" if row else "",
        }
        lines.append({**shown, "cells": cells, "strip": strip(row, out) if row and out else None})
    return {"columns": table.columns, "lines": lines}
