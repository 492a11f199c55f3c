"""Parsing by jsonargparse. A parse takes about a twentieth of a second. So a result is kept, and
used when the process parses the same tree again, as for a run that it has trained and now measures.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from genbench.config.tree import nested, own_warnings_only

__all__ = ["parse"]

# This finds the first part of every dotted name, since a class may also be named without
# class_path.
_PACKAGE = re.compile(r'"([^\W\d][\w-]*)(?:\.[^\W\d][\w-]*)+"')
# The classes of these packages are the same as long as a process lives; a module that a user trusts
# may be loaded anew.
_LASTING = {"genbench", "torch"}


def parse(parser: Any, tree: dict[str, Any]) -> Any:
    """The namespace of a tree, checked against the signatures of the classes that it names.

    Args:
        parser: A parser that lives as long as the process.
        tree: Plain values, arguments beside the class_path.

    Raises:
        ArgumentError, ValueError, TypeError, KeyError: The tree does not fit the signatures.
    """
    tree = nested(tree)
    try:
        text = json.dumps(tree, ensure_ascii=False)
    except TypeError:
        # A value that is not plain is refused with its key.
        return _parsed(parser, tree)
    if set(_PACKAGE.findall(text)) <= _LASTING and json.loads(text) == tree:
        return _parsed_before(parser, text).clone()
    return _parsed(parser, tree)


@lru_cache(maxsize=1024)
def _parsed_before(parser: Any, text: str) -> Any:
    return _parsed(parser, json.loads(text))


def _parsed(parser: Any, tree: dict[str, Any]) -> Any:
    with own_warnings_only():
        return parser.parse_object(tree)
