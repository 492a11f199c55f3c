"""The files of a folder or of a zip, each with a function that reads its bytes.

Of a zip nothing is extracted to disk.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

from genbench.errors import InputError
from genbench.system.files import read_regular

__all__ = [
    "LARGEST_BYTES",
    "SUFFIXES",
    "Listing",
    "is_hidden",
    "is_picture",
    "list_folder",
    "list_zip",
]

# The names of pictures end in one of these. Pillow may not know the endings of the last line; this
# is then reported for each file.
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2"),
    *(".avif", ".heic", ".heif", ".dng", ".nef", ".cr2", ".arw"),
)
# A file with more bytes is no picture that anybody would train on.
LARGEST_BYTES = 2**28


@dataclass
class Listing:
    """The files of a folder or of a zip.

    Attributes:
        files: A function that reads the bytes of a file, by the file's path with slashes.
        unreadable: Names and reasons of folders that cannot be listed, of links to nothing, and of
            what is no file.
        repeated: Number of links to folders that were listed already; they are left out.
        folders: Paths of the folders that could be listed, with slashes.
    """

    files: dict[str, Callable[[], bytes]] = field(default_factory=dict)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    repeated: int = 0
    folders: list[str] = field(default_factory=list)


def list_folder(folder: Path) -> Listing:
    """List the files of a folder, at any depth, in the order of their paths.

    Links to folders are followed. Every real folder is listed once, since a link to a folder above
    would have no end.

    Args:
        folder: The folder.

    Raises:
        InputError: Two files have the same name with slashes.
    """
    listing = Listing()
    listed = {folder.resolve()}
    waiting = [folder]
    while waiting:
        top = waiting.pop()
        below = []
        try:
            entries = sorted(os.scandir(top), key=lambda entry: entry.name)
        except OSError as error:
            reason = f"a folder that cannot be read: {error.strerror or error}"
            _note_unreadable(listing, _inside(folder, top), reason)
            continue
        if top != folder:
            listing.folders.append(_inside(folder, top))
        for entry in entries:
            path = Path(entry.path)
            name = _inside(folder, path)
            try:
                if entry.is_dir():
                    real = path.resolve()
                    if real in listed:
                        listing.repeated += 1
                    else:
                        listed.add(real)
                        below.append(path)
                elif entry.is_file():
                    _add(listing, folder, name, partial(_read_bounded, path))
                elif entry.is_symlink() and not path.exists():
                    _note_unreadable(listing, name, "a link to nothing")
                elif is_picture(name):
                    _note_unreadable(listing, name, "neither a file nor a folder")
            except OSError as error:
                _note_unreadable(listing, name, error.strerror or str(error))
        waiting += reversed(below)
    listing.files = dict(sorted(listing.files.items(), key=lambda item: PurePosixPath(item[0])))
    return listing


def list_zip(path: Path) -> Listing:
    """List the files of a zip in the order of their names.

    Args:
        path: The zip; it stays open for as long as its pictures are read.

    Raises:
        InputError: It is damaged, or a name points out of it.
    """
    try:
        archive = zipfile.ZipFile(path)
        entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise InputError(f"damaged {path}: {error}") from None
    listing = Listing()
    for info in sorted(entries, key=lambda info: info.filename):
        # The standard has slashes only, but programs of Windows write backslashes.
        name = info.filename.replace("\\", "/")
        upwards = ".." in PurePosixPath(name).parts
        absolute = name.startswith("/") or ":" in name.split("/")[0]
        if upwards or absolute:
            raise InputError(
                f"{path}: the name {info.filename!r} points out of the zip; make it anew without "
                "such names"
            )
        if name.endswith("/"):
            listing.folders.append(name.rstrip("/"))
        else:
            _add(listing, path, name, partial(_read_entry, archive, info))
    listing.files = dict(sorted(listing.files.items()))
    return listing


def is_hidden(name: str) -> bool:
    """Whether a file or its folder is one that systems leave behind: .DS_Store, __MACOSX/."""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def is_picture(name: str) -> bool:
    """Whether the name of a file is that of a picture."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _inside(folder: Path, path: Path) -> str:
    """The path of a file inside a folder, with slashes.

    Programs that know no backslash unpack the zips of others into names that have some.
    """
    return str(PurePosixPath(path.relative_to(folder))).replace("\\", "/")


def _add(listing: Listing, origin: Path, name: str, read: Callable[[], bytes]) -> None:
    """Add a file, whose name must be a new one."""
    if name in listing.files:
        raise InputError(
            f"{origin}: the name {name!r} stands for several files; a name for each is right"
        )
    listing.files[name] = read


def _note_unreadable(listing: Listing, name: str, reason: str) -> None:
    if not is_hidden(name):
        listing.unreadable.append((name, reason))


def _read_bounded(path: Path) -> bytes:
    _refuse_large(path.stat().st_size)
    return read_regular(path)


def _refuse_large(size: int) -> None:
    if size > LARGEST_BYTES:
        raise ValueError(f"has more than {LARGEST_BYTES >> 20} MiB")


def _read_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    # The announced size is all that is ever unpacked.
    _refuse_large(info.file_size)
    try:
        with archive.open(info) as file:
            return file.read()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise ValueError(f"cannot be unpacked: {error}") from None
