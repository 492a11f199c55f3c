"""One page that can be shown to a class: `index.html`, which needs nothing but the pictures and
records beside it.

Style, plots and script are inside the file. Every value stands in the HTML: without the script all
of it is visible. With it, tables can be sorted and filtered by family, and a cell shows the values
of its seeds when it is pointed at or focused. Nothing in the page depends on when or where it is
made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

from genbench.leaderboard.board import Board
from genbench.leaderboard.cells import Table
from genbench.leaderboard.claims.decision import verdicts
from genbench.leaderboard.claims.text import FILE, claims_text
from genbench.leaderboard.curves import curve_plot, curve_sentence
from genbench.leaderboard.families import COLOURS, family_class, family_order, marker
from genbench.leaderboard.folding import folds_of
from genbench.leaderboard.formats import board_text, load_boards
from genbench.leaderboard.gallery import figures, grids, strip
from genbench.leaderboard.noise_study import FOLDER, noise_text
from genbench.leaderboard.orders import EXPLANATION, ORDERS, TITLE, orders_table, orders_text
from genbench.leaderboard.plots import new_environment, plots
from genbench.leaderboard.published import published_entries, published_figures
from genbench.leaderboard.reproductions import LIST, reproductions_text
from genbench.leaderboard.row_provenance import row_provenance
from genbench.leaderboard.sampling_plot import sampling_plot, samplings_of_claims
from genbench.leaderboard.seeds import SEPARATOR, seed_values
from genbench.leaderboard.slide.html import slide_globals, slide_part
from genbench.leaderboard.table import (
    COMMAND,
    LEGEND,
    board_table,
    board_title,
    comparison_table,
    facts,
)
from genbench.leaderboard.words import MAY_BE_CHANCE
from genbench.records.demonstration import demonstrations_in
from genbench.records.store import record_files
from genbench.system.files import write_atomic
from genbench.system.temporary import remove_abandoned

__all__ = ["build", "page_text", "write_page"]


def build(out: Path) -> list[Path]:
    """Write <out>/<dataset>.md for every data set, <out>/index.html, <out>/orders.md where boards or
    metrics can be compared, <out>/reproductions.md where there is a published.yaml, <out>/README.md
    where there is a noise study, and <out>/claims.md where there is one already.

    Raises:
        InputError: A record or the list of published figures is bad; nothing is written.
    """
    for folder in (out, *(out / "records").glob("*"), *(out / "pictures").glob("*")):
        remove_abandoned(folder)
    while True:
        known = record_files(out)
        written = build_once(out)
        # If another process has added a record meanwhile, the pages may lack it, and are written
        # again.
        if record_files(out) == known:
            return written


def build_once(out: Path) -> list[Path]:
    """As `build`, from the records that are there now."""
    boards = load_boards(out)
    texts = {
        out / f"{dataset}.md": board_text(dataset, group) for dataset, group in by_dataset(boards)
    }
    texts[out / "index.html"] = page_text(boards, out)
    if orders := orders_text(boards):
        texts[out / ORDERS] = orders
    if (out / FOLDER).is_dir():
        texts[out / "README.md"] = noise_text(boards, out / FOLDER)
    if (out / LIST).exists():
        texts[out / "reproductions.md"] = reproductions_text(boards, out / LIST)
    if (out / FILE).exists():
        texts[out / FILE] = claims_text(verdicts(out))
    for path, text in texts.items():
        write_atomic(path, text)
    return list(texts)


def write_page(out: Path) -> Path:
    """Write <out>/index.html, atomically."""
    text = page_text(load_boards(out), out)
    write_atomic(out / "index.html", text)
    return out / "index.html"


@cache
def _environment() -> Any:
    """Jinja with what the templates of the page call, made once."""
    jinja = new_environment()
    jinja.globals |= {"style": family_class, "outline": marker, **slide_globals()}
    return jinja


def page_text(boards: Sequence[Board], out: Path) -> str:
    """The content of index.html."""
    jinja = _environment()
    datasets = [
        dataset_fields(name, f"d{i}", group, out)
        for i, (name, group) in enumerate(by_dataset(boards))
    ]
    return jinja.get_template("page.html.j2").render(
        datasets=datasets,
        orders=orders_fields(boards),
        families=families_of(boards),
        legend=LEGEND,
        command=COMMAND,
        colours=COLOURS,
        separator=SEPARATOR,
        may_be_chance=MAY_BE_CHANCE,
        demonstrations=demonstrations_in(out),
        samplings=samplings_of_claims(out),
        **slide_part(verdicts(out), boards),
    )


def orders_fields(boards: Sequence[Board]) -> dict[str, Any] | None:
    """What the template needs of the part about orders; None where there is nothing to compare."""
    table = orders_table(boards)
    if table is None:
        return None
    lines = [
        {
            "family": line.family,
            "floor": False,
            "anchor": "",
            "strip": None,
            "folded": False,
            "more": 0,
            "cells": [(column, cell, "") for column, cell in zip(table.columns, line.cells)],
        }
        for line in table.lines
    ]
    shown = {"columns": table.columns, "lines": lines, "has_published": False}
    return {"title": TITLE, "explanation": EXPLANATION, "table": shown}


def by_dataset(boards: Sequence[Board]) -> list[tuple[str, list[Board]]]:
    """Names of the data sets, each with its boards. Boards are sorted by data set already."""
    groups = groupby(boards, key=lambda board: board.protocol.dataset)
    return [(name, list(group)) for name, group in groups]


def families_of(boards: Sequence[Board]) -> list[str]:
    """Every family of a row, the known ones in their order."""
    return sorted({row.family for board in boards for row in board.rows}, key=family_order)


def dataset_fields(name: str, anchor: str, boards: Sequence[Board], out: Path) -> dict[str, Any]:
    """What the template needs of a data set.

    Args:
        name: Name of the data set.
        anchor: Name of its place in the page.
        boards: Its boards.
        out: The leaderboard's folder.
    """
    families = {row.first.model: row.family for board in boards for row in board.rows}
    return {
        "name": name,
        "anchor": anchor,
        "boards": [board_fields(board, f"{anchor}b{i}", out) for i, board in enumerate(boards)],
        "figures": figures(name, families, out),
    }


def board_fields(board: Board, anchor: str, out: Path) -> dict[str, Any]:
    """What the template needs of a board.

    Args:
        board: The board.
        anchor: Name of its place in the page.
        out: The leaderboard's folder.
    """
    shown = grids(board, out)
    return {
        "anchor": anchor,
        "name": " ".join([board.protocol.name, *(f"({words})" for words in remarks(board))]),
        "title": board_title(board).removeprefix("protocol "),
        "facts": facts(board),
        "comparison": table_fields(board, comparison_table, anchor, out),
        "board": table_fields(board, board_table, anchor),
        "plots": [*plots(board), *filter(None, [curve_plot(board), sampling_plot(board)])],
        "curves": curve_sentence(board),
        "grids": shown,
        "seeds": sorted({picture.seed for grid in shown for picture in grid.pictures}),
        "provenances": [
            {
                "anchor": f"{anchor}r{i}",
                "label": row.label,
                "family": row.family,
                "floor": row in board.floor,
                "provenance": row_provenance(row),
            }
            for i, row in enumerate((*board.rows, *board.floor))
        ],
    }


def remarks(board: Board) -> list[str]:
    """What a caption says besides the protocol's name, in short."""
    words = [board.apart] if board.apart else []
    if board.protocol.is_former:
        words.append("former")
    return words


def table_fields(
    board: Board, draw: Callable[[Board], Table], anchor: str, out: Path | None = None
) -> dict[str, Any]:
    """What the template needs of a table: its cells with the values of the seeds. The lines are the
    board's rows, then the noise floor, measured or not.

    Args:
        board: The board.
        draw: The function that makes the table of a board.
        anchor: Name of the board's place in the page.
        out: The leaderboard's folder, from which each line gets a strip of samples and published
            figures; None: neither.
    """
    table = draw(board)
    rows = (*board.rows, *board.floor)
    folds = folds_of(board)
    published = published_figures(board, published_entries(out)) if out else {}
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
            "folded": row is not None and row.label in folds.others,
            "more": folds.counts.get(row.label, 0) if row else 0,
            "published": published.get(row.label, []) if row else [],
        }
        lines.append({**shown, "cells": cells, "strip": strip(row, out) if row and out else None})
    return {"columns": table.columns, "lines": lines, "has_published": bool(published)}
