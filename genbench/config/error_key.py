"""The key of a configuration at which the class stands that has refused its arguments."""

from __future__ import annotations

from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["key_of_error"]

_MISSING = object()


def key_of_error(error: BaseException, key: str, node: dict[str, Any]) -> str:
    """The key of the innermost class of a configuration in whose methods an error was raised.

    Args:
        error: The error that was caught.
        key: Key of the node, such as "model".
        node: class_path, and the arguments beside it, which may name classes in their turn.

    Returns:
        Such as "model.encoder"; the key of the node where the error is of none below it. Where
        several keys name the class with equal arguments, the first of them.
    """
    nodes = dict(_named_classes(key, node))
    for frame in _frames(error):
        method_owner = frame.f_locals.get("self")
        for place, named in nodes.items():
            if _is_of(method_owner, named["class_path"]) and _has_arguments(frame, named):
                return place
    return key


def _named_classes(key: str, node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of a tree that names a class, with its dotted key."""
    if not isinstance(node, dict):
        return
    if "class_path" in node:
        yield key, node
    for name, value in node.items():
        yield from _named_classes(f"{key}.{name}".removeprefix("."), value)


def _frames(error: BaseException) -> Iterator[FrameType]:
    """The calls that an error ended, the innermost first; those of its cause before its own."""
    cause = error.__cause__ or error.__context__
    if cause is not None:
        yield from _frames(cause)
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    yield from reversed(frames)


def _is_of(value: Any, class_path: str) -> bool:
    """Whether a value is an instance of the class of a class_path, and of no class derived from it."""
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}" == class_path


def _has_arguments(frame: FrameType, node: dict[str, Any]) -> bool:
    """Whether the plain arguments of a node are those of a call, as far as those are still known."""
    for name, value in node.items():
        if name == "class_path" or isinstance(value, dict):
            continue
        owner = frame.f_locals["self"]
        argument = frame.f_locals.get(name, getattr(owner, "__dict__", {}).get(name, _MISSING))
        if argument is not _MISSING and type(argument) is type(value) and argument != value:
            return False
    return True
