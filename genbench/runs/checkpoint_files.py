"""The files of checkpoints: they are written whole, named by their content, and checked when they
are read.

A file is called `<images>-<hash>.ckpt`, with the first 16 digits of the SHA-256 of its content. The
last two are kept, so that a damaged one can be replaced by the one before.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from genbench.errors import GenbenchError
from genbench.system.files import file_digest, write_atomic

__all__ = ["keep_two", "newest_checkpoint", "newest_contents", "save_checkpoint"]

_ENTRIES = {"images_seen", "model", "optimizers", "ema", "keeper"}
# These entries may stand beside them. Versions that did not note them left them out.
_ORIGIN = {"config", "data_hash", "needs"}


def save_checkpoint(folder: Path, state: dict[str, Any], images: int) -> Path:
    """Write a checkpoint, and remove all but the last two.

    Args:
        folder: Folder of the checkpoints of a run.
        state: Content of the checkpoint.
        images: Training images seen.

    Returns:
        The file.
    """
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    path = folder / f"{images:012d}-{hashlib.sha256(content).hexdigest()[:16]}.ckpt"
    write_atomic(path, content)
    keep_two(folder)
    return path


def keep_two(folder: Path) -> None:
    """Remove all checkpoints of a folder but the last two.

    Args:
        folder: Folder of the checkpoints of a run.
    """
    for old in sorted(folder.glob("*.ckpt"))[:-2]:
        old.unlink(missing_ok=True)


def newest_checkpoint(
    folder: Path, check: Callable[[dict[str, Any]], None]
) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest checkpoint that is whole. Damaged ones are set aside, under another name.

    Args:
        folder: Folder of the checkpoints of a run.
        check: Raises ValueError, with what is wrong, for a checkpoint that does not fit the run.

    Returns:
        The content of the checkpoint, or None, and a line about each damaged one.
    """
    lines: list[str] = []
    for path in sorted(folder.glob("*.ckpt"), reverse=True):
        try:
            return _read(path, check), lines
        except FileNotFoundError:  # Another process of this run set it aside.
            continue
        except GenbenchError:
            raise
        except _Damaged as error:
            reason = str(error)
        except Exception:  # What unpickling refuses was not made by genbench.
            reason = "it is not a checkpoint of genbench"
        with suppress(FileNotFoundError):
            path.rename(path.with_suffix(".damaged"))
        lines.append(
            f"{path} is damaged ({reason}) and set aside; going back to the one before, "
            "or to the beginning"
        )
    return None, lines


def newest_contents(folder: Path) -> dict[str, Any] | None:
    """The content of the newest checkpoint that is whole, for commands that only measure a run: no
    file is set aside.

    Args:
        folder: Folder of the checkpoints of a run.
    """
    for path in sorted(folder.glob("*.ckpt"), reverse=True):
        try:
            return _read(path, lambda state: None)
        except Exception:
            # It is damaged, or a training has removed it meanwhile. Training says which.
            continue
    return None


class _Damaged(Exception):
    """Why a checkpoint is set aside."""


def _read(path: Path, check: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The content of a checkpoint. Nothing in the file can run."""
    import torch

    if not path.is_file() or file_digest(path)[:16] != path.stem.partition("-")[2]:
        raise _Damaged("its content does not have the hash of its name")
    _refuse_packed(path)
    state = dict(torch.load(path, map_location="cpu", weights_only=True))
    if state.keys() - _ORIGIN != _ENTRIES:
        raise TypeError("other contents")
    try:
        check(state)
    except ValueError as error:
        raise _Damaged(f"it does not fit this run: {error}") from None
    if state["images_seen"] != int(path.stem.partition("-")[0]):
        raise _Damaged(f"it is of image {state['images_seen']}, and not of that in its name")
    return state


def _refuse_packed(path: Path) -> None:
    """Refuse a checkpoint that is compressed: it could unpack to any size.

    torch.save compresses nothing.
    """
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
            raise ValueError("it would unpack to more than it has")
