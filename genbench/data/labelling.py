"""Splits and classes of pictures, by the folders that they lie in. What can be read in two ways is
refused with a line that says how to make it clear.

    splits    are the folders train, val and test at the top, or training, valid, validation and
              testing, in capital or small letters. train must be among them, and nothing else may
              lie beside them
    classes   are the folders below the splits, or the folders at the top where there are no splits,
              if every picture lies in one. Names that differ only in their form of Unicode are one
              class. Labels are numbered in natural order: 2 before 10. Folders below a class are no
              classes; the report names them where a class has several

A folder in which everything lies does not count. A card in a container decides its classes instead:
`genbench.data.label_cards`.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from genbench.data.decoded import Split
from genbench.errors import InputError

__all__ = [
    "NO_LABELS",
    "PictureLabels",
    "Place",
    "as_word",
    "composed",
    "folder_labels",
    "natural",
    "numbered",
    "places",
    "printable",
]

_SPLITS: dict[str, Split] = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_LARGEST_CLASS = 65_535


class Place(NamedTuple):
    """Where a picture lies.

    Attributes:
        split: Its split; None where folders do not decide.
        folders: Names of the folders below the split, or below the folder in which everything
            lies, in Unicode's composed form.
    """

    split: Split | None
    folders: tuple[str, ...]


class PictureLabels(NamedTuple):
    """Classes of pictures.

    Attributes:
        labels: Label of each picture by its name; empty where there are no classes.
        classes: Names of the classes by label.
        note: A sentence of the report about how the classes were found; may be empty.
    """

    labels: dict[str, int]
    classes: tuple[str, ...]
    note: str = ""


NO_LABELS = PictureLabels({}, ())


def printable(name: str) -> str:
    """A name from a container as a terminal may show it: escaped where it has control characters,
    among them those that reverse the direction of the line.
    """
    if name.isprintable():
        return name
    return repr(name)


def as_word(name: str) -> str:
    """A name as one word of a command that a user may copy; a name that no terminal shows becomes
    the result of `printable`.
    """
    if name.isprintable():
        return shlex.quote(name)
    return printable(name)


def composed(name: str) -> str:
    """A name in Unicode's composed form, in which an e with an accent is one character; some systems
    write two.
    """
    return unicodedata.normalize("NFC", name)


def natural(name: str) -> tuple[tuple[int, str] | tuple[int, int, str], ...]:
    """A sort key by which numbers inside names are sorted by their size: cat2 before cat10."""
    parts = re.split(r"([0-9]+)", name)
    # Numbers are compared as digits, first by how many: Python refuses to convert very long ones.
    return tuple(
        (0, len(part.lstrip("0")), part.lstrip("0")) if i % 2 else (1, part)
        for i, part in enumerate(parts)
    )


def places(origin: Path, names: Sequence[str]) -> dict[str, Place]:
    """Find the split of each picture, and the folders below the split that it lies in.

    Args:
        origin: The container, for messages.
        names: Paths of the pictures inside the container.

    Returns:
        Path of a picture -> its place.

    Raises:
        InputError: Something else lies beside folders that are called like splits, or none of
            them is for training.
    """
    folders, depth = _without_wrapper({name: _folders(name) for name in names})
    tops = {parts[0] if parts else "" for parts in folders.values()}
    splits = [top for top in tops if top.lower() in _SPLITS]
    if not splits:
        _refuse_hidden_splits(origin, folders)
        _refuse_almost_splits(origin, tops)
        return {name: Place(None, parts) for name, parts in folders.items()}
    if others := sorted(tops.difference(splits)):
        beside = [
            name for name, parts in folders.items() if (parts[0] if parts else "") == others[0]
        ]
        path = "/".join(PurePosixPath(beside[0]).parts[: depth + 1]) if others[0] else beside[0]
        more = f" ({len(beside):,} pictures in all)" if len(beside) > 1 else ""
        raise InputError(
            f"{origin}: beside {_list(splits)}, called as splits are, lies {printable(path)}{more}:"
            f" move it away, or leave it out (--leave-out {as_word(path)})"
        )
    if "train" not in {_SPLITS[top.lower()] for top in splits}:
        raise InputError(
            f"{origin}: {_list(splits)}: splits, and none for training; call a folder train, or"
            " give these other names"
        )
    below, _ = _without_wrapper({name: parts[1:] for name, parts in folders.items()})
    return {name: Place(_SPLITS[parts[0].lower()], below[name]) for name, parts in folders.items()}


def _refuse_almost_splits(origin: Path, tops: set[str]) -> None:
    """Refuse folders such as train_data and test_data, with nothing beside: by their names they
    would be two classes, and pictures for testing would be trained on.

    Args:
        origin: The container, for messages.
        tops: Names of the folders at the top; an empty text where pictures lie beside them.
    """
    splits = {_split_in(top) for top in tops}
    if None in splits or "train" not in splits or len(splits) < 2:
        return
    raise InputError(
        f"{origin}: {_list(tops)} are called much as splits are, and would be classes: name splits"
        " train, val and test, and classes without those words"
    )


def _split_in(name: str) -> Split | None:
    """The split that a name begins or ends with, apart from other letters: train for train_data,
    train2017 and my-train; None for a name that has none there, such as trainers.
    """
    words = re.findall(r"[^\W\d_]+", name.lower())
    splits = [_SPLITS[word] for word in words[:1] + words[-1:] if word in _SPLITS]
    return splits[0] if splits else None


def _refuse_hidden_splits(origin: Path, folders: dict[str, tuple[str, ...]]) -> None:
    """Refuse folders called like splits where they do not count: below every class, or below a
    folder beside which there are pictures.

    Args:
        origin: The container, for messages.
        folders: Path of a picture -> names of the folders that it lies in.
    """
    inside = {name: parts for name, parts in folders.items() if parts}
    second = {parts[1] if len(parts) > 1 else "" for parts in inside.values()}
    if len(second) < 2 or not {name.lower() for name in second} <= _SPLITS.keys():
        return
    top = printable(next(iter(inside.values()))[0])
    stray = next((name for name in folders if name not in inside), None)
    if stray is not None:
        raise InputError(
            f"{origin}: splits ({_list(second)}) lie below {top}, beside {printable(stray)}: move"
            f" that away, or leave it out (--leave-out {as_word(stray)})"
        )
    raise InputError(
        f"{origin}: splits ({_list(second)}) lie below {top}; right is train/ at the top, and class"
        " folders below it"
    )


def folder_labels(origin: Path, places: dict[str, Place]) -> PictureLabels:
    """Classes of pictures by the first folder that each lies in. There are none where the pictures
    lie in no folder, or all in one.

    Args:
        origin: The container, for messages.
        places: Path of a picture -> its place.

    Raises:
        InputError: Some pictures lie in class folders and some beside, or a class has no pictures
            for training.
    """
    inside = {name: place for name, place in places.items() if place.folders}
    beside = [name for name in places if name not in inside]
    # A folder is no class if all pictures that lie in a folder lie in it.
    below, _ = _without_wrapper({name: place.folders for name, place in inside.items()})
    tops = {parts[0] for parts in below.values() if parts}
    if len(tops) < 2:
        return NO_LABELS
    if beside:
        them = "it" if len(beside) == 1 else "them"
        raise InputError(
            f"{origin}: {_count(beside)} in no class folder, beside {_list(tops)}: move {them} into"
            f" one, leave {them} out (--leave-out {_group(beside, places)}), or read all without"
            " classes (--no-classes)"
        )
    classes = tuple(
        sorted(
            {place.folders[0] for place in inside.values()}, key=lambda name: (natural(name), name)
        )
    )
    learnt = {place.folders[0] for place in inside.values() if place.split in (None, "train")}
    if strange := next(
        (name for name, place in inside.items() if place.folders[0] not in learnt), None
    ):
        folder = str(PurePosixPath(strange).parent)
        raise InputError(
            f"{origin}: {printable(folder)} is a class without pictures for training: leave it out"
            f" (--leave-out {as_word(folder)}), or read all without classes (--no-classes)"
        )
    number = {name: label for label, name in enumerate(classes)}
    return PictureLabels(
        {name: number[place.folders[0]] for name, place in inside.items()},
        classes,
        _merged_folders([place.folders for place in inside.values()]),
    )


def _merged_folders(folders: Iterable[tuple[str, ...]]) -> str:
    """What a report says of folders below a class, whose names are lost; empty where no class has
    pictures in several folders.

    Args:
        folders: The folders that each picture lies in, the outermost first.
    """
    by_class: dict[str, set[str]] = {}
    for parts in folders:
        by_class.setdefault(parts[0], set()).add("/".join(parts))
    merged = set().union(*(below for below in by_class.values() if len(below) > 1))
    merged -= by_class.keys()
    if not merged:
        return ""
    return f"folders below a class are merged into it: {_list(merged)}"


def numbered(classes: dict[str, Any]) -> PictureLabels:
    """Number the classes that occur as 0, 1, ... The numbers that they have become their names.

    Args:
        classes: Path of a picture -> number of its class.

    Raises:
        ValueError: A class is no integer from 0 to 65,535.
    """
    bad = next(
        (k for k in classes.values() if type(k) is not int or not 0 <= k <= _LARGEST_CLASS), None
    )
    if bad is not None:
        raise ValueError(f"a class is a number from 0 to {_LARGEST_CLASS:,}, not {bad!r}")
    occurring = sorted(set(classes.values()))
    number = {k: label for label, k in enumerate(occurring)}
    note = ""
    if occurring and occurring[-1] != len(occurring) - 1:
        note = (
            f"classes are the {len(occurring):,} numbers from {occurring[0]:,} to {occurring[-1]:,}"
            " that occur; labels count from 0"
        )
    return PictureLabels(
        {name: number[k] for name, k in classes.items()}, tuple(map(str, occurring)), note
    )


def _folders(name: str) -> tuple[str, ...]:
    """Names of the folders of a path, in Unicode's composed form."""
    return tuple(composed(part) for part in PurePosixPath(name).parts[:-1])


