"""Read every picture of a container at one size.

What cannot be read is named, with the reason, and left out.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from PIL import Image

from genbench.data.containers import Container, Picture, printable
from genbench.data.decoded import Split
from genbench.data.prepare import Decoded, Depth, square
from genbench.errors import InputError

__all__ = ["Channels", "Gathered", "gather", "read_square"]

Channels = Literal["auto", "grey", "rgb"]
# After every block of this many pictures `progress` is called. A block is held twice, once as read
# and once as stored.
_BLOCK = 1024


@dataclass(frozen=True)
class Gathered:
    """Pictures as arrays.

    Args:
        x: Integers (N, C, size, size), of the type of the container's levels.
        y: int64 (N,), or None where the container has no classes.
        classes: Names of the classes by label; those without a picture are left out.
        splits: The split of each picture; None where the container does not decide.
        colour: Number of pictures in colour.
        bad: Names of pictures that cannot be used, with the reasons.
        changes: What was done to pictures on the way, and to how many.
        depths: The range of grey pictures of more than 8 bits, and that of high bytes of others, if
            there are any.
    """

    x: np.ndarray
    y: np.ndarray | None
    classes: tuple[str, ...]
    splits: list[Split | None]
    colour: int
    bad: list[tuple[str, str]]
    changes: Counter[str]
    depths: list[Depth]


def gather(
    container: Container,
    size: int,
    channels: Channels = "auto",
    progress: Callable[[int], None] = lambda done: None,
) -> Gathered:
    """Read every picture of a container.

    Args:
        container: The pictures.
        size: Height and width of the result.
        channels: grey, rgb, or auto: grey where every picture is.
        progress: Called with the number of pictures read so far.

    Raises:
        InputError: No picture could be read, or colour of more than 256 levels is asked for in grey.
    """
    squares: list[np.ndarray] = []
    kept: list[Picture] = []
    bad = list(container.unreadable)
    changes = Counter[str]()
    depths: dict[bool, Depth] = {}
    with warnings.catch_warnings(), ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as threads:
        # Odd metadata is no reason to leave a picture out.
        warnings.simplefilter("ignore")
        # A picture that unpacks to more than 89 million pixels is taken for an attack, not for a
        # photograph.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for start in range(0, len(container.pictures), _BLOCK):
            block = container.pictures[start : start + _BLOCK]
            read = partial(read_square, size=size, levels=container.levels)
            for picture, result in zip(block, threads.map(read, block), strict=True):
                if isinstance(result, str):
                    bad.append((picture.name, result))
                else:
                    squares.append(result.pixels)
                    kept.append(picture)
                    changes.update(result.changes)
                    if result.depth is not None:
                        kind = result.depth.is_high_byte
                        depths[kind] = result.depth.over(depths.get(kind))
            progress(start + len(block))
    if not kept:
        raise InputError(
            f"none of {len(container.pictures)} pictures can be used; the first, "
            f"{printable(bad[0][0])}: {bad[0][1]}"
        )
    y = None
    classes = container.classes
    if classes:
        # A class without a usable picture is left out.
        occurring, y = np.unique([picture.label for picture in kept], return_inverse=True)
        classes = tuple(classes[label] for label in occurring)
    colour = sum(array.ndim == 3 for array in squares)
    if channels == "grey" and colour and container.levels > 256:
        raise InputError(
            f"--channels grey: colour of {container.levels} levels is not made grey; rgb is right"
        )
    splits = [picture.split for picture in kept]
    x = _stack(squares, size, channels, colour)
    return Gathered(x, y, classes, splits, colour, bad, changes, list(depths.values()))


def read_square(picture: Picture, size: int, levels: int) -> Decoded | str:
    """Read a picture as a square.

    Args:
        picture: The picture.
        size: Height and width of the square.
        levels: Grey levels of the container.

    Returns:
        The square with what was done to it; a string that says why there is none.
    """
    try:
        array, changes, depth = picture.read()
        height, width = array.shape[:2]
        if levels != 256 and (height, width) != (size, size):
            raise ValueError(
                f"it is {width}x{height}; images of other than 256 levels are not resized to "
                f"{size}x{size}"
            )
        shaping = []
        if height != width:
            shaping.append("cut to the central square")
        if min(height, width) > size:
            shaping.append(f"reduced to {size}x{size}")
        return Decoded(square(array, size), (*shaping, *changes), depth)
    except Image.UnidentifiedImageError:
        return "no picture that Pillow can read; JPEG or PNG are safe"
    except Exception as error:  # Decoders of damaged files may raise anything.
        return " ".join(str(error).split()) or type(error).__name__


def _stack(squares: list[np.ndarray], size: int, channels: Channels, colour: int) -> np.ndarray:
    """Squares as one array, (N, C, size, size), of their integer type."""
    grey = channels == "grey" or (channels == "auto" and not colour)
    x = np.empty((len(squares), 1 if grey else 3, size, size), dtype=squares[0].dtype)
    for i, array in enumerate(squares):
        if grey and array.ndim == 3:
            # This is the luma of ITU-R 601-2.
            x[i, 0] = np.asarray(Image.fromarray(array).convert("L"))
        elif array.ndim == 3:
            x[i] = array.transpose(2, 0, 1)
        else:
            x[i] = array
    return x
