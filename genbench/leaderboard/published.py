"""Published figures beside the measured ones on the page: those of published.yaml that are of the
same quantity in the same unit as the likelihood of a row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from genbench.leaderboard.board import Board
from genbench.leaderboard.reproductions import LIST, Entry, Published, published_text, read_list
from genbench.leaderboard.rows import Row, likelihood_unit
from genbench.records.parts import variant_of

__all__ = ["PublishedFigure", "published_entries", "published_figures"]


@dataclass(frozen=True)
class PublishedFigure:
    """A figure that others published for a method, beside one row.

    Attributes:
        text: The figure with the sign of its kind.
        details: Who printed it, and under which conditions it was reached.
        link: Address of the publication.
    """

    text: str
    details: str
    link: str


def published_entries(out: Path) -> tuple[Entry, ...]:
    """The entries of a leaderboard's published.yaml; none where there is no such file.

    Raises:
        InputError: The file is wrong.
    """
    path = out / LIST
    if not path.exists():
        return ()
    return read_list(path).entries


def published_figures(board: Board, entries: Iterable[Entry]) -> dict[str, list[PublishedFigure]]:
    """Label of a row -> what others published for it, of the rows that have such figures.

    Args:
        board: The board.
        entries: The entries of published.yaml.
    """
    unit = likelihood_unit(board.protocol)
    figures: dict[str, list[PublishedFigure]] = {}
    for entry in entries:
        for row in board.rows:
            if entry.unit == unit and entry.published and is_of(entry, row):
                figures[row.label] = [published_figure(other) for other in entry.published]
    return figures


def is_of(entry: Entry, row: Row) -> bool:
    """Whether a row is the one that an entry of published.yaml is about."""
    name = f"{row.first.dataset}/{row.first.model}"
    return entry.recipe == name and variant_of(entry.variant) == row.first.variant


def published_figure(other: Published) -> PublishedFigure:
    """A figure of published.yaml as the page prints it."""
    details = f"{other.publication.strip()}: {other.conditions.strip()}"
    return PublishedFigure(published_text(other), details, other.link)
