"""What tables are made of, and numbers as the texts of their cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from genbench.leaderboard.rows import Mark, Row
from genbench.leaderboard.summary import Summary
from genbench.records.parts import LikelihoodKind
from genbench.system.json_files import canonical_json

__all__ = [
    "KIND_SIGNS",
    "NONE",
    "Cell",
    "Column",
    "Line",
    "Maker",
    "Table",
    "count_cell",
    "join_names",
    "join_words",
    "option_words",
    "plain_cell",
    "range_text",
    "rough_cell",
    "value_cell",
]

NONE = "–"
KIND_SIGNS: dict[LikelihoodKind, str] = {"exact": "", "bound": "<= ", "estimate": "~ "}


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What it shows.
        sort: What the column is sorted by; None for an empty cell.
        mark: Whether it is best in its column.
        note: Words that stand below the text.
    """

    text: str
    sort: float | str | None = None
    mark: Mark = ""
    note: str = ""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        title: Its head.
        better: Which direction is better; None where the column is not ranked.
        words: Whether it holds words instead of numbers.
    """

    title: str
    better: Literal["lower", "higher"] | None = None
    words: bool = False


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        cells: One per column.
        family: Family of the model, for the colour.
        floor: Whether it is the noise floor.
    """

    cells: tuple[Cell, ...]
    family: str
    floor: bool = False


@dataclass(frozen=True)
class Table:
    """A table, which every format prints in its own way."""

    title: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


Maker = tuple[Column, Callable[[Row], Cell]]
"""A column, and the function that makes its cell of a row."""


# --- numbers as text ------------------------------------------------------------------------------


def value_cell(summary: Summary | None, digits: int, mark: Mark = "", sign: str = "") -> Cell:
    """Mean ± sd, or the mean alone where there is one seed.

    Args:
        summary: A quantity over seeds; None gives an empty cell.
        digits: Smallest number of decimals. There are up to two more, so that the first digit of
            the spread shows.
        mark: Whether it is best in its column.
        sign: What stands before the number, such as "<= ".
    """
    if summary is None:
        return Cell(NONE)
    sd = summary.sd
    if sd:
        digits = max(digits, min(digits + 2, -math.floor(math.log10(sd))))
    text = f"{sign}{summary.mean:,.{digits}f}"
    if sd is not None:
        text = f"{text} ± {sd:,.{digits}f}"
    return Cell(text, summary.mean, mark)


def plain_cell(summary: Summary | None, scale: float = 1) -> Cell:
    """A mean times `scale` to three significant digits; None gives an empty cell.

    Args:
        summary: A quantity over seeds.
        scale: Factor that takes it to the unit of the column.
    """
    if summary is None:
        return Cell(NONE)
    mean = scale * summary.mean
    if mean >= 100 or mean == int(mean):
        return Cell(f"{float(f'{mean:.3g}'):,.0f}", mean)
    return Cell(f"{mean:.3g}", mean)


def rough_cell(summary: Summary | None, scale: float = 1) -> Cell:
    """Mean ± sd of something timed, times `scale`: the mean to three significant digits, the spread
    to two.
    """
    cell = plain_cell(summary, scale)
    if summary is None or summary.sd is None:
        return cell
    sd = scale * summary.sd
    if sd >= 10:
        return replace(cell, text=f"{cell.text} ± {float(f'{sd:.2g}'):,.0f}")
    return replace(cell, text=f"{cell.text} ± {sd:.2g}")


def count_cell(values: Iterable[int]) -> Cell:
    """The range of some counts, sorted by the largest."""
    counts = list(values)
    return Cell(range_text(counts), max(counts))


def range_text(values: Iterable[int]) -> str:
    """Smallest and largest of some counts: "1,000 to 2,000".

    Returns:
        One number where all are equal, and a dash where there is none.
    """
    counts = sorted(set(values))
    if not counts:
        return NONE
    if len(counts) == 1:
        return f"{counts[0]:,}"
    return f"{counts[0]:,} to {counts[-1]:,}"


def option_words(options: dict[str, Any]) -> str:
    """Options with their values: "K = 64, steps = 10".

    >>> option_words({"sampler": {"class_path": "genbench.formulas.samplers.DDIM", "eta": 1.0}})
    'sampler = genbench.formulas.samplers.DDIM (eta = 1.0)'
    """
    return ", ".join(f"{name} = {_value_words(options[name])}" for name in sorted(options))


def _value_words(value: Any) -> str:
    """A value of an option; of a class that is named, its arguments."""
    if not isinstance(value, dict) or "class_path" not in value:
        return canonical_json(value)
    arguments = {key: argument for key, argument in value.items() if key != "class_path"}
    if not arguments:
        return str(value["class_path"])
    return f"{value['class_path']} ({option_words(arguments)})"


def join_words(*words: str) -> str:
    """The texts that are not empty, separated by commas."""
    return ", ".join(word for word in words if word)


def join_names(values: Iterable[str]) -> str:
    """Names in alphabetical order, each once."""
    return ", ".join(sorted(set(values))) or NONE
