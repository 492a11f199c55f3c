"""From where pictures lie in a container to their splits and classes. What can be read in two ways
is refused, with what to do.

    splits    top folders train, val and test (also training, valid, validation, testing, in any case of letters), of which train is
              one, and beside which lies nothing else
    classes   the folders below them, or the top folders where there are no splits, if every picture lies in one. A class is one name
              in all splits, whatever form of Unicode it is written in; labels are numbered in
              natural order: 2 before 10
    a card    dataset.json, as EDM and StyleGAN write it, decides the classes of the folder that it lies in instead:
              {"labels": [[path, class], ...] or null}

A folder around everything is left away.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from json import JSONDecodeError
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from genbench.data.decoded import Split
from genbench.errors import InputError
from genbench.system.json_files import parse_json
from genbench.system.typed import read_value

__all__ = [
    "CARD",
    "NO_LABELS",
    "Labels",
    "Place",
    "card_labels",
    "composed",
    "folder_labels",
    "natural",
    "numbered",
    "places",
    "printable",
]

CARD = "dataset.json"
_SPLITS: dict[str, Split] = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
# What dataset.json may take, and besides for every picture; parsed, it takes ten times as much.
_CARD_BYTES = 2**20
_CARD_BYTES_EACH = 2**10
_LARGEST_CLASS = 65_535


class Place(NamedTuple):
    """Where a picture lies.

    Attributes:
        split: Its split, where folders decide.
        folders: Names of the folders below the split, or below what lies around everything, in
            Unicode's composed form.
    """

    split: Split | None
    folders: tuple[str, ...]


class Labels(NamedTuple):
    """Classes of pictures.

    Attributes:
        labels: Label of each picture by its name; empty where there are no classes.
        classes: Names of the classes by label.
        note: What a reader of the report should know of the numbers; may be empty.
    """

    labels: dict[str, int]
    classes: tuple[str, ...]
    note: str = ""


NO_LABELS = Labels({}, ())


def printable(name: str) -> str:
    """A name from a container, safe on a terminal: escaped where it has control characters, or ones
    that turn the line around.
    """
    if name.isprintable():
        return name
    return repr(name)


def composed(name: str) -> str:
    """A name in Unicode's composed form: an e with an accent is one letter, whichever system wrote
    it.
    """
    return unicodedata.normalize("NFC", name)


def natural(name: str) -> tuple[tuple[int, str] | tuple[int, int, str], ...]:
    """A key that sorts numbers inside of names by their size: cat2 before cat10."""
    parts = re.split(r"([0-9]+)", name)
    # digits by their number first: a name may have more of them than Python makes a number of
    return tuple(
        (0, len(part.lstrip("0")), part.lstrip("0")) if i % 2 else (1, part)
        for i, part in enumerate(parts)
    )


def places(origin: Path, names: Sequence[str]) -> dict[str, Place]:
    """The split of each picture, and the folders below that it lies in.

    Raises:
        InputError: Beside folders that are called splits lies something else, or none of them is
            for training.
    """
    folders, depth = _without_wrapper({name: _folders(name) for name in names})
    tops = {parts[0] if parts else "" for parts in folders.values()}
    splits = [top for top in tops if top.lower() in _SPLITS]
    if not splits:
        _refuse_hidden_splits(origin, folders)
        return {name: Place(None, parts) for name, parts in folders.items()}
    if others := sorted(tops.difference(splits)):
        beside = [
            name for name, parts in folders.items() if (parts[0] if parts else "") == others[0]
        ]
        path = "/".join(PurePosixPath(beside[0]).parts[: depth + 1]) if others[0] else beside[0]
        more = f" ({len(beside):,} pictures in all)" if len(beside) > 1 else ""
        raise InputError(
            f"{origin}: beside {_list(splits)}, called as splits are, lies {printable(path)}{more}: move it away, or leave it out"
            f" (--leave-out {printable(path)})"
        )
    if "train" not in {_SPLITS[top.lower()] for top in splits}:
        raise InputError(
            f"{origin}: {_list(splits)}: splits, and none for training; call a folder train, or give these other names"
        )
    below, _ = _without_wrapper({name: parts[1:] for name, parts in folders.items()})
    return {name: Place(_SPLITS[parts[0].lower()], below[name]) for name, parts in folders.items()}


def _refuse_hidden_splits(origin: Path, folders: dict[str, tuple[str, ...]]) -> None:
    """Refuse splits that lie where they are not looked for: below every class, or in a folder
    beside which lie pictures.
    """
    inside = {name: parts for name, parts in folders.items() if parts}
    second = {parts[1] if len(parts) > 1 else "" for parts in inside.values()}
    if len(second) < 2 or not {name.lower() for name in second} <= _SPLITS.keys():
        return
    top = printable(next(iter(inside.values()))[0])
    stray = next((printable(name) for name in folders if name not in inside), None)
    if stray is not None:
        raise InputError(
            f"{origin}: splits ({_list(second)}) lie below {top}, beside {stray}: move that away, or leave it out"
            f" (--leave-out {stray})"
        )
    raise InputError(
        f"{origin}: splits ({_list(second)}) lie below {top}; right is train/ at the top, and class folders below it"
    )


def folder_labels(origin: Path, places: dict[str, Place]) -> Labels:
    """Classes by the first of the folders that pictures lie in; none where they lie in none, or all
    in one.

    Raises:
        InputError: Some lie in class folders and some beside, or a class has no pictures for
            training.
    """
    inside = {name: place for name, place in places.items() if place.folders}
    beside = [name for name in places if name not in inside]
    # a folder around all but a few pictures is no class
    below, _ = _without_wrapper({name: place.folders for name, place in inside.items()})
    tops = {parts[0] for parts in below.values() if parts}
    if len(tops) < 2:
        return NO_LABELS
    if beside:
        them = "it" if len(beside) == 1 else "them"
        raise InputError(
            f"{origin}: {_count(beside)} in no class folder, beside {_list(tops)}: move {them} into one, leave {them} out"
            f" (--leave-out {_group(beside, places)}), or read all without classes (--no-classes)"
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
        folder = printable(str(PurePosixPath(strange).parent))
        raise InputError(
            f"{origin}: {folder} is a class without pictures for training: leave it out (--leave-out {folder}), or read all"
            " without classes (--no-classes)"
        )
    number = {name: label for label, name in enumerate(classes)}
    return Labels({name: number[place.folders[0]] for name, place in inside.items()}, classes)


def card_labels(
    origin: Path, cards: dict[str, Callable[[], bytes]], names: Sequence[str]
) -> Labels:
    """Classes by the cards of a container; each names pictures below its own folder.

    Args:
        origin: The container.
        cards: How to read each dataset.json, by its path.
        names: Pictures, each of which needs a label, or none has one.

    Raises:
        InputError: A card is of something else, or names a picture twice or not at all.
    """
    given: dict[str, Any] = {}
    without = []
    for card, read in cards.items():
        try:
            labels = _read_card(read(), PurePosixPath(card).parent, len(names))
            for name, label in (labels or {}).items():
                if given.setdefault(name, label) != label:
                    raise ValueError(f"{printable(name)} has two classes")
        except (ValueError, OSError) as error:
            raise InputError(_card_error(origin, card, str(error))) from None
        if labels is None:
            without.append(card)
    if not given:
        return NO_LABELS
    card = next(card for card in cards if card not in without)
    try:
        absent = next((name for name in names if composed(name) not in given), None)
        if absent is not None:
            raise ValueError(f"it has no label for {printable(absent)}")
        return numbered({name: given[composed(name)] for name in names})
    except ValueError as error:
        raise InputError(_card_error(origin, card, str(error))) from None


def _read_card(content: bytes, folder: PurePosixPath, pictures: int) -> dict[str, int] | None:
    """The class of each path that a card names; None where it says that there are none."""
    if len(content) > _CARD_BYTES + _CARD_BYTES_EACH * pictures:
        raise ValueError(f"it has {len(content) >> 20:,} MiB, for {pictures:,} pictures")
    try:
        tree = parse_json(content)
    except (JSONDecodeError, UnicodeDecodeError):
        raise ValueError("it is not JSON") from None
    if not isinstance(tree, dict) or "labels" not in tree:
        raise ValueError("it has no 'labels'")
    if tree["labels"] is None:
        return None
    labels: dict[str, int] = {}
    for path, label in read_value(list[tuple[str, int]], tree["labels"], "labels"):
        name = composed(str(folder / path.replace("\\", "/")))
        if labels.setdefault(name, label) != label:
            raise ValueError(f"{printable(name)} has two classes")
    return labels


def _card_error(origin: Path, card: str, message: str) -> str:
    return (
        f"{origin}: {printable(card)}: {message}; it should say the class of each picture, "
        f'{{"labels": [["a.png", 0], ...]}}; if it is of another tool, leave it out: --leave-out {printable(card)}'
    )


def numbered(classes: dict[str, Any]) -> Labels:
    """Labels 0, 1, ... of the classes that occur, which are numbers; their names are those numbers.

    Raises:
        ValueError: A class is no number, or a large one.
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
        note = f"classes are the {len(occurring):,} numbers from {occurring[0]:,} to {occurring[-1]:,} that occur; labels count from 0"
    return Labels(
        {name: number[k] for name, k in classes.items()}, tuple(map(str, occurring)), note
    )


def _folders(name: str) -> tuple[str, ...]:
    return tuple(composed(part) for part in PurePosixPath(name).parts[:-1])


def _without_wrapper(folders: dict[str, tuple[str, ...]]) -> tuple[dict[str, tuple[str, ...]], int]:
    """Without the folders that all lie in, and how many those are."""
    depth = 0
    while folders and all(folders.values()) and len({parts[0] for parts in folders.values()}) == 1:
        folders = {name: parts[1:] for name, parts in folders.items()}
        depth += 1
    return folders, depth


def _list(names: Iterable[str], most: int = 3) -> str:
    names = [printable(name) for name in sorted(names, key=natural)]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _count(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{printable(names[0])} is"
    return f"{len(names):,} pictures, such as {printable(names[0])}, are"


def _group(names: Sequence[str], places: dict[str, Place]) -> str:
    """The folder of stray pictures, where it is a split that holds no others; else the first one of
    them.
    """
    split = places[names[0]].split
    together = [name for name, place in places.items() if place.split == split]
    parts = PurePosixPath(names[0]).parts[:-1]
    whole = split is not None and split != "train" and set(together) == set(names) and parts
    return printable("/".join(parts) if whole else names[0])
