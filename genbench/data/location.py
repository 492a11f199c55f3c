"""The folder that holds source files and decoded arrays, and the addresses of published files."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from genbench.errors import InputError
from genbench.system.locations import expand_home

__all__ = [
    "Download",
    "among_data",
    "data_root",
    "has_default_root",
    "is_read_only",
    "private_root",
]


@dataclass(frozen=True)
class Download:
    """A published source file.

    Args:
        urls: Addresses where it is published; the next one is tried where one fails.
        path: Where it goes, inside the folder for data.
        md5: MD5 of its content.
    """

    urls: tuple[str, ...]
    path: str
    md5: str


def data_root(root: str | Path | None = None) -> Path:
    """The folder for data: `root` where it is given, else $GENBENCH_DATA, else ~/.cache/genbench.

    Raises:
        InputError: None is given, and there is no home folder.
    """
    chosen = root or os.environ.get("GENBENCH_DATA")
    if chosen:
        return expand_home(chosen)
    try:
        return expand_home("~/.cache/genbench")
    except InputError:
        raise InputError(
            "there is no home folder for data: set GENBENCH_DATA, or name a folder by data.root "
            "or --root"
        ) from None


def has_default_root() -> bool:
    """Whether $GENBENCH_DATA names a folder for data, or there is a home folder to hold it."""
    if os.environ.get("GENBENCH_DATA"):
        return True
    try:
        expand_home("~")
    except InputError:
        return False
    return True


def private_root() -> Path:
    """A folder for data of this process alone, which is removed when the process ends.

    Raises:
        InputError: No temporary folder can be made.
    """
    return Path(_temporary_folder().name)


@lru_cache(maxsize=1)
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """One temporary folder, which lives as long as the process refers to it."""
    try:
        return tempfile.TemporaryDirectory(prefix="genbench-")
    except OSError as error:
        raise InputError(
            f"there is no home folder for data, and no temporary one ({error.strerror}): set "
            "GENBENCH_DATA or TMPDIR"
        ) from None


def among_data(name: Path, root: Path | None = None) -> Path:
    """The path of a file that belongs to data sets.

    Args:
        name: Its path inside a folder for data, such as `statistics/mnist.npz`.
        root: A folder for data where it is looked for first.

    Returns:
        The path inside `root` where it lies there, else inside `data_root()`.
    """
    if root is not None and (root / name).is_file():
        return root / name
    return data_root() / name


def is_read_only(folder: Path) -> bool:
    """Whether a folder exists and cannot be written.

    A folder whose mode forbids writing counts as such for a superuser too, who could write it.
    """
    return folder.is_dir() and not (os.access(folder, os.W_OK) and folder.stat().st_mode & 0o222)
