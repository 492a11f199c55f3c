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

# images of the sample grid that an evaluation saves, eight in a row
GRID_IMAGES = 64


@dataclass(frozen=True)
class Grids:
    """Sample grids of a row.

    Attributes:
        label: Label of the row.
        family: Family of the model.
        pictures: The grid of each training seed that has one.
    """

    label: str
    family: str
    pictures: tuple[Link, ...]


@dataclass(frozen=True)
class Figure:
    """A figure of `genbench explore`.

    Attributes:
        address: Path of the PNG from the page, as an address.
        vector: The same of the SVG; empty without one.
        title: Title of the figure.
        caption: What the figure shows.
        family: Family of the model; empty where it is not known.
        command: The command that drew it.
    """

    address: str
    vector: str
    title: str
    caption: str
    family: str
    command: str


@dataclass(frozen=True)
class Strip:
    """The first row of samples of a grid.

    Attributes:
        address: Path of the grid from the page, as an address.
        seed: Training seed of the samples.
        columns: Images in a row of the grid; 1 for a scatter plot.
    """

    address: str
    seed: int
    columns: int


def strip(row: Row, out: Path) -> Strip | None:
    """The samples that stand beside a row's name: those of the first training seed that has a grid;
    None without any grid.
    """
    pictures = grid_links(row, out)
    if not pictures:
        return None
    protocol = row.first.protocol
    images = min(GRID_IMAGES, protocol.generated_images)
    if protocol.shape[:2] == (1, 1):
        images = 1  # points of the plane are one scatter plot, and texts one block
    return Strip(pictures[0].address, pictures[0].seed, math.ceil(math.sqrt(images)))


def grids(board: Board, out: Path) -> list[Grids]:
    """The grids that exist, the noise floor's first."""
    rows = (*board.floor, *board.rows)
    every = [Grids(row.label, row.family, grid_links(row, out)) for row in rows]
    return [row_grids for row_grids in every if row_grids.pictures]


def figures(dataset: str, families: dict[str, str], out: Path) -> list[Figure]:
    """The figures of a data set, sorted by name.

    Args:
        dataset: Name of the data set.
        families: Name of a model -> its family.
        out: The leaderboard's folder.

    Raises:
        InputError: captions.json is damaged.
    """
    folder = out / "explore" / dataset
    pictures = sorted(folder.glob("*.png")) if folder.is_dir() else []
    captions = read_captions(folder / "captions.json") if pictures else {}
    return [figure_at(path, captions.get(path.stem, {}), families, out) for path in pictures]


def grid_links(row: Row, out: Path) -> tuple[Link, ...]:
    """The sample grids of a row that exist, one per training seed."""
    paths = {
        r.seed: picture_path(out, r.dataset, r.model, r.variant, r.seed, r.id) for r in row.records
    }
    return tuple(
        Link(seed, file_address(path, out)) for seed, path in paths.items() if path.is_file()
    )


def figure_at(path: Path, words: dict[str, Any], families: dict[str, str], out: Path) -> Figure:
    """The figure in a file.

    Args:
        path: A PNG.
        words: What captions.json says of it.
        families: Name of a model -> its family.
        out: The leaderboard's folder.
    """
    vector = path.with_suffix(".svg")
    return Figure(
        address=file_address(path, out),
        vector=file_address(vector, out) if vector.is_file() else "",
        title=str(words.get("title", path.stem)),
        caption=str(words.get("caption", "")),
        family=families.get(str(words.get("model")), ""),
        command=str(words.get("command", "")),
    )


def read_captions(path: Path) -> dict[str, dict[str, Any]]:
    """Name of a figure -> what is said of it; nothing where there is no such file.

    Raises:
        InputError: The file is damaged.
    """
    try:
        return read_value(dict[str, dict[str, Any]], read_json(path))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: figures by name, each with its title and caption, are expected ({error}); "
            "draw them again"
        ) from None


def file_address(path: Path, out: Path) -> str:
    """The address of a file from the page."""
    return quote(path.relative_to(out).as_posix())
