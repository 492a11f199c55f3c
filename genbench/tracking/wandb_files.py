"""Where wandb writes: into the run folder, and nowhere else."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from genbench.system.typed import Line, Pattern

__all__ = ["Page", "import_folder", "require_space", "staging_folder"]

_VARIABLES = ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR")


@dataclass(frozen=True)
class Page:
    """The file wandb.json of a run folder: which page of wandb is that of the run.

    Args:
        id: The id of the run on wandb; None: that of its configuration. wandb makes it a part of
            file names.
        suite: Name of the suite that asked for the run.
    """

    id: Annotated[str, Pattern(r"[\w-]{1,64}", "1 to 64 letters, digits, _ and -")] | None = None
    suite: Line | None = None


def require_space(folder: Path) -> None:
    """Check that a megabyte can be written below a run folder.

    wandb itself would go on, and print a page for every line of its log that does not fit.

    Args:
        folder: The run folder.

    Raises:
        OSError: There is no space, or the folder cannot be written.
    """
    probe = folder / "wandb" / f".{uuid.uuid4().hex[:8]}.tmp"
    probe.parent.mkdir(parents=True, exist_ok=True)
    try:
        with probe.open("wb") as file:
            file.write(bytes(2**20))
    finally:
        probe.unlink(missing_ok=True)


@contextmanager
def import_folder(folder: Path) -> Iterator[None]:
    """Let wandb be imported inside the `with` block, with its temporary folders in the run folder.

    On import wandb makes two temporary folders, which genbench does not use, and removes them when
    the process ends. Those of a killed process are removed here, when the next one begins.

    Args:
        folder: The run folder.
    """
    files = folder / "wandb" / "files"
    before = tempfile.tempdir
    files.mkdir(parents=True, exist_ok=True)
    for abandoned in files.glob("tmp*wandb-*"):
        with suppress(OSError):
            abandoned.rmdir()
    tempfile.tempdir = str(files)
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def staging_folder(folder: Path) -> Iterator[None]:
    """Let wandb stage artifacts and keep its cache in the run folder inside the `with` block.

    It would take the home folder, which may be full or read-only on a compute node, and an artifact
    that was logged offline must last until it is uploaded.

    Args:
        folder: The run folder.
    """
    unset = [name for name in _VARIABLES if name not in os.environ]
    for name in unset:
        os.environ[name] = str(folder / "wandb" / "files")
    try:
        yield
    finally:
        for name in unset:
            os.environ.pop(name, None)
