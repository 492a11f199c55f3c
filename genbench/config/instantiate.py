"""Objects of the classes that a configuration names."""

from __future__ import annotations

import re
from typing import Any

from jsonargparse import ArgumentParser

from genbench.config.tree import nested, one_line, own_warnings_only
from genbench.errors import InputError

__all__ = ["instantiate"]


def instantiate(base: type, node: dict[str, Any]) -> Any:
    """An object of the class that a part of a configuration names.

    Args:
        base: A class that the object's class is derived from.
        node: class_path, and the arguments beside it.

    Raises:
        InputError: The class refuses its arguments; the line is the message of its constructor.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, "object", required=True)
    try:
        with own_warnings_only():
            parsed = parser.parse_object({"object": nested(node)})
            return parser.instantiate(parsed).object
    except (ValueError, TypeError) as error:
        # the constructor's message stands between the lines of jsonargparse
        reason = re.search(
            r"Errors:\s*- (.*?)\s*- Expected a <class 'NoneType'>", str(error), re.DOTALL
        )
        raise InputError(one_line(reason[1] if reason else str(error))) from None
