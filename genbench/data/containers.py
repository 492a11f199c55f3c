"""Where pictures come from: a folder, a zip, an npz, an npy. Each is read as a list of pictures
with a name, a class and a split.

    folder, zip   picture files at any depth, in the order of their paths; their splits and classes are those of `labelling`. In a
                  zip, and in names of files, a backslash parts folders as a slash does
    npz           images, uint8 (N, H, W), (N, H, W, C) or (N, C, H, W), where C is 1, 3, or 4 with transparency; labels, integers
                  (N,); optional levels (256). Without images, arr_0 and arr_1 are images and
                  labels, as guided-diffusion writes them
    npy           images alone

Of a zip nothing is extracted to disk, and nothing is unpickled.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from genbench.data.images import Split
from genbench.data.labelling import (
    CARD,
    NO_LABELS,
    Labels,
    card_labels,
    composed,
    folder_labels,
    numbered,
    places,
    printable,
)
from genbench.data.prepare import WHITE, Decoded, decode, from_array
from genbench.errors import InputError, nearest
from genbench.system.files import BROKEN_ARRAY

__all__ = [
    "PIXELS",
    "Container",
    "Picture",
    "Reading",
    "open_container",
    "printable",
    "refuse_bomb",
]

_SUFFIXES = (
    *(
        ".png",
        ".jpg",
        ".jpeg",
        ".jfif",
        ".webp",
        ".bmp",
        ".tif",
        ".tiff",
        ".gif",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".tga",
        ".jp2",
    ),
    # Pillow may not know these, which is then said of each file
    *(".avif", ".heic", ".heif", ".dng", ".nef", ".cr2", ".arw"),
)
# A larger file is no picture that anybody would train on.
_LARGEST_BYTES = 2**28
# An npz that unpacks to more than the above, and by more than this factor, is no set of images,
# which shrink tenfold or so.
_LARGEST_FACTOR = 200


@dataclass(frozen=True)
class Picture:
    """A picture that has not been read yet.

    Args:
        name: Its path inside the container, or its number.
        read: Its pixels, by the rule of `prepare`; ValueError or OSError if it cannot be.
        label: Its class, or None.
        split: Its split where the container decides, or None.
    """

    name: str
    read: Callable[[], Decoded]
    label: int | None = None
    split: Split | None = None


@dataclass(frozen=True)
class Container:
    """What lies in one.

    Args:
        pictures: In the order of their names.
        classes: Their names by label; none where pictures have no labels.
        others: Number of files that are no pictures.
        hidden: Number of pictures whose name or folder begins with a dot; they are left out.
        levels: Grey levels of every picture.
        unreadable: Names and reasons of folders that cannot be listed, of links to nothing, and of
            what is no file.
        repeated: Number of links to folders that were read already; they are left out.
        left_out: Number of files that were left out because the caller asked for it.
        note: What a report should say of the labels; may be empty.
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


@dataclass
class Listing:
    """The files of a folder or of a zip.

    Args:
        files: How to read each, by its path with slashes.
        unreadable: As of a `Container`.
        repeated: As of a `Container`.
    """

    files: dict[str, Callable[[], bytes]] = field(default_factory=dict)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    repeated: int = 0


# Pixels alone, as images of another tool are read.
PIXELS = Reading(splits=False, labels=False)


def open_container(path: Path, reading: Reading | None = None) -> Container:
    """A folder, a zip, an npz or an npy file.

    Raises:
        InputError: It is none of these, damaged, holds no picture, or can be read in two ways.
    """
    reading = reading or Reading()
    if path.is_dir():
        container = _from_files(path, _list_folder(path), reading)
    elif not path.exists():
        raise InputError(
            f"no {path}: a folder of pictures, a zip of them, an npz or an npy file is right"
        )
    elif path.suffix.lower() in (".npz", ".npy"):
        if reading.leave_out:
            raise InputError(f"--leave-out is about folders and zips; {path} holds arrays")
        container = _from_arrays(path, reading)
    elif zipfile.is_zipfile(path):
        container = _from_files(path, _list_zip(path), reading)
    else:
        raise InputError(
            f"{path} is neither a folder of pictures, nor a zip of them, nor an npz or npy file"
        )
    if not container.pictures:
        if container.unreadable:
            name, reason = container.unreadable[0]
            raise InputError(f"{path}: {printable(name)}: {reason}; there are no pictures beside")
        raise InputError(
            f"{path} holds no pictures ({', '.join(_SUFFIXES[:6])}, ...), but {container.others} other files"
        )
    return container


