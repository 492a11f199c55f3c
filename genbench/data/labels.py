"""Labels by the names of their classes, as `--label` takes them."""

from __future__ import annotations

import re
import unicodedata

from genbench.data.images import ImageData
from genbench.errors import InputError, nearest

__all__ = ["label_of", "label_text"]


def label_of(data: ImageData, text: str | int) -> int:
    """The label of a class.

    Args:
        data: The data set.
        text: Name of the class, or its number where no class has that name.

    Raises:
        InputError: There is no such class.
    """
    names = [unicodedata.normalize("NFC", name) for name in data.class_names]
    wanted = unicodedata.normalize("NFC", str(text))
    if isinstance(text, str) and wanted in names:
        return names.index(wanted)
    if re.fullmatch(r"[0-9]{1,9}", wanted) and int(wanted) < len(names):
        return int(wanted)
    if not names:
        raise InputError(f"--label {text}: labels are none in {data.name}")
    numbers = f"from 0 to {len(names) - 1}"
    if names == [str(k) for k in range(len(names))]:
        raise InputError(f"--label {text}: labels are {numbers}")
    raise InputError(
        f"--label {text!r}: labels are {numbers}, or names of classes: {nearest(wanted, names)}"
    )


def label_text(data: ImageData, label: int) -> str:
    """The text that `label_of` reads as a label: its number, or the name of its class where the
    number is the name of another class.

    Args:
        data: The data set.
        label: Number of a class.
    """
    if label_of(data, str(label)) == label:
        return str(label)
    return data.class_names[label]
