"""Decoded copies: a folder of arrays that source files were decoded into, with a card that holds
their hash.

    card.json          what decided the arrays, and the hash of their content
    train-images.npy   integers (N, C, H, W) of the type of their levels, `array_dtype`; val and test likewise
    train-labels.npy   int64 (N,) where y is a label; train-y.npy where y is anything else

A copy is written whole or not at all, and verified against its card before it is used.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from genbench.errors import InputError
from genbench.spec import Labels, Spec, pixel_dtype
from genbench.system.files import BROKEN_ARRAY, open_regular, stop_if_disk_full
from genbench.system.json_files import canonical_json, digest, read_json
from genbench.system.temporary import folder_beside
from genbench.system.typed import Sha256, read_value

__all__ = [
    "Arrays",
    "Card",
    "Split",
    "array_dtype",
    "read_card",
    "read_split",
    "store",
    "verified_card",
    "write_copy",
    "writing_to",
]

Split = Literal["train", "val", "test"]
Arrays = tuple[np.ndarray, np.ndarray | None]
"""Images, integers (N, C, H, W), and their y as `Spec.y` says, or None."""

_UNWRITABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENOTEMPTY,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)


@dataclass(frozen=True)
class Card:
    """The content of card.json.

    Args:
        source: What decided the arrays, apart from the bytes of the source files.
        hash: SHA-256 of shape, levels, kind of y, images and y.
        digest: SHA-256 of `source` and `hash`; None in cards of older versions.
    """

    source: dict[str, Any]
    hash: Sha256
    digest: Sha256 | None = None


def array_dtype(levels: int) -> np.dtype:
    """The integer type of arrays of pixels 0, ..., levels - 1: `spec.pixel_dtype` in numpy's words.

    Examples:
        >>> array_dtype(17), array_dtype(512)
        (dtype('uint8'), dtype('int32'))
    """
    return np.dtype(str(pixel_dtype(levels)).removeprefix("torch."))


def read_card(folder: Path) -> Card:
    """Read the card of a decoded copy.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not a card.
    """
    card: Card = read_value(Card, read_json(folder / "card.json"))
    return card


def verified_card(folder: Path, spec: Spec, source: dict[str, object]) -> Card:
    """Read the card of a decoded copy and compare the arrays with it.

    Args:
        folder: The decoded copy.
        spec: Shape, levels and y of its images.
        source: What decided its arrays.

    Raises:
        InputError: The copy is damaged, or another one.
    """
    try:
        card = read_card(folder)
        arrays: dict[Split, Arrays] = {
            split: read_split(folder, spec, split) for split in get_args(Split)
        }
        if empty := empty_splits(arrays):
            raise ValueError(f"no images for {empty[0]}")
        if card.hash != content_hash(spec, arrays):
            raise ValueError("its arrays do not have the hash of its card")
        if canonical_json(card.source) != canonical_json(source):
            raise ValueError(f"its card is that of {card.source.get('name')}")
        # Cards of older versions have no digest.
        if card.digest not in (None, _card_digest(card.source, card.hash)):
            raise ValueError("its card does not have the hash that it states")
    except BROKEN_ARRAY as error:
        raise InputError(
            f"damaged data in {folder} ({error}); delete that folder, it is decoded again"
        ) from None
    return card


def read_split(folder: Path, spec: Spec, split: Split) -> Arrays:
    """The memory-mapped arrays of a split, without a comparison with the card.

    Args:
        folder: The decoded copy.
        spec: Shape, levels and y of its images.
        split: Which split.

    Returns:
        Images, integers (N, C, H, W), and y as `spec.y` says, or None.
    """
    # Memory-mapped, a header that announces more than the file has is refused before memory is
    # reserved.
    x = _mapped(folder / f"{split}-images.npy")
    if spec.y is None:
        return x, None
    y = _mapped(folder / _y_file(spec, split))
    if isinstance(spec.y, Labels):
        return x, np.array(y)
    return x, y


def store(
    folder: Path, spec: Spec, source: dict[str, object], decode: Callable[[], dict[Split, Arrays]]
) -> None:
    """Decode source files into a folder of arrays and their card, whole or not at all. Where another
    process has finished the same meanwhile, its folder stays.

    Args:
        folder: The decoded copy.
        spec: Shape, levels and y of its images.
        source: What decides its arrays.
        decode: Reads the source files, and compares the arrays with what is declared.

    Raises:
        InputError: The place cannot be written, or the arrays are not what is declared.
        Stopped: The disk is full.
    """
    with writing_to(folder), folder_beside(folder) as copy:
        write_copy(copy, spec, source, decode())
        try:
            copy.rename(folder)
        except OSError:
            if folder.exists() and not (folder / "card.json").exists():
                raise InputError(
                    f"damaged data in {folder} (no card.json); delete that folder, it is decoded "
                    "again"
                ) from None
            if not folder.exists():  # Otherwise another process was first, with the same content.
                raise


def write_copy(
    folder: Path, spec: Spec, source: dict[str, object], arrays: dict[Split, Arrays]
) -> str:
    """Write arrays and their card into an empty folder.

    Args:
        folder: Where they go.
        spec: Shape, levels and y of the images.
        source: What decided the arrays.
        arrays: Images and y of every split, which `declaration.check_arrays` has compared with
            the spec.

    Returns:
        The content hash.
    """
    for split, (x, y) in arrays.items():
        np.save(folder / f"{split}-images.npy", x, allow_pickle=False)
        if y is not None:
            np.save(folder / _y_file(spec, split), y, allow_pickle=False)
    content = content_hash(spec, arrays)
    card = {"source": source, "hash": content, "digest": _card_digest(source, content)}
    (folder / "card.json").write_text(json.dumps(card))
    return content


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Say in one line why a folder of decoded data cannot be written.

    Raises:
        InputError: The place is not for writing.
        Stopped: The disk is full.
    """
    try:
        with stop_if_disk_full(folder):
            yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise InputError(
            f"data.root {folder.parent} cannot be written: {error.strerror}; choose another, or "
            "set GENBENCH_DATA"
        ) from None


def empty_splits(arrays: dict[Split, Arrays]) -> list[Split]:
    """The splits that have no images."""
    return [split for split, (x, _) in arrays.items() if len(x) == 0]


def content_hash(spec: Spec, arrays: dict[Split, Arrays]) -> str:
    """SHA-256 of shape, levels and kind of y, and of the images and y of every split, in order."""
    kind = spec.classes if isinstance(spec.y, Labels) else spec.y
    content = hashlib.sha256(f"{spec.shape} {spec.levels} {kind}".encode())
    for split in get_args(Split):
        for array in arrays[split]:
            if array is not None:
                content.update(f"{split} {array.dtype} {array.shape}".encode())
                content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()


def _card_digest(source: object, content: object) -> str:
    """SHA-256 of what a card says.

    Args:
        source: What decided the arrays; of an import also the names of classes and sizes.
        content: The hash of the arrays.
    """
    return digest([source, content])


def _mapped(path: Path) -> np.ndarray:
    """The memory-mapped array of a .npy file. A named pipe in its place is refused, since reading
    it would wait for ever.
    """
    with open_regular(path):
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _y_file(spec: Spec, split: Split) -> str:
    """Name of the file that holds y of a split."""
    if isinstance(spec.y, Labels):
        return f"{split}-labels.npy"
    return f"{split}-y.npy"