def _list_folder(folder: Path) -> Listing:
    """Links to folders are followed, and every real folder is met once: a link upwards would have
    no end.
    """
    listing = Listing()
    met = {folder.resolve()}
    waiting = [folder]
    while waiting:
        top = waiting.pop()
        below = []
        try:
            entries = sorted(os.scandir(top), key=lambda entry: entry.name)
        except OSError as error:
            _note_unreadable(
                listing,
                _inside(folder, top),
                f"a folder that cannot be read: {error.strerror or error}",
            )
            continue
        for entry in entries:
            path = Path(entry.path)
            name = _inside(folder, path)
            try:
                if entry.is_dir():
                    real = path.resolve()
                    if real in met:
                        listing.repeated += 1
                    else:
                        met.add(real)
                        below.append(path)
                elif entry.is_file():
                    _add(listing, folder, name, partial(_read_bounded, path))
                elif entry.is_symlink() and not path.exists():
                    _note_unreadable(listing, name, "a link to nothing")
                elif _is_picture(name):
                    _note_unreadable(listing, name, "neither a file nor a folder")
            except OSError as error:
                _note_unreadable(listing, name, error.strerror or str(error))
        waiting += reversed(below)
    listing.files = dict(sorted(listing.files.items(), key=lambda item: PurePosixPath(item[0])))
    return listing


def _inside(folder: Path, path: Path) -> str:
    """A path inside of a folder; programs that know no backslash unpack the zips of others into
    names that have some.
    """
    return str(PurePosixPath(path.relative_to(folder))).replace("\\", "/")


def _add(listing: Listing, origin: Path, name: str, read: Callable[[], bytes]) -> None:
    if name in listing.files:
        raise InputError(
            f"{origin}: the name {name!r} stands for several files; a name for each is right"
        )
    listing.files[name] = read


def _note_unreadable(listing: Listing, name: str, reason: str) -> None:
    if not _is_hidden(name):
        listing.unreadable.append((name, reason))


def _read_bounded(path: Path) -> bytes:
    _refuse_large(path.stat().st_size)
    return path.read_bytes()


def _refuse_large(size: int) -> None:
    if size > _LARGEST_BYTES:
        raise ValueError(f"has more than {_LARGEST_BYTES >> 20} MiB")


def _list_zip(path: Path) -> Listing:
    try:
        archive = zipfile.ZipFile(path)  # stays open for as long as its pictures are read
        entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise InputError(f"damaged {path}: {error}") from None
    listing = Listing()
    for info in sorted(entries, key=lambda info: info.filename):
        # the standard knows slashes alone, and programs of Windows write backslashes
        name = info.filename.replace("\\", "/")
        if ".." in PurePosixPath(name).parts or name.startswith("/") or ":" in name.split("/")[0]:
            raise InputError(
                f"{path}: the name {info.filename!r} points out of the zip; make it anew without such names"
            )
        if not name.endswith("/"):
            _add(listing, path, name, partial(_read_entry, archive, info))
    listing.files = dict(sorted(listing.files.items()))
    return listing


def _read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    _refuse_large(info.file_size)  # the announced size, which is all that is ever unpacked
    try:
        with archive.open(info) as file:
            return file.read()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise ValueError(f"cannot be unpacked: {error}") from None


