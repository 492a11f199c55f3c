"""What a class_path of a configuration may name, checked before anything is imported."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from genbench.errors import InputError, nearest
from genbench.system.discover import classes

__all__ = ["TRUSTED", "argument_names", "check_paths"]

TRUSTED = ("genbench", "torch.optim")

# Any dotted name, as Python's import would take it: also with hyphens or letters of other
# alphabets.
_DOTTED = re.compile(r"[^\W\d][\w-]*(\.[^\W\d][\w-]*)+")

# Texts of the user's own, which may hold a dot.
_NO_CLASSES = ("data.root", "data.name")


def check_paths(tree: dict[str, Any], trust: Sequence[str], origin: str) -> None:
    trusted = (*TRUSTED, *trust)
    if trust and "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a trusted module lies where the command is given
    for key, value in (*_values(tree["data"], "data"), *_values(tree["model"], "model")):
        if key.endswith("class_path") and not isinstance(value, str):
            raise InputError(
                f"{origin}: {key} is a name such as {next(iter(_right_paths(key)))}, not {value!r}"
            )
        # jsonargparse would import a dotted name given for a callable: treat every dotted name as
        # one
        if (
            not isinstance(value, str)
            or not (key.endswith("class_path") or _DOTTED.fullmatch(value))
            or key in _NO_CLASSES
        ):
            continue
        if not any(value.startswith(module + ".") for module in trusted):
            raise InputError(
                f"{origin}: {key} names {value!r}, outside the trusted modules ({', '.join(trusted)}); "
                f"{nearest(value, _right_paths(key))}, or --trust {value.split('.')[0]} if you trust that code"
            )
        module, _, name = value.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            raise InputError(
                f"{origin}: {key} names {value!r}, which does not exist; {nearest(value, _right_paths(key))}"
            ) from None
        admitted, kind = _admitted(key)
        # functions would be called, and with arguments of the configuration's choice
        if (
            value.startswith(tuple(f"{module}." for module in TRUSTED))
            or kind in ("model", "data set")
        ) and not (isinstance(found, type) and issubclass(found, admitted)):
            raise InputError(
                f"{origin}: {key} names {value!r}, which is no {kind}; {nearest(value, _right_paths(key))}"
            )


def _values(tree: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every value of a tree, of lists too, and whatever stands at a class_path."""
    nested = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    if not nested or key.endswith("class_path"):
        yield key, tree
    for name, value in nested:
        yield from _values(value, f"{key}.{name}" if isinstance(tree, dict) else key)


def _admitted(key: str) -> tuple[tuple[type, ...], str]:
    """The classes that a key may name, and what they are called."""
    from torch.optim import Optimizer

    from genbench.data.images import ImageData
    from genbench.model import GenerativeModel
    from genbench.nets.net import Net

    if key == "data.class_path":
        return (ImageData,), "data set"
    if key == "model.class_path":
        return (GenerativeModel,), "model"
    return (Net, Optimizer), "network or optimizer"


def _right_paths(key: str) -> dict[str, str]:
    if key == "data.class_path":
        return classes("data", "ImageData")
    if key == "model.class_path":
        return classes("models", "GenerativeModel")
    if "optimizer" not in key:
        return classes("nets", "Net")
    return {"torch.optim.Adam": "", "torch.optim.AdamW": "", "torch.optim.SGD": ""}


def argument_names(class_path: str) -> list[str]:
    module, _, name = class_path.rpartition(".")
    return list(inspect.signature(getattr(importlib.import_module(module), name)).parameters)
