"""Pictures beside the page: sample grids of every training seed, and what `genbench explore` left.

<out>/pictures/<dataset>/<model>[@variant]-s<seed>-<id8>.png
<out>/explore/<dataset>/<stem>.png, <stem>.svg, captions.json: stem -> {title, caption, model, seed,
drawing, command}
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote

from genbench.errors import InputError
from genbench.leaderboard.board import Board
from genbench.leaderboard.row_provenance import Link
from genbench.leaderboard.rows import Row
from genbench.records.store import picture_path
from genbench.system.files import open_regular
from genbench.system.json_files import read_json
from genbench.system.typed import read_value

__all__ = ["Figure", "Grids", "Strip", "figures", "grids", "strip"]

# The sample grid that an evaluation saves has this many images, eight in a row.
GRID_IMAGES = 64
# The first three lines of a block of text have this height in pixels, with the margin above them.
TEXT_PIXELS = 68


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
    """The part of a picture of samples that stands beside a row's name: the first row of a grid, the
    whole of a scatter plot, or the first lines of a block of text.

    Attributes:
        address: Path of the picture from the page, as an address.
        seed: Training seed of the samples.
        kind: "grid", "scatter" or "text".
        aspect: Width of the part divided by its height.
    """

    address: str
    seed: int
    kind: Literal["grid", "scatter", "text"]
    aspect: float


def strip(row: Row, out: Path) -> Strip | None:
    """The samples that stand beside a row's name: those of the first training seed that has a
    picture; None without any picture.

    Args:
        row: A row of a board.
        out: The leaderboard's folder.
    """
    pictures = grid_links(row, out)
    if not pictures:
        return None
    address = pictures[0].address
    seed = pictures[0].seed
    protocol = row.first.protocol
    if protocol.shape == (1, 1, 2):
        return Strip(address, seed, "scatter", 1)
    if protocol.shape[:2] == (1, 1):
        width = png_width(out / unquote(address))
        return Strip(address, seed, "text", round(max(width, 1) / TEXT_PIXELS, 2))
    images = min(GRID_IMAGES, protocol.generated_images)
    return Strip(address, seed, "grid", math.ceil(math.sqrt(images)))


def png_width(path: Path) -> int:
    """Width of a PNG in pixels, which its header states in bytes 16 to 19."""
    with open_regular(path) as file:
        return int.from_bytes(file.read(20)[16:], "big")


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
