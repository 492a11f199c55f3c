"""Integer images as PNG, as their data say that they look: grids, scatter plots, blocks of text."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from genbench.data.decoded import array_dtype
from genbench.errors import InputError
from genbench.spec import Image, Scatter, Spec, Text
from genbench.system.files import read_regular, stop_if_disk_full, write_atomic
from genbench.system.temporary import folder_beside

__all__ = [
    "check_folder",
    "grid",
    "output_kind",
    "pairs_in_rows",
    "picture_name",
    "pixels",
    "png",
    "refuse_deep",
    "save_folder",
    "save_grid",
    "texts",
]

# Two images of a grid have this many pixels of this colour between them.
_GAP = 4
_PAPER = (255, 255, 255)
# Points and letters have this colour.
_INK = (31, 58, 110)
# The letters of a text have this height.
_LETTER_PIXELS = 14
# Images are enlarged to about this size.
_IMAGE_PIXELS = 48

# Samples are not written to files with these endings, and no new folder gets such a name.
_OTHER_FILES = (
    *(".bmp", ".csv", ".gif", ".gz", ".jpeg", ".jpg", ".json", ".npy", ".pdf", ".pt", ".svg"),
    *(".tar", ".tif", ".tiff", ".txt", ".webp", ".yaml", ".yml", ".zip"),
)


def save_grid(images: np.ndarray, spec: Spec, path: Path, columns: int | None = None) -> None:
    """Write images as one PNG, which appears whole or not at all.

    Args:
        images: Integers (N, C, H, W).
        spec: Shape and levels of an image.
        path: The file.
        columns: Images in a row. Default: about as many as rows.
    """
    write_atomic(path, png(grid(images, spec, columns)))


def pairs_in_rows(y: np.ndarray, kind: Image, spec: Spec, *columns: np.ndarray) -> np.ndarray:
    """Images y, each followed by the images that go with it, as one sequence for a grid.

    Args:
        y: Integers (N, ...), of the shape and levels of its kind; it is shown in the size, the number
            of channels and the levels of x.
        kind: What y is.
        spec: Shape and levels of x.
        columns: Images x that go with y, such as samples, integers (N, C, H, W) each.

    Returns:
        Integers ((1 + number of columns) N, C, H, W): y_0, then its images, then y_1, ...
    """
    channels, height, width = spec.shape
    rows = np.arange(height) * kind.shape[1] // height
    places = np.arange(width) * kind.shape[2] // width
    shown = y[:, :, rows][:, :, :, places].astype(np.float64)
    shown = np.round(shown * ((spec.levels - 1) / (kind.levels - 1)))
    shown = shown.astype(array_dtype(spec.levels))
    if kind.shape[0] != channels:
        shown = np.repeat(shown[:, :1], channels, axis=1)
    return np.stack((shown, *columns), axis=1).reshape(-1, *spec.shape)


def output_kind(path: Path) -> Literal["grid", "arrays", "folder"]:
    """What samples are written as: one grid (.png), arrays (.npz), or a folder of pictures.

    The name of a folder may have dots.

    Args:
        path: Where they are written.

    Raises:
        InputError: It ends like a file of another kind.
    """
    suffix = path.suffix.lower()
    if path.is_dir() or suffix not in (".png", ".npz", *_OTHER_FILES):
        return "folder"
    if suffix in _OTHER_FILES:
        raise InputError(f"--out {path}: a .png file (grid), an .npz file, or a folder")
    if suffix == ".png":
        return "grid"
    return "arrays"


def picture_name(i: int, ending: str = "png") -> str:
    """The file of sample i in a folder; the ending of a text is txt."""
    return f"{i:06d}.{ending}"


def check_folder(folder: Path, n: int) -> None:
    """Refuse a folder in which n samples would lie beside other files.

    Args:
        folder: Where they are written.
        n: Number of samples.

    Raises:
        InputError: It is a file, or holds anything but n samples, which may be the same.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder} is a file; a new or an empty folder is right")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names and not _are_samples(names, n):
        raise InputError(
            f"--out {folder} holds {len(names):,} other files; a new or an empty folder is right"
        )


def _are_samples(names: set[str], n: int) -> bool:
    """Whether files are called as n samples are, pictures or texts."""
    if len(names) != n:
        return False
    return any(names == {picture_name(i, ending) for i in range(n)} for ending in ("png", "txt"))


def refuse_deep(folder: Path, spec: Spec) -> None:
    """Refuse a folder of pictures that could not hold every level.

    Args:
        folder: Where they would be written.
        spec: Levels and looks of an image.

    Raises:
        InputError: An image is a picture of more than 256 levels.
    """
    if spec.levels > 256 and not isinstance(spec.looks, Text):
        raise InputError(
            f"--out {folder}: images of {spec.levels} levels do not fit into PNGs of 8 bits; "
            "an .npz file is right"
        )


