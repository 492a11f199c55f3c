"""Class paths of data sets, and content hashes of the files that define them.

The shipped classes have names of their own, and tests that tie their images to them. A class from
elsewhere may have any name and is edited between two runs: its decoded copy is named by its class
path and by the content of its files.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path

from genbench.system.files import file_digest

__all__ = ["class_path", "file_hashes"]

_PACKAGE = __name__.partition(".")[0]


def class_path(kind: type) -> str:
    """Module and name of a class, such as "my_data.Bars". A program's own classes have the name of
    its file instead of `__main__`.
    """
    module = kind.__module__
    file = _file(kind)
    if module in ("__main__", "__mp_main__") and file is not None:
        module = file.stem
    return f"{module}.{kind.__qualname__}"


def file_hashes(kinds: Iterable[type]) -> dict[str, str | None]:
    """SHA-256 of the files that define classes.

    Args:
        kinds: The classes; those of genbench are left out.

    Returns:
        Class path -> hash, None where no file defines the class, as at a prompt.
    """
    hashes: dict[str, str | None] = {}
    for kind in kinds:
        if kind.__module__.partition(".")[0] != _PACKAGE:
            file = _file(kind)
            hashes[class_path(kind)] = None if file is None else file_digest(file)
    return hashes


def _file(kind: type) -> Path | None:
    """The file that defines a class; None where there is none."""
    try:
        file = Path(inspect.getfile(kind))
    except (TypeError, OSError):
        return None
    return file if file.is_file() else None
