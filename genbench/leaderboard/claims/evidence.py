"""The records that claims are judged by: boards and their rows, by folder, data set and label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genbench.leaderboard.board import Board, boards
from genbench.leaderboard.claims.claim_settings import Settings
from genbench.leaderboard.claims.finding import Lack
from genbench.leaderboard.rows import Row
from genbench.records.store import records_in

__all__ = ["Evidence", "Rows"]


@dataclass(frozen=True)
class Rows:
    """The rows of one comparison.

    Attributes:
        board: Where they stand; None where no board holds one of them.
        rows: One per label; None where there are no records.
        lacks: What each of them lacks.
    """

    board: Board | None
    rows: tuple[Row | None, ...]
    lacks: tuple[Lack, ...]


class Evidence:
    """All records below a leaderboard's folder.

    Args:
        out: Folder with records/, and with claims/<name>/records/ of suites of their own.
        settings: Representatives of families, and how many seeds are needed.
    """

    def __init__(self, out: Path, settings: Settings) -> None:
        self.out = out
        self.settings = settings
        self.boards_read: dict[str, list[Board]] = {}

    def boards(self, folder: str) -> list[Board]:
        """The boards of a folder, without those of the former protocol, which tests no difference.

        Args:
            folder: Below the leaderboard's; empty: that folder itself.

        Raises:
            InputError: A record is bad.
        """
        if folder not in self.boards_read:
            every = boards(records_in(self.out / folder))
            self.boards_read[folder] = [board for board in every if board.tests_differences]
        return self.boards_read[folder]

    def rows(self, folder: str, dataset: str, labels: Sequence[str], needed: int) -> Rows:
        """The rows of a comparison, all of one board.

        Args:
            folder: Below the leaderboard's; empty: that folder itself.
            dataset: Name of the data set.
            labels: <model>[@variant] of each row.
            needed: How many seeds each row needs.
        """
        chosen: Board | None = None
        rows: tuple[Row | None, ...] = (None,) * len(labels)
        for board in self.boards(folder):
            if board.protocol.dataset != dataset:
                continue
            candidates = tuple(row_of(board, label) for label in labels)
            if weight(candidates) > weight(rows):
                chosen = board
                rows = candidates
        lacks = tuple(
            lack
            for label, row in zip(labels, rows)
            if (lack := lack_of(folder, dataset, label, row, needed))
        )
        return Rows(chosen, rows, lacks)


def row_of(board: Board, label: str) -> Row | None:
    """The row of a label, such as noise-floor. Of several configurations under one name it is the one
    with most seeds.
    """
    model, _, variant = label.partition("@")
    rows = [
        row
        for row in (*board.rows, *board.floor)
        if (row.first.model, row.first.variant) == (model, variant)
    ]
    return max(rows, key=lambda row: len(row.records), default=None)


def weight(rows: Sequence[Row | None]) -> tuple[int, int]:
    """How complete the rows of a comparison are: how many there are, and how many records."""
    there = [row for row in rows if row is not None]
    return len(there), sum(len(row.records) for row in there)


def lack_of(folder: str, dataset: str, label: str, row: Row | None, needed: int) -> Lack | None:
    """The training seeds that a row lacks; None where it has enough.

    Args:
        folder: Folder of the records.
        dataset: Name of the data set.
        label: <model>[@variant].
        row: The row; None where there are no records.
        needed: How many seeds it needs.
    """
    seeds = row.seeds if row else ()
    if len(seeds) >= needed:
        return None
    missing = [seed for seed in range(needed) if seed not in seeds]
    return Lack(dataset, label, tuple(missing[: needed - len(seeds)]), needed, folder)
