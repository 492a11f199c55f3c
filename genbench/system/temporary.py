"""Temporary files and folders beside their targets, and the removal of those that killed processes
left.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genbench.errors import InputError
from genbench.system.files import ABANDONED, TEMPORARY, errors_about, temporary_path
from genbench.system.lock import in_use, lock

__all__ = ["folder_beside", "remove_abandoned"]


@contextmanager
def folder_beside(folder: Path) -> Iterator[Path]:
    """Make an empty folder beside another one, to be filled and then renamed to it. So the other
    folder appears whole or not at all.

    At the end of the `with` block what is left of it is removed. What killed processes have left
    beside is removed at the beginning.

    Args:
        folder: The folder that is to appear.
    """
    remove_abandoned(folder.parent)
    beside = temporary_path(folder)
    try:
        with errors_about(folder), lock(beside):
            content = beside / "content"
            content.mkdir()
            yield content
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes have left in a folder. What may
    be in use stays.
    """
    with suppress(OSError):
        # The folder may be missing, or not be readable.
        for path in [path for path in folder.iterdir() if TEMPORARY.fullmatch(path.name)]:
            with suppress(OSError):
                if not _is_abandoned(path):
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    """Whether the process that wrote a temporary file or folder has ended. A folder with a lock is
    in use as long as the lock says so; anything else is abandoned when it is older than a day.
    """
    if (path / "lock").is_file():
        with suppress(InputError):
            # A lock that another program wrote tells nothing.
            return not in_use(path)
    return abs(time.time() - path.lstat().st_mtime) > ABANDONED
