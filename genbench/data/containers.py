"""Containers of pictures: a folder, a zip, an npz file or an npy file.

Each is read as a list of pictures with a name, a class and a split.

    folder, zip   picture files at any depth, in the order of their paths; `labelling` finds their
                  splits and classes. In a zip, and in names of files, a backslash parts folders as
                  a slash does
    npz, npy      arrays, as `arrays` reads them
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from genbench.data.arrays import read_arrays
from genbench.data.decoded import Split
from genbench.data.label_cards import CARD, card_labels
from genbench.data.labelling import NO_LABELS, composed, folder_labels, places, printable
from genbench.data.listing import (
    SUFFIXES,
    Listing,
    is_hidden,
    is_picture,
    list_folder,
    list_zip,
)
from genbench.data.prepare import WHITE, Decoded, decode, from_array
from genbench.errors import InputError, nearest
from genbench.system.files import open_regular

__all__ = ["PIXELS", "Container", "Picture", "Reading", "open_container", "printable"]

# Messages name in these words what pictures are read from.
_RIGHT = "a folder of pictures, a zip of them, an npz or an npy file"


@dataclass(frozen=True)
class Picture:
    """A picture that has not been read yet.

    Args:
        name: Path inside the container, or number.
        read: Reads its pixels, by the rule of `prepare`; raises ValueError or OSError.
        label: Number of its class, or None.
        split: Its split; None where the container does not decide.
    """

    name: str
    read: Callable[[], Decoded]
    label: int | None = None
    split: Split | None = None


@dataclass(frozen=True)
class Container:
    """The pictures of a folder or a file, and what else lies there.

    Args:
        pictures: The pictures in the order of their names.
        classes: Names of the classes by label; empty where pictures have no labels.
        others: Number of files that are no pictures.
        hidden: Number of pictures whose name or folder begins with a dot; they are left out.
        levels: Grey levels of every picture.
        unreadable: Names and reasons of folders that cannot be listed, of links to nothing, and of
            what is no file.
        repeated: Number of links to folders that were read already; they are left out.
        left_out: Number of files that were left out because the caller asked for it.
        note: What a report should say of the labels; may be empty.
        empty: Paths of folders without a picture, which give no class.
    """

    pictures: list[Picture]
    classes: tuple[str, ...] = ()
    others: int = 0
    hidden: int = 0
    levels: int = 256
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    repeated: int = 0
    left_out: int = 0
    note: str = ""
    empty: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """How a container is read.

    Args:
        splits: Whether folders decide splits.
        labels: Whether folders, a dataset.json or an array give classes.
        leave_out: Files, and folders with all that they hold, by their paths inside the container.
        white: The value of a grey picture of more than 8 bits that becomes 255; None is 65,535.
    """

    splits: bool = True
    labels: bool = True
    leave_out: tuple[str, ...] = ()
    white: int | None = None


# Images of another tool are read by their pixels alone.
PIXELS = Reading(splits=False, labels=False)


def open_container(path: Path, reading: Reading | None = None) -> Container:
    """Open a folder, a zip, an npz or an npy file.

    Args:
        path: The folder or the file.
        reading: How it is read. Default: splits and labels are read, and nothing is left out.

    Raises:
        InputError: It is none of these, damaged, holds no picture, or can be read in two ways.
    """
    reading = reading or Reading()
    if path.is_dir():
        container = _from_files(path, list_folder(path), reading)
    elif not path.exists():
        raise InputError(f"no {path}: {_RIGHT} is right")
    elif not path.is_file():
        raise InputError(f"{path}: it is no regular file; {_RIGHT} is right")
    elif path.suffix.lower() in (".npz", ".npy"):
        if reading.leave_out:
            raise InputError(f"--leave-out is about folders and zips; {path} holds arrays")
        container = _from_arrays(path, reading)
    elif zipfile.is_zipfile(path):
        container = _from_files(path, list_zip(path), reading)
    else:
        _refuse_damaged_zip(path)
        raise InputError(
            f"{path} is neither a folder of pictures, nor a zip of them, nor an npz or npy file; "
            "a text is imported by --length L"
        )
    if not container.pictures:
        if container.unreadable:
            name, reason = container.unreadable[0]
            raise InputError(f"{path}: {printable(name)}: {reason}; there are no pictures beside")
        raise InputError(
            f"{path} holds no pictures ({', '.join(SUFFIXES[:6])}, ...), but {container.others} "
            "other files"
        )
    return container


def _refuse_damaged_zip(path: Path) -> None:
    """Refuse a file that begins like a zip, or is named like one, but does not end like one.

    Raises:
        InputError: It is such a file, or an empty one.
    """
    with open_regular(path) as file:
        first = file.read(2)
    if not first:
        raise InputError(f"{path} is empty; {_RIGHT} is right")
    if first == b"PK" or path.suffix.lower() == ".zip":
        raise InputError(
            f"damaged {path}: it has no end as a zip has; a whole one is right: copy or pack it"
            " anew"
        )


def _from_files(origin: Path, listing: Listing, reading: Reading) -> Container:
    """The pictures of a folder or a zip, with their classes and splits."""
    all_names = [*listing.files, *(name for name, _ in listing.unreadable)]
    left_out = _left_out(origin, all_names, reading.leave_out)
    files = {name: read for name, read in listing.files.items() if name not in left_out}
    visible = {name: read for name, read in files.items() if not is_hidden(name)}
    names = [name for name in visible if is_picture(name)]
    hidden = sum(is_picture(name) for name in files) - len(names)
    cards = {name: read for name, read in visible.items() if PurePosixPath(name).name == CARD}
    places_of = places(origin, names) if reading.splits else {}
    labels = NO_LABELS
    if reading.labels and cards:
        labels = card_labels(origin, cards, names)
    elif reading.labels:
        labels = folder_labels(origin, places_of)
    white = reading.white or WHITE
    pictures = [
        Picture(
            name,
            partial(_read_file, visible[name], white),
            labels.labels.get(name),
            places_of[name].split if name in places_of else None,
        )
        for name in names
    ]
    return Container(
        pictures,
        labels.classes,
        others=len(visible) - len(names) - len(cards),
        hidden=hidden,
        unreadable=[(name, reason) for name, reason in listing.unreadable if name not in left_out],
        repeated=listing.repeated,
        left_out=len(left_out),
        note=labels.note,
        empty=_empty_folders(listing, names, reading.leave_out),
    )


def _empty_folders(
    listing: Listing, pictures: list[str], leave_out: tuple[str, ...]
) -> tuple[str, ...]:
    """The outermost folders without a picture, but for hidden ones and those that are left out.

    Args:
        listing: What lies in the container.
        pictures: Paths of the pictures that are read.
        leave_out: What the caller asked to leave out.
    """
    full = {str(parent) for name in pictures for parent in PurePosixPath(name).parents}
    full |= {
        str(parent) for name, _ in listing.unreadable for parent in PurePosixPath(name).parents
    }
    asked = {composed(str(PurePosixPath(entry.replace("\\", "/")))) for entry in leave_out}
    empty: list[str] = []
    for name in sorted(set(listing.folders) - full):
        above = {str(parent) for parent in PurePosixPath(name).parents}
        is_asked = bool(asked & {composed(part) for part in (name, *above)})
        if not is_hidden(name) and not is_asked and not above & set(empty):
            empty.append(name)
    return tuple(empty)


def _left_out(origin: Path, names: list[str], asked: tuple[str, ...]) -> set[str]:
    """Names of files that the caller asked to leave out, or that lie in such a folder."""
    out: set[str] = set()
    for entry in asked:
        path = composed(str(PurePosixPath(entry.replace("\\", "/"))))
        matches = {name for name in names if f"{composed(name)}/".startswith(f"{path}/")}
        if not matches:
            folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
            folders.discard(".")
            raise InputError(
                f"--leave-out {entry}: nothing of that path in {origin}; "
                f"{nearest(entry, folders or names)}"
            )
        out |= matches
    return out


def _read_file(read: Callable[[], bytes], white: int) -> Decoded:
    return decode(read(), white)


def _from_arrays(path: Path, reading: Reading) -> Container:
    """The images of a file of arrays, named by their numbers."""
    content = read_arrays(path, reading.labels)
    labels = content.labels
    pictures = [
        Picture(str(i), partial(from_array, image), labels.labels.get(str(i)))
        for i, image in enumerate(content.images)
    ]
    return Container(pictures, labels.classes, levels=content.levels, note=labels.note)
