"""Files that appear whole or not at all: they are written beside their place, flushed to the disk,
and then renamed.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import logging
import os
import re
import stat
import tokenize
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from genbench.errors import InputError, Stopped, Unwritable

__all__ = [
    "ABANDONED",
    "BROKEN_ARRAY",
    "NAME",
    "TEMPORARY",
    "check_target",
    "errors_about",
    "file_digest",
    "files_below",
    "last_line",
    "link",
    "log",
    "open_regular",
    "read_regular",
    "read_text",
    "stop_if_disk_full",
    "temporary_path",
    "write_atomic",
    "write_once",
]

log = logging.getLogger("genbench")

# A text that matches this may be part of a file name.
NAME = re.compile(r"\w[\w.+-]*")

# Damaged .npy and .npz files, whose header is Python code, make numpy raise these errors.
BROKEN_ARRAY = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    OSError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
)

# This matches the names of temporary files and folders, as `temporary_path` makes them. The writer
# of one that is older than a day, in seconds, has surely ended.
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.(tmp|once)", re.DOTALL)
ABANDONED = 86_400.0

# A temporary name begins with this many letters of the file's name. Even if each has four bytes,
# they fit where a name may have 143 bytes (eCryptfs).
_PREFIX_LETTERS = 32

# No file of JSON that genbench writes is larger.
_LARGEST_JSON = 2**24


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """Open a file for reading. A named pipe or a device in its place is refused, since reading it
    would wait for ever.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        yield file


def read_regular(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    with open_regular(path) as file:
        return file.read()


def temporary_path(path: Path, ending: str = "tmp") -> Path:
    """A name beside a file that no other writer has. It is short, however long the file's name is.

    Args:
        path: The file.
        ending: Ending of the name.
    """
    return path.with_name(f".{path.name[:_PREFIX_LETTERS]}.{uuid.uuid4().hex[:8]}.{ending}")


@contextmanager
def errors_about(path: Path) -> Iterator[None]:
    """Inside the `with` block, errors about temporary files name the file that is to be written.

    Args:
        path: The file that is to be written.

    Raises:
        Unwritable: A temporary file or folder beside it cannot be written, or not be put in its
            place.
    """
    try:
        yield
    except OSError as error:
        if not any(
            TEMPORARY.fullmatch(part) for part in Path(os.fsdecode(error.filename or "")).parts
        ):
            raise
        raise Unwritable(error.errno, error.strerror, str(path)) from None


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader sees the old content or the new one, and never a part.

    Args:
        path: The file. Missing folders above it are made.
        content: Bytes, or a text, which is written as UTF-8.

    Raises:
        Stopped: The disk is full; the old file is still there.
        Unwritable: It cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    beside = temporary_path(path)
    with errors_about(path), stop_if_disk_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def write_once(path: Path, content: str) -> bool:
    """Write a file that never changes, as `write_atomic` does: of several writers the first one wins.

    Args:
        path: The file.
        content: Its text.

    Returns:
        Whether this writer was the first.

    Raises:
        Stopped: The disk is full.
        Unwritable: It cannot be written.
    """
    beside = temporary_path(path, "once")
    try:
        with errors_about(path):
            write_atomic(beside, content)
            return link(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def check_target(path: Path) -> None:
    """Check that a file could be written, and write nothing: used before hours are spent on its
    content.

    Raises:
        InputError: Its folder is not for writing, or a name in its path is longer than the file
            system takes.
    """
    above = Path(os.path.abspath(path)).parent  # noqa: PTH100, since links above may be followed
    missing = []
    while not os.path.lexists(above):
        missing.append(above.name)
        above = above.parent
    if not above.is_dir():
        raise InputError(f"{path} cannot be written: {above} is no folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(
            f"{path} cannot be written: {above} is not for writing; name another folder"
        )
    longest = os.pathconf(above, "PC_NAME_MAX")
    for name in (path.name, *missing):
        if len(os.fsencode(name)) > longest:
            raise InputError(
                f"{path} cannot be written: the name {name[:40]}... is longer than the {longest}"
                " bytes that may be used"
            )


def files_below(folder: Path, pattern: str, whole: bool = False) -> list[Path]:
    """Find files at any depth below a folder. Linked folders are entered, each once.

    Args:
        folder: The folder.
        pattern: Pattern of the names, such as "*.json".
        whole: Whether a folder that cannot be listed, and a link to nothing, are refused. Otherwise
            they are passed over.

    Returns:
        The paths, sorted.

    Raises:
        InputError: `whole`, and what lies there cannot all be listed.
    """
    seen: set[tuple[int, int]] = set()
    paths: list[Path] = []
    waiting = [folder]
    while waiting:
        # Links wait until the end, so that a folder with a path of its own is found by that path.
        for above, folders, names in os.walk(waiting.pop(0), onerror=_refuse if whole else None):
            where = os.stat(above)  # noqa: PTH116
            if (where.st_dev, where.st_ino) in seen:
                folders.clear()
                continue
            seen.add((where.st_dev, where.st_ino))
            waiting += [
                Path(above, name) for name in sorted(folders) if Path(above, name).is_symlink()
            ]
            paths += [Path(above, name) for name in fnmatch.filter(names, pattern)]
            if whole:
                _refuse_dangling(Path(above), names)
    return sorted(paths)


def _refuse(error: OSError) -> None:
    """Refuse a folder that is there and cannot be listed."""
    if isinstance(error, FileNotFoundError):
        return
    raise InputError(f"{error.filename} cannot be read: {error.strerror}") from None


def _refuse_dangling(folder: Path, names: Sequence[str]) -> None:
    """Refuse links to nothing: what should lie there would be missing without a word.

    Args:
        folder: The folder.
        names: What lies there beside folders. Hidden names are passed over: editors lock files by
            such links.
    """
    for path in (folder / name for name in sorted(names) if not name.startswith(".")):
        if path.is_symlink() and not path.exists():
            raise InputError(
                f"{path} is a link to {path.readlink()}, where nothing is: remove it, or put back "
                "what it points to"
            )


def read_text(path: Path) -> str:
    """The text of a file of JSON that anybody may have written.

    Raises:
        ValueError: It is not UTF-8, or larger than any that genbench writes.
        OSError: It cannot be read.
    """
    # With O_NONBLOCK a named pipe in place of the file reads as empty, and is not waited for.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        content = file.read(_LARGEST_JSON + 1)
    if len(content) > _LARGEST_JSON:
        raise ValueError(f"it has more than {_LARGEST_JSON >> 20} MiB")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None


def last_line(path: Path) -> str:
    """The last line of a log that is not blank; an empty text where there is no log."""
    try:
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


@contextmanager
def stop_if_disk_full(path: Path) -> Iterator[None]:
    """Inside the `with` block, a full disk ends the command with exit code 75, so that the same
    command resumes once there is space.

    Args:
        path: The file that is being written.

    Raises:
        Stopped: The disk is full.
    """
    try:
        yield
    except OSError as error:
        # A short write is reported by numpy without an error number.
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or (
            error.errno is None and "written" in str(error)
        ):
            raise Stopped(
                f"disk full while writing {path}: free some space and give the same command again"
            ) from None
        raise


def link(file: Path, target: Path) -> bool:
    """Give a file a second name, which is atomic on shared file systems too.

    Args:
        file: The file.
        target: The second name.

    Returns:
        Whether the name was given; False where the target existed already.
    """
    try:
        os.link(file, target)
    except FileExistsError:
        # NFS repeats a request whose answer was lost, and then finds the link that it has made.
        return file.stat().st_nlink == 2
    return True