def _without_wrapper(folders: dict[str, tuple[str, ...]]) -> tuple[dict[str, tuple[str, ...]], int]:
    """Leave out the folders that every picture lies in.

    Args:
        folders: Path of a picture -> names of the folders that it lies in.

    Returns:
        The same without them, and their number.
    """
    depth = 0
    while folders and all(folders.values()) and len({parts[0] for parts in folders.values()}) == 1:
        folders = {name: parts[1:] for name, parts in folders.items()}
        depth += 1
    return folders, depth


def _list(names: Iterable[str], most: int = 3) -> str:
    """The first names in natural order, and how many more there are."""
    names = [printable(name) for name in sorted(names, key=natural)]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _count(names: Sequence[str]) -> str:
    """The beginning of a sentence about pictures, with its verb."""
    if len(names) == 1:
        return f"{printable(names[0])} is"
    return f"{len(names):,} pictures, such as {printable(names[0])}, are"


def _group(names: Sequence[str], places: dict[str, Place]) -> str:
    """What to leave out to be rid of stray pictures: their folder if it is a whole split, else the
    first of them.
    """
    split = places[names[0]].split
    together = [name for name, place in places.items() if place.split == split]
    parts = PurePosixPath(names[0]).parts[:-1]
    whole = split is not None and split != "train" and set(together) == set(names) and parts
    return as_word("/".join(parts) if whole else names[0])
