"""One page that can be shown to a class: `index.html`, which needs nothing but the sample grids beside it.

Style, plots and the few lines of script are inside the file. Grids `<out>/pictures/<dataset>/<model>[@variant]-s<seed>-<id8>.png` are
shown where they exist, the smallest training seed of each row. Nothing in the page depends on when or where it is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from genbench.files import write_atomic
from genbench.leaderboard.board import Board, Row
from genbench.leaderboard.plots import environment, family_class, marker, plots
from genbench.leaderboard.record import picture_path
from genbench.leaderboard.table import (
    COMMAND,
    LEGEND,
    Table,
    board_table,
    board_text,
    comparison_table,
    facts,
    load_boards,
)

__all__ = ["Picture", "build", "page_text", "write_page"]


@dataclass(frozen=True)
class Picture:
    """A sample grid: its address beside the page, and the row that it belongs to."""

    source: str
    label: str
    style: str
    marker: str
    seed: int


def build(out: Path) -> list[Path]:
    """Write <out>/<dataset>.md for every data set and <out>/index.html.

    Raises:
        InputError: A record is bad; nothing is written.
    """
    found = load_boards(out)
    texts = {out / f"{dataset}.md": board_text(dataset, group) for dataset, group in _by_dataset(found)}
    texts[out / "index.html"] = page_text(found, out)
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
    datasets = [
        {"name": dataset, "anchor": f"d{i}", "boards": [_board(board) for board in group], "pictures": _pictures(group, out)}
        for i, (dataset, group) in enumerate(_by_dataset(found))
    ]
    return environment().get_template("page.html.j2").render(datasets=datasets, legend=LEGEND, command=COMMAND)


def _by_dataset(found: Sequence[Board]) -> list[tuple[str, list[Board]]]:
    return [(name, list(group)) for name, group in groupby(found, key=lambda board: board.protocol.dataset)]


def _board(board: Board) -> dict[str, Any]:
    return {
        "name": board.protocol.name,
        "facts": facts(board),
        "comparison": _table(comparison_table(board)),
        "board": _table(board_table(board)),
        "plots": plots(board),
    }


def _table(table: Table) -> dict[str, Any]:
    lines = [
        {"cells": line.cells, "class": family_class(line.family), "marker": marker(line.family), "floor": line.floor}
        for line in table.lines
    ]
    return {"title": table.title, "columns": table.columns, "lines": lines}


def _pictures(found: Sequence[Board], out: Path) -> list[Picture]:
    rows = [row for board in found for row in (*board.floor, *board.rows)]
    pictures = {p.source: p for row in rows if (p := _picture(row, out)) is not None}
    return list(pictures.values())


def _picture(row: Row, out: Path) -> Picture | None:
    for record in row.records:
        path = picture_path(out, record.dataset, record.model, record.variant, record.seed, record.id)
        if path.is_file():
            label = f"{record.model}{'@' if record.variant else ''}{record.variant}"
            return Picture(quote(str(path.relative_to(out))), label, family_class(row.family), marker(row.family), record.seed)
    return None
