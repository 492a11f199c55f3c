"""Pictures beside the page: sample grids of every training seed, and what `genbench explore` left.

<out>/pictures/<dataset>/<model>[@variant]-s<seed>-<id8>.png
<out>/explore/<dataset>/<stem>.png, <stem>.svg, captions.json: stem -> {title, caption, model, seed,
drawing, command}
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from genbench.errors import InputError
from genbench.leaderboard.board import Board
from genbench.leaderboard.rows import Row
from genbench.leaderboard.sources import Link
from genbench.records.store import picture_path
from genbench.system.json_files import read_json
from genbench.system.typed import read_value

__all__ = ["Figure", "Grids", "Strip", "figures", "grids", "strip"]

# images in a sample grid, eight in a row: what an evaluation saves
_GRID = 64


@dataclass(frozen=True)
class Grids:
    """Sample grids of a row, one per training seed that has one."""

    label: str
    family: str
    pictures: tuple[Link, ...]


@dataclass(frozen=True)
class Figure:
    """A figure of `genbench explore`; `vector` is the address of its SVG, or empty."""

    address: str
    vector: str
    title: str
    caption: str
    family: str
    command: str


@dataclass(frozen=True)
class Strip:
    """The first row of samples of a grid, by its address; the grid has `columns` images in a row, a
    scatter plot is one.
    """

    address: str
    seed: int
    columns: int


def strip(row: Row, out: Path) -> Strip | None:
    """Samples that stand beside a row's name: those of its first training seed that has a grid."""
    pictures = _pictures(row, out)
    if not pictures:
        return None
    protocol = row.first.protocol
    images = 1 if math.prod(protocol.shape) == 2 else min(_GRID, protocol.generated_images)
    return Strip(pictures[0].address, pictures[0].seed, math.ceil(math.sqrt(images)))


def grids(board: Board, out: Path) -> list[Grids]:
    """The grids that exist, the noise floor's first."""
    found = [
        Grids(row.label, row.family, _pictures(row, out)) for row in (*board.floor, *board.rows)
    ]
    return [grid for grid in found if grid.pictures]


def figures(dataset: str, families: dict[str, str], out: Path) -> list[Figure]:
    """The figures of a data set, sorted by name; families: model -> family.

    Raises:
        InputError: captions.json is damaged.
    """
    folder = out / "explore" / dataset
    pictures = sorted(folder.glob("*.png")) if folder.is_dir() else []
    captions = _captions(folder / "captions.json") if pictures else {}
    return [_figure(path, captions.get(path.stem, {}), families, out) for path in pictures]


def _pictures(row: Row, out: Path) -> tuple[Link, ...]:
    paths = [
        (r.seed, picture_path(out, r.dataset, r.model, r.variant, r.seed, r.id))
        for r in row.records
    ]
    return tuple(Link(seed, _address(path, out)) for seed, path in paths if path.is_file())


def _figure(path: Path, words: dict[str, Any], families: dict[str, str], out: Path) -> Figure:
    vector = path.with_suffix(".svg")
    return Figure(
        _address(path, out), _address(vector, out) if vector.is_file() else "", str(words.get("title", path.stem)),
        str(words.get("caption", "")), families.get(str(words.get("model")), ""), str(words.get("command", "")),
    )  # fmt: skip


def _captions(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return read_value(dict[str, dict[str, Any]], read_json(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: figures by name, each with its title and caption, are expected ({error}); draw them again"
        ) from None


def _address(path: Path, out: Path) -> str:
    return quote(path.relative_to(out).as_posix())