def save_folder(images: np.ndarray, spec: Spec, folder: Path) -> None:
    """Write images as one PNG each, pixel for pixel, or texts as one text file each; the folder
    appears whole or not at all.

    Args:
        images: Integers (N, C, H, W).
        spec: Shape and levels of an image.
        folder: Where they are written.

    Raises:
        InputError: It holds other images, cannot be put in its place, or cannot hold every level.
        Stopped: The disk is full.
    """
    check_folder(folder, len(images))
    refuse_deep(folder, spec)
    files = {}
    if isinstance(spec.looks, Text):
        for i, text in enumerate(texts(images, spec.looks)):
            files[picture_name(i, "txt")] = f"{text}\n".encode()
    else:
        for i, image in enumerate(images):
            files[picture_name(i)] = png(pixels(image, spec))
    folder = folder.resolve()
    if folder.is_dir() and any(folder.iterdir()):
        there = {path.name: read_regular(path) for path in folder.iterdir()}
        if there != files:
            raise InputError(
                f"--out {folder} holds {len(files):,} other samples; a new or an empty folder is "
                "right"
            )
        return
    with stop_if_disk_full(folder), folder_beside(folder) as fresh:
        for name, content in files.items():
            (fresh / name).write_bytes(content)
        try:
            fresh.rename(folder)
        except OSError as error:
            raise InputError(
                f"--out {folder} cannot be put in place ({error.strerror}); name a new folder"
            ) from None


def png(picture: np.ndarray) -> bytes:
    """The bytes of a PNG of a picture, uint8 (H, W) or (H, W, 3)."""
    buffer = io.BytesIO()
    Picture.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def pixels(image: np.ndarray, spec: Spec) -> np.ndarray:
    """One image as a picture, pixel for pixel.

    Args:
        image: Integers (C, H, W).
        spec: Its levels, at most 256; fewer are spread over 0 to 255.

    Returns:
        uint8 (H, W) or (H, W, 3).
    """
    spread = np.round(image.astype(np.float64) * (255 / (spec.levels - 1))).astype(np.uint8)
    if len(image) == 1:
        return spread[0]
    return spread[:3].transpose(1, 2, 0)


def grid(
    images: np.ndarray,
    spec: Spec,
    columns: int | None = None,
    gap: int = _GAP,
    paper: tuple[int, int, int] = _PAPER,
) -> np.ndarray:
    """Images in reading order, enlarged by a whole factor; points and texts as one picture.

    More than 256 levels are rounded to 256 shades: a grid is looked at, and not read back.

    Args:
        images: Integers (N, C, H, W).
        spec: Shape, levels and looks of an image.
        columns: Images in a row. Default: about as many as rows.
        gap: Pixels between two images.
        paper: Colour between images, RGB.

    Returns:
        uint8 (height, width, 3).
    """
    if isinstance(spec.looks, Scatter):
        return _scatter(images, spec.levels)
    if isinstance(spec.looks, Text):
        return _text_block(texts(images, spec.looks))
    n, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    scale = max(1, _IMAGE_PIXELS // max(height, width))
    grey = np.round(images.astype(np.float64) * (255 / (spec.levels - 1))).astype(np.uint8)
    colour = grey[:, :3]
    if channels == 1:
        colour = np.repeat(grey, 3, axis=1)
    large = colour.transpose(0, 2, 3, 1).repeat(scale, axis=1).repeat(scale, axis=2)
    h = height * scale + gap
    w = width * scale + gap
    rows = -(-n // columns)
    picture = np.full((rows * h + gap, columns * w + gap, 3), paper, dtype=np.uint8)
    for i, image in enumerate(large):
        top = i // columns * h + gap
        left = i % columns * w + gap
        picture[top : top + h - gap, left : left + w - gap] = image
    return picture


def texts(images: np.ndarray, looks: Text) -> list[str]:
    """The line of text of each image.

    Args:
        images: Integers (N, 1, 1, L).
        looks: The characters of the levels.
    """
    return [looks.read(image.ravel().tolist()) for image in images]


def _text_block(lines: list[str]) -> np.ndarray:
    """Lines of text below each other, dark on white, in the font that Pillow embeds.

    A control character, such as a line break, is shown as a middle dot, so that a line stays one.
    """
    shown = ["".join(c if c.isprintable() else "\N{MIDDLE DOT}" for c in line) for line in lines]
    font = ImageFont.load_default(_LETTER_PIXELS)
    width = max((math.ceil(font.getlength(line)) for line in shown), default=0)
    height = math.ceil(_LETTER_PIXELS * 1.4)
    size = (width + 4 * _GAP, len(shown) * height + 4 * _GAP)
    picture = Picture.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(picture)
    for i, line in enumerate(shown):
        draw.text((2 * _GAP, 2 * _GAP + i * height), line, fill=_INK, font=font)
    return np.array(picture)


def _scatter(points: np.ndarray, levels: int) -> np.ndarray:
    """A scatter plot of about 400 x 400 pixels, in which each point darkens its cell.

    The first axis points to the right, the second upwards.
    """
    counts = np.zeros((levels, levels))
    np.add.at(counts, (points[:, 0, 0, 0], points[:, 0, 0, 1]), 1)
    scale = max(1, 416 // levels)
    # From 170 levels on, a point covers 3 x 3 cells: a single cell could not be seen from the back
    # row.
    reach = levels // 170
    padded = np.pad(counts, reach)
    shifts = range(2 * reach + 1)
    spread = sum(padded[i : i + levels, j : j + levels] for i in shifts for j in shifts)
    ink = 1 - np.exp(-0.9 * spread)
    shade = np.array(_INK) * ink[..., None] + 255 * (1 - ink[..., None])
    upright = np.round(shade).astype(np.uint8).transpose(1, 0, 2)[::-1]
    return upright.repeat(scale, 0).repeat(scale, 1)
