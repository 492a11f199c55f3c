"""Options of the command line and of suites, set in a recipe's tree."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from genbench.config.annotations import annotation, is_text, takes_null
from genbench.config.keys import own_key
from genbench.config.tree import set_key
from genbench.errors import InputError
from genbench.system.yaml12 import parse_yaml

__all__ = ["Override", "apply_overrides", "check_lost"]

# An override is a text `key=text` as on the command line, or a pair of a key and its value.
Override = str | tuple[str, Any]


def apply_overrides(
    tree: dict[str, Any], overrides: Sequence[Override], trusted: Sequence[str]
) -> None:
    """Set the values of overrides in a configuration.

    Args:
        tree: The configuration, which changes in place.
        overrides: What to set, in this order.
        trusted: Packages that may be imported to learn which keys are texts.

    Raises:
        InputError: An override has no value or an empty one, its key may not be overridden, or a
            later one would replace it.
    """
    pairs = [_pair(override) for override in overrides]
    check_lost([key for key, _ in pairs], "--")
    # Which keys are texts depends on the classes, which overrides may name.
    trial = copy.deepcopy(tree)
    for key, value in pairs:
        set_key(trial, key, _parsed(value))
    for key, value in pairs:
        _check_key(key, value)
        if isinstance(value, _Raw):
            hint = annotation(trial, key.split("."), trusted)
            if not is_text(hint):
                value = parse_yaml(value, f"the value of --{key}")
            elif value == "null" and takes_null(hint):
                value = None
        set_key(tree, key, copy.deepcopy(value))


class _Raw(str):
    """The text of an option, as it stands on the command line."""


def _check_key(key: str, value: Any) -> None:
    """Refuse a key that options must not set."""
    if key == "smoke":
        raise InputError("--smoke: only the file of a recipe has it; the option is --smoke")
    if key == "base":
        raise InputError("--base: only the file of a recipe has it")
    if own_key(key) == "seed" != key:
        raise InputError(
            f"--{key}: a needed run has the seed of the run that needs it; --seed={value} sets both"
        )


def _pair(override: Override) -> tuple[str, Any]:
    """Key and value of an override; the value of a text is a `_Raw`."""
    if isinstance(override, tuple):
        return override
    key, equals, text = override.partition("=")
    if not equals:
        raise InputError(f"override {override!r} has no value: write --{key}=VALUE")
    if not text:
        raise InputError(f"--{key} is empty: write --{key}=VALUE; null is there for none")
    return key, _Raw(text)


def _parsed(value: Any) -> Any:
    """The YAML value of a `_Raw`, or its text where it is none; a copy of any other value."""
    if not isinstance(value, _Raw):
        return copy.deepcopy(value)
    try:
        return parse_yaml(value, "")
    except InputError:
        return value


def check_lost(keys: Sequence[str], before: str) -> None:
    """Refuse a key whose value a later one would replace: the same key, or a group of it.

    Args:
        keys: Dotted keys in the order in which they are set.
        before: What stands before a key in messages, such as "--".

    Raises:
        InputError: The line names both keys.
    """
    for i, key in enumerate(keys):
        for earlier in keys[:i]:
            if earlier == key:
                raise InputError(f"{before}{key} is given twice")
            if earlier.startswith(f"{key}."):
                raise InputError(
                    f"{before}{key} would replace {earlier}, which stands before it: "
                    "give the group first"
                )
