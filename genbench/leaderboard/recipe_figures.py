"""What the header of a recipe says of its measured figures, written from the records of the
leaderboard: `make figures`.

    # Hardware: one CPU core, two minutes. Figures: FID 2.23 ± 0.23 (@ddim50), <= 2.91 ± 0.01
    #   bits/dim; 3 seeds, 719 samples, CPU: leaderboards/digits.md.

A figure belongs to a recipe only if the configuration and the options of evaluation in its records
are those of the recipe as it stands: hashes are compared, not names. A recipe without such records
says "not yet measured".
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from genbench.config.check import check_config
from genbench.config.config import Config
from genbench.config.find import configs, find_config
from genbench.config.recipe import load_config
from genbench.errors import InputError
from genbench.leaderboard.board import Board
from genbench.leaderboard.formats import load_boards
from genbench.leaderboard.rows import Row, likelihood_unit
from genbench.leaderboard.summary import Summary
from genbench.leaderboard.table import board_table
from genbench.records.catalogue import metric_info, quality_metric
from genbench.records.parts import variant_of
from genbench.records.record import Record
from genbench.system.files import write_atomic
from genbench.system.json_files import canonical_json
from genbench.system.locations import project_root

__all__ = ["figures", "header_with", "rewrite_headers"]

NOT_MEASURED = "not yet measured."
_WIDTH = 128
_FIGURES = re.compile(r"Figures: .*?(?=\n# genbench train )", re.DOTALL)
Cells = dict[str, dict[str, str]]
_DEVICES = {"cpu": "CPU", "cuda": "GPU", "mps": "MPS"}


def figures(recipe: str, config: Config, boards: Sequence[Board]) -> str:
    """The sentence behind "Figures:" in the header of a recipe.

    Args:
        recipe: Name of the recipe, <dataset>/<model>.
        config: Configuration of the recipe.
        boards: Boards of any data sets.
    """
    board, rows = measured_rows(recipe, config, boards)
    if board is None:
        return NOT_MEASURED
    cells = named_cells(board)
    values = [*quality_figures(board, rows, cells), *likelihood_figures(board, rows, cells)]
    return f"{', '.join(values)};\n{origin(board, rows[0])}"


def measured_rows(
    recipe: str, config: Config, boards: Sequence[Board]
) -> tuple[Board | None, list[Row]]:
    """The board with the newest records of a recipe as it stands.

    Args:
        recipe: Name of the recipe.
        config: Configuration of the recipe.
        boards: Boards of any data sets.

    Returns:
        The board, None without such records; and its rows in the order of the evaluations.
    """
    newest: tuple[str, Board | None, list[Row]] = ("", None, [])
    for board in boards:
        rows = [
            row
            for variant in config.evaluations
            for row in board.rows
            if is_of(row, recipe, config, variant)
        ]
        if rows:
            evaluated_at = max(record.evaluated_at for row in rows for record in row.records)
            if evaluated_at > newest[0]:
                newest = (evaluated_at, board, rows)
    return newest[1], newest[2]


def is_of(row: Row, recipe: str, config: Config, variant: str) -> bool:
    """Whether a row was measured with the recipe as it stands, in one of its evaluations.

    Args:
        row: A row.
        recipe: Name of the recipe.
        config: Configuration of the recipe.
        variant: Name of the evaluation.
    """
    record = row.first
    evaluation = config.evaluations[variant]
    if f"{record.dataset}/{record.model}" != recipe or record.variant != variant_of(variant):
        return False
    options = (record.sample_options, record.log_prob_options)
    if canonical_json(options) != canonical_json((evaluation.sample, evaluation.log_prob)):
        return False
    return hash_today(record) == config.hash


def hash_today(record: Record) -> str | None:
    """The hash that this version gives to a record's configuration. Arguments that were added since
    are at their defaults. None: a class or an argument is gone.
    """
    return _hash_today(record.model, canonical_json(record.provenance.config))


@cache
def _hash_today(name: str, config: str) -> str | None:
    try:
        return check_config(json.loads(config), name, (), name).hash
    except InputError:  # A class or an argument of the record no longer exists.
        return None


def named_cells(board: Board) -> Cells:
    """The texts of a board's cells, by the row's label and the column's title."""
    table = board_table(board)
    titles = [column.title for column in table.columns]
    texts = [[cell.text for cell in line.cells] for line in table.lines]
    return {row.label: dict(zip(titles, text)) for row, text in zip(board.rows, texts)}


