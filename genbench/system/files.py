"""Files appear whole or not at all: written beside, flushed, then renamed. A folder that is written
to has one owner.

The owner of a folder is the process named in its file `lock`, which it touches every 20 seconds.
Another process takes a dead owner's lock over:

    on this machine         at once where there is no such process
    the same job, requeued  at once on the same node; on another one if no sign of life comes while it is watched for a minute: a node
                            that SLURM has lost may still run, and write
    on another machine      where squeue says that its job is over, or its last sign of life is five minutes old; and, in both cases,
                            none comes while it is watched for a minute. So too for a process of
                            this one that /proc hides

Nothing relies on locks of the file system, which shared ones may lack. A process that stood still
until it was taken for dead, and wakes, finds its lock taken, or gone, and ends at once.
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
from collections.abc import Iterator
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
    "read_text",
    "stop_if_disk_full",
    "temporary_path",
    "write_atomic",
    "write_once",
]

log = logging.getLogger("genbench")

# what may be part of a file name
NAME = re.compile(r"\w[\w.+-]*")

# what numpy raises of a damaged .npy or .npz: its headers are Python, which has a tokenizer
BROKEN_ARRAY = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OSError, MemoryError, zipfile.BadZipFile, zlib.error,
    tokenize.TokenError,
)  # fmt: skip

# what is written beside its place, as all below name it, and the age in seconds at which its writer
# has ended: a day
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.(tmp|once)", re.DOTALL)
ABANDONED = 86_400.0

# letters of a file's name that its temporary name begins with: of four bytes each, they still fit
# where 143 bytes may be used
_PREFIX_LETTERS = 32

# no file of JSON that genbench writes is larger
_LARGEST_JSON = 2**24


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """A file opened for reading; a FIFO or a device in its place is not waited for.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        yield file


def temporary_path(path: Path, ending: str = "tmp") -> Path:
    """A name beside a file that no other writer has; it is short, however long the name of the file
    is.
    """
    return path.with_name(f".{path.name[:_PREFIX_LETTERS]}.{uuid.uuid4().hex[:8]}.{ending}")


@contextmanager
def errors_about(path: Path) -> Iterator[None]:
    """Let errors about temporary files name the file that was asked for.

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
    """Write a file so that a reader sees the old one or the new one, whatever happens in between.

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
    """`write_atomic` for a file that never changes: of several writers the first one wins. Returns
    whether it was this one.

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
    """Check that a file can be written, without writing anything: for use before hours are spent on
    its content.

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
                f"{path} cannot be written: the name {name[:40]}... is longer than the {longest} bytes that may be used"
            )


def files_below(folder: Path, pattern: str) -> list[Path]:
    """The files below a folder whose names match a pattern such as "*.json", sorted; linked folders
    are entered, each once.
    """
    seen: set[tuple[int, int]] = set()
    paths: list[Path] = []
    waiting = [folder]
    while waiting:
        # links after what lies here: a folder that a link in it points to is named by its own path
        for above, folders, names in os.walk(waiting.pop(0)):
            where = os.stat(above)  # noqa: PTH116
            if (where.st_dev, where.st_ino) in seen:
                folders.clear()
                continue
            seen.add((where.st_dev, where.st_ino))
            waiting += [
                Path(above, name) for name in sorted(folders) if Path(above, name).is_symlink()
            ]
            paths += [Path(above, name) for name in fnmatch.filter(names, pattern)]
    return sorted(paths)


def read_text(path: Path) -> str:
    """The text of a file of JSON, whoever wrote it.

    Raises:
        ValueError: It is not UTF-8, or larger than any that genbench writes.
        OSError: It cannot be read.
    """
    # a FIFO in its place is empty, and is not waited for
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        content = file.read(_LARGEST_JSON + 1)
    if len(content) > _LARGEST_JSON:
        raise ValueError(f"it has more than {_LARGEST_JSON >> 20} MiB")
    return content.decode()


def last_line(path: Path) -> str:
    """Of a log; empty where there is none."""
    try:
        lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


@contextmanager
def stop_if_disk_full(path: Path) -> Iterator[None]:
    """Turn a full disk into exit code 75: free some space, and the same command resumes."""
    try:
        yield
    except OSError as error:
        # numpy's short write has no number
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or (
            error.errno is None and "written" in str(error)
        ):
            raise Stopped(
                f"disk full while writing {path}: free some space and give the same command again"
            ) from None
        raise


def link(source: Path, target: Path) -> bool:
    """Atomic also on shared file systems; False where the target exists."""
    try:
        os.link(source, target)
    except FileExistsError:
        # NFS repeats a request whose answer is lost, and then meets the link that it has made
        return source.stat().st_nlink == 2
    return True