def _from_files(origin: Path, listing: Listing, reading: Reading) -> Container:
    left_out = _left_out(
        origin, [*listing.files, *(name for name, _ in listing.unreadable)], reading.leave_out
    )
    files = {name: read for name, read in listing.files.items() if name not in left_out}
    visible = {name: read for name, read in files.items() if not _is_hidden(name)}
    names = [name for name in visible if _is_picture(name)]
    hidden = sum(_is_picture(name) for name in files) - len(names)
    cards = {name: read for name, read in visible.items() if PurePosixPath(name).name == CARD}
    found = places(origin, names) if reading.splits else {}
    labels = NO_LABELS
    if reading.labels:
        labels = card_labels(origin, cards, names) if cards else folder_labels(origin, found)
    white = reading.white or WHITE
    pictures = [
        Picture(
            name,
            partial(_read_file, visible[name], white),
            labels.labels.get(name),
            found[name].split if name in found else None,
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
    )


def _left_out(origin: Path, names: list[str], asked: tuple[str, ...]) -> set[str]:
    """Names that are asked to be left out, or lie below such a folder."""
    out: set[str] = set()
    for given in asked:
        path = composed(str(PurePosixPath(given.replace("\\", "/"))))
        matches = {
            name
            for name in names
            if composed(name) == path or composed(name).startswith(f"{path}/")
        }
        if not matches:
            folders = {str(parent) for name in names for parent in PurePosixPath(name).parents} - {
                "."
            }
            raise InputError(
                f"--leave-out {given}: nothing of that path in {origin}; {nearest(given, folders or names)}"
            )
        out |= matches
    return out


def _is_hidden(name: str) -> bool:
    """What systems leave behind: .DS_Store, __MACOSX/."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _SUFFIXES


def _read_file(read: Callable[[], bytes], white: int) -> Decoded:
    return decode(read(), white)


def _from_arrays(path: Path, reading: Reading) -> Container:
    try:
        arrays = _load_arrays(path)
        images = _channels_last(arrays["images"])
        levels = _npz_levels(arrays.get("levels"))
        if not 2 <= levels <= 256 or images.max(initial=0) >= levels:
            raise ValueError(
                f"its pixels are not 0 to levels - 1 for levels of 2 to 256, but up to {images.max()} for {levels}"
            )
        if levels < 256 and images.shape[3:] == (4,):
            raise ValueError(
                f"its images have transparency, which goes with 256 levels, not with {levels}"
            )
        labels = _npz_labels(arrays.get("labels"), len(images)) if reading.labels else NO_LABELS
    except BROKEN_ARRAY as error:
        raise InputError(f"{path}: {str(error) or type(error).__name__}") from None
    pictures = [
        Picture(str(i), partial(from_array, image), labels.labels.get(str(i)))
        for i, image in enumerate(images)
    ]
    return Container(pictures, labels.classes, levels=levels, note=labels.note)


def _load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Arrays images, and where there are such labels and levels."""
    if path.suffix.lower() == ".npy":
        # mapped: a header that announces more than the file has is refused, before memory is asked
        # for
        return {"images": np.load(path, mmap_mode="r", allow_pickle=False)}
    refuse_bomb(path)
    # opened here: numpy leaves the file open where it is no archive
    with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
        names = {"images": "images", "labels": "labels", "levels": "levels"}
        if "images" not in content.files:
            names |= {"images": "arr_0", "labels": "arr_1"}
        arrays = {key: content[name] for key, name in names.items() if name in content.files}
        if "images" not in arrays:
            raise ValueError(
                f"it has no array 'images' (nor 'arr_0'), but {', '.join(content.files) or 'nothing'}"
            )
    return arrays


def refuse_bomb(path: Path) -> None:
    """Refuse an npz file by its announced size, which is all that is ever unpacked.

    Raises:
        ValueError: It would unpack to far more than arrays do.
        OSError, BadZipFile: It cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        size = sum(info.file_size for info in archive.infolist())
    if size > max(_LARGEST_BYTES, _LARGEST_FACTOR * path.stat().st_size):
        raise ValueError(
            f"it would unpack to {size >> 20:,} MiB, from {path.stat().st_size >> 20:,} MiB: no arrays do"
        )


def _channels_last(images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise ValueError(
            f"images are uint8 (N, H, W), (N, H, W, C) or (N, C, H, W), not {images.dtype} {images.shape}"
        )
    if images.ndim == 3:
        return images
    first = images.shape[1] in (1, 3)
    last = images.shape[3] in (1, 3)
    if not first and not last:  # with transparency
        first = images.shape[1] == 4
        last = images.shape[3] == 4
    if first == last:
        raise ValueError(
            f"of images {images.shape} it is not clear which axis has the 1, 3 or 4 channels: the second or the last"
        )
    images = images.transpose(0, 2, 3, 1) if first else images
    if images.shape[3] == 1:
        return images[..., 0]
    return images


def _npz_levels(levels: np.ndarray | None) -> int:
    if levels is None:
        return 256
    if levels.size != 1 or not np.issubdtype(levels.dtype, np.integer):
        raise ValueError(
            f"levels is one integer, not {levels.dtype} {levels.tolist() if levels.size == 1 else levels.shape}"
        )
    return int(levels.item())


def _npz_labels(labels: np.ndarray | None, n: int) -> Labels:
    if labels is None:
        return NO_LABELS
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels are integers ({n},), not {labels.dtype} {labels.shape}")
    return numbered({str(i): label for i, label in enumerate(labels.tolist())})