def quality_figures(board: Board, rows: Sequence[Row], cells: Cells) -> list[str]:
    """The metric of quality of every evaluation: "FID 6.39 ± 0.35", "5.68 ± 0.38 (@mean)".

    Args:
        board: The board of the rows.
        rows: One row per evaluation.
        cells: Texts of the board's cells, as `named_cells` gives them.
    """
    metric = quality_metric(board.protocol)
    if metric is None:
        return []
    title = metric_info(metric).title
    words = metric_info(metric).title_in_text
    texts = [
        f"{value} {at(row)}".strip()
        for row in rows
        if (value := cell_text(cells[row.label][title], row.metric(metric)))
    ]
    if texts:
        return [f"{words} {texts[0]}", *texts[1:]]
    return []


def likelihood_figures(board: Board, rows: Sequence[Row], cells: Cells) -> list[str]:
    """The likelihoods, each once, with their kind: "<= 1.958 ± 0.008 bits/dim".

    Args:
        board: The board of the rows.
        rows: One row per evaluation.
        cells: Texts of the board's cells, as `named_cells` gives them.
    """
    unit = likelihood_unit(board.protocol)
    values = dict[str, Row]()
    for row in rows:
        for conditional, title in ((False, "p(x)"), (True, "p(x | y)")):
            value = cell_text(cells[row.label].get(f"{unit} {title}", ""), row.nll(conditional))
            if value:
                values.setdefault(f"{value} {unit}", row)
    if len(values) == 1:
        return list(values)
    return [f"{value} {at(row)}".strip() for value, row in values.items()]


def cell_text(text: str, summary: Summary | None) -> str:
    """A value as it stands in the board; that of a single seed with its error of measurement; ""
    where there is none.
    """
    if summary is None:
        return ""
    if summary.n == 1 and summary.error:
        decimals = len(text.partition(".")[2])
        return f"{text} ± {summary.error:.{decimals}f}"
    return text


def at(row: Row) -> str:
    """Name of the evaluation behind a value, in brackets; empty for the plain one."""
    if row.first.variant:
        return f"(@{row.first.variant})"
    return ""


def origin(board: Board, row: Row) -> str:
    """Where figures come from: seeds, images, device, and the file of the board."""
    count = len(row.records)
    seeds = f"{count} seeds"
    if count == 1:
        seeds = "1 seed and its standard error"
    if row.diverged:
        seeds += f", {row.diverged} diverged"
    images = f"{board.protocol.generated_images:,} samples"
    if quality_metric(board.protocol) is None:
        scored = board.protocol.scored_images or board.protocol.reference_images
        images = f"{scored:,} images"
    elif row.conditional:
        images += " of labels as frequent as in training"
    device = _DEVICES[row.first.device_class]
    return f"{seeds}, {images}, {device}: leaderboards/{board.protocol.dataset}.md."


def header_with(text: str, sentence: str) -> str:
    """The text of a recipe with new figures in the header.

    Args:
        text: Content of the recipe's file.
        sentence: What `figures` returned.

    Raises:
        InputError: The header has no figures to replace.
    """
    place = _FIGURES.search(text)
    if place is None:
        raise InputError(
            'a recipe begins with comments, in which "Figures: " comes before the line '
            '"# genbench train"'
        )
    start = text.rfind("\n", 0, place.start()) + 1
    words, *lines = f"{text[start : place.start()]}Figures: {sentence}".split("\n")
    wrapped = [wrap(line) for line in (words, *(f"#   {line}" for line in lines))]
    return text[:start] + "\n".join(wrapped) + text[place.end() :]


def wrap(line: str) -> str:
    """A comment in lines of at most 128 letters. Signs, errors and evaluations stay beside the value
    that they belong to.
    """
    tied = re.sub(r"(<=|~|±) | (?=±|\(@)", lambda space: space[0].replace(" ", "\0"), line)
    return textwrap.fill(tied, _WIDTH, subsequent_indent="#   ", break_on_hyphens=False).replace(
        "\0", " "
    )


def rewrite_headers(leaderboard: Path) -> list[str]:
    """Write the figures of a leaderboard into the headers of all recipes.

    Args:
        leaderboard: Folder with records/.

    Returns:
        Names of the recipes that changed.
    """
    boards = load_boards(leaderboard)
    changed = []
    for recipe in configs():
        path = find_config(recipe)
        text = path.read_text()
        new = header_with(text, figures(recipe, load_config(recipe), boards))
        if new != text:
            write_atomic(path, new)
            changed.append(recipe)
    return changed


if __name__ == "__main__":
    for changed_recipe in rewrite_headers(project_root() / "leaderboards"):
        sys.stdout.write(f"{changed_recipe}\n")
