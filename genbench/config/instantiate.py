"""Objects of the classes that a configuration names."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonargparse import ArgumentParser

from genbench.config.error_key import key_of_error
from genbench.config.tree import nested, one_line, own_warnings_only
from genbench.errors import InputError

__all__ = ["instantiate", "with_objects"]


# the begin of a message that says its key by itself
_HAS_KEY = re.compile(r"(data|model|needs|optimization|trainer)\.")


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
        InputError: The class refuses its arguments; the line is the key of the class that refused,
            here or below, and the message of its constructor.
    """
    injected = dict(injected or {})
    parser = _parser(base, frozenset(injected))
    try:
        with own_warnings_only():
            parsed = parser.parse_object({"object": nested(node)})
            if injected:
                # jsonargparse hands these to the constructor without a look at them
                parsed.object.dict_kwargs = injected
            return parser.instantiate(parsed).object
    except (ValueError, TypeError) as error:
        # the constructor's message stands between the lines of jsonargparse
        reason = re.search(
            r"Errors:\s*- (.*?)\s*- Expected a <class 'NoneType'>", str(error), re.DOTALL
        )
        message = one_line(reason[1] if reason else str(error))
        place = key_of_error(error, key, node)
        if place and not _HAS_KEY.match(message):
            message = f"{place}: {message}"
        raise InputError(message) from None


@cache
def _parser(base: type, injected: frozenset[str]) -> ArgumentParser:
    """The parser of an object of a class derived from `base`, without these arguments; made once."""
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
