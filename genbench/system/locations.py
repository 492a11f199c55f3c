"""Where configurations, the leaderboard and a user's folders are."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

from genbench.errors import InputError

__all__ = ["checkout", "expand_home", "project_root", "shipped"]

# A name and a path have at most this many bytes, which leaves room for the names of files below the
# path (PATH_MAX is 4,096).
_LONGEST_NAME = 255
_LONGEST_PATH = 3_500

_PACKAGE = Path(__file__).resolve().parents[1]


def checkout() -> Path | None:
    """The checkout that genbench runs from; None where it was installed as a wheel."""
    folder = _PACKAGE.parent
    if (folder / "configs").is_dir() and (folder / "pyproject.toml").is_file():
        return folder
    return None


def project_root() -> Path:
    """The folder of runs/ and leaderboards/: the checkout, else the working folder."""
    return checkout() or Path.cwd()


def shipped(*parts: str) -> Path:
    """The path of a file or folder that comes with genbench.

    Args:
        *parts: Parts of the path, such as "configs", "suites"; "slurm"; or "genbench", "models".
    """
    path = Path(*parts)
    if checkout() is not None or path.parts[:1] == ("genbench",):
        return _PACKAGE.parent / path
    return _PACKAGE / "shipped" / path


def _refuse_long(path: str) -> None:
    """Refuse a path that no file system of Linux or macOS takes.

    Raises:
        InputError: One of its names, or the whole of it, has too many bytes.
    """
    for name in path.split("/"):
        if (size := len(os.fsencode(name))) > _LONGEST_NAME:
            raise InputError(
                f"{name[:40]}... has {size:,} bytes: a name in a path is longer than the "
                f"{_LONGEST_NAME} bytes that may be used; name a shorter one"
            )
    if (size := len(os.fsencode(path))) > _LONGEST_PATH:
        raise InputError(
            f"{path[:40]}... has {size:,} bytes; a path of at most {_LONGEST_PATH:,} is right"
        )


def expand_home(path: str | Path) -> Path:
    """A path with `~` and `~user` at its beginning replaced by the home folder.

    Raises:
        InputError: The home folder is not known, or the path holds a NUL or another control
            character, or is longer than file systems take.
    """
    if any(unicodedata.category(letter) == "Cc" for letter in str(path)):
        raise InputError(f"{str(path)!r}: a path with control characters; name another one")
    _refuse_long(str(path))
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(
            f"{path}: the home folder that it begins with is not known; write the whole path"
        ) from None
