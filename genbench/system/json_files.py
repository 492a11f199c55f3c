"""JSON: one canonical form for hashes, files written whole, and reading that refuses what JSON does
not have.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from genbench.system.files import read_text, write_atomic

__all__ = ["canonical_json", "digest", "parse_json", "read_json", "write_json"]


def canonical_json(value: Any) -> str:
    """The same text for equal values: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 of a plain JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON; the file appears whole or not at all."""
    write_atomic(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The plain value of a file of JSON that anybody may have written. `genbench.system.typed`
    compares it with a type.

    Raises:
        ValueError: `parse_json` refuses it, or it is larger than any file that genbench writes.
        OSError: It cannot be read.
    """
    return parse_json(read_text(path))


def parse_json(text: str | bytes) -> Any:
    """The plain value of a text of JSON, or of its bytes in UTF-8, UTF-16 or UTF-32.

    Raises:
        ValueError: It is not JSON, nests too deep, has a key twice in one group, or holds NaN or an
            infinity.
    """
    try:
        return json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_once_each
        )
    except RecursionError:
        raise ValueError("it nests too deep") from None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A group of JSON, whose keys must differ."""
    tree = dict(pairs)
    if len(tree) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:40]!r} stands twice in one group")
    return tree


def _refuse_constant(name: str) -> float:
    """Refuse NaN and infinities, which Python writes and JSON does not have."""
    raise ValueError(f"{name} is not a finite number")


def _finite(text: str) -> float:
    """A number, unless it is too large for a float."""
    value = float(text)
    if math.isinf(value):
        _refuse_constant(text)
    return value
