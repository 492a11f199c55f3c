"""Objects of the classes that a configuration names."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from genbench.config.parsing import parse
from genbench.config.tree import one_line, own_warnings_only
from genbench.errors import InputError

__all__ = ["instantiate", "with_objects"]


# A message that begins like this names its key already.
_HAS_KEY = re.compile(r"(data|model|needs|optimization|trainer)\.")
# The key of a class stands among the arguments of the class under this name, which no argument has.
_KEY = "its key"


def instantiate(
    base: type, node: dict[str, Any], injected: Mapping[str, Any] | None = None, key: str = ""
) -> Any:
    """An object of the class that a part of a configuration names.

    Args:
        base: A class that the object's class is derived from.
        node: class_path, and the arguments beside it.
        injected: Arguments that no configuration gives, as they are.
        key: Where the node stands in the configuration, such as "model".

    Raises:
        InputError: The class refuses its arguments, or one that is named below it does; the line
            is the key of the class that refused and the message of its constructor. A factory of
            the object, such as that of an optimizer, raises the same when it is called.
    """
    parser = _parser(base, frozenset(injected or ()))
    try:
        with own_warnings_only():
            parsed = parse(parser, {"object": node})
            # The constructor gets `dict_kwargs` from jsonargparse without a check.
            _note_keys(parsed.object, key)
            parsed.object.dict_kwargs |= injected or {}
            return parser.instantiate(parsed, instantiators=[(_construct, object, True)]).object
    except (ValueError, TypeError) as error:
        raise _refusal(error) or InputError(_with_key(key, str(error))) from None


def _refusal(error: BaseException | None) -> InputError | None:
    """The error of `_construct` that is behind one of jsonargparse, which raises its own from it."""
    while error is not None and not isinstance(error, InputError):
        error = error.__cause__
    return error


def _note_keys(value: Any, key: str) -> None:
    """Write beside every class of a parsed configuration where it stands."""
    from jsonargparse import Namespace

    if isinstance(value, list):
        for item in value:
            _note_keys(item, key)
    if not isinstance(value, Namespace):
        return
    arguments = value
    if "class_path" in value:
        arguments = value.get("init_args", Namespace())
        value.dict_kwargs = {_KEY: key}
    for name, argument in vars(arguments).items():
        _note_keys(argument, f"{key}.{name}".removeprefix("."))


def _construct(kind: type, *args: Any, **arguments: Any) -> Any:
    """An object of a class. The key of the class is put before an error of its constructor."""
    key = arguments.pop(_KEY, "")
    try:
        return kind(*args, **arguments)
    except (ValueError, TypeError) as error:
        raise InputError(_with_key(key, str(error))) from None


def _with_key(key: str, message: str) -> str:
    """A message in one line, with the key that it is about."""
    line = one_line(message)
    if key and not _HAS_KEY.match(line):
        return f"{key}: {line}"
    return line


@cache
def _parser(base: type, injected: frozenset[str]) -> Any:
    """The parser of an object of a class derived from `base`, without these arguments; made once."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, "object", required=True, skip=set(injected))
    return parser


def with_objects(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a method in which a class that is named, such as a sampler, is an object of it.

    Args:
        options: Of a checked configuration, or of a record that was made by one.

    >>> with_objects({"sampler": {"class_path": "genbench.formulas.samplers.DDIM"}, "steps": 5})
    {'sampler': DDIM(eta=0.0), 'steps': 5}
    """
    return {
        name: _object(value, name) if isinstance(value, dict) and "class_path" in value else value
        for name, value in options.items()
    }


def _object(node: dict[str, Any], key: str) -> Any:
    module, _, name = node["class_path"].rpartition(".")
    return instantiate(getattr(importlib.import_module(module), name), node, key=key)
