"""Configurations as trees of plain values, and their dotted keys."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from genbench.errors import InputError

__all__ = ["flatten", "leaves_of", "nested", "one_line", "own_warnings_only", "set_key"]


@contextmanager
def own_warnings_only() -> Iterator[None]:
    """Hide the warnings of libraries inside the `with` block."""
    with warnings.catch_warnings():
        # The code of jsonargparse calls deprecated functions.
        warnings.simplefilter("ignore")
        yield


def set_key(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key of a tree in place, with the groups above it.

    Args:
        tree: The configuration.
        key: Such as `model.encoder.width`.
        value: The new value.

    Raises:
        InputError: A part of the key is a value, not a group.
    """
    *path, last = key.split(".")
    for part in path:
        child = tree.setdefault(part, {})
        if not isinstance(child, dict):
            raise InputError(f"--{key}: {part} is a value, not a group of settings")
        tree = child
    tree[last] = value


def leaves_of(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a tree with its dotted key; an empty group is a value.

    Args:
        tree: The configuration, or a part of it.
        prefix: The key of that part; empty for the whole.

    >>> list(leaves_of({"a": {"b": 1}, "c": {}}))
    [('a.b', 1), ('c', {})]
    """
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from leaves_of(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, tree


def nested(tree: Any) -> Any:
    """A tree as jsonargparse has it: arguments beside `class_path` go to `init_args`.

    >>> nested({"class_path": "a.B", "width": 3})
    {'class_path': 'a.B', 'init_args': {'width': 3}}
    """
    if isinstance(tree, list):
        return [nested(value) for value in tree]
    if not isinstance(tree, dict):
        return tree
    tree = {key: nested(value) for key, value in tree.items()}
    if "class_path" in tree:
        return {"class_path": tree.pop("class_path"), "init_args": tree}
    return tree


def flatten(tree: Any) -> Any:
    """Inverse of `nested`."""
    if isinstance(tree, list):
        return [flatten(value) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if "class_path" in tree:
        return {"class_path": tree["class_path"], **flatten(tree.get("init_args") or {})}
    return {key: flatten(value) for key, value in tree.items()}


def one_line(text: str) -> str:
    """A text with every run of blanks and line ends as one blank."""
    return " ".join(text.split())
