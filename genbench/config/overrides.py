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

# `key=text` as on the command line, or a key and its value
Override = str | tuple[str, Any]


def apply_overrides(
    tree: dict[str, Any], overrides: Sequence[Override], trusted: Sequence[str]
) -> None:
    """Set the values of overrides in a configuration.

    Raises:
        InputError: One has no value, or is lost to a later one.
    """
    pairs = [_pair(override) for override in overrides]
    check_lost([key for key, _ in pairs], "--")
    # which keys are texts depends on the classes, which overrides may name
    trial = copy.deepcopy(tree)
    for key, value in pairs:
        set_key(trial, key, _parsed(value) if isinstance(value, _Raw) else copy.deepcopy(value))
    for key, value in pairs:
        if key in ("base", "smoke"):
            raise InputError(
                f"--{key}: only the file of a recipe has it{'; the option is --smoke' * (key == 'smoke')}"
            )
        if own_key(key) == "seed" != key:
            raise InputError(
                f"--{key}: a needed run has the seed of the run that needs it; --seed={value} sets both"
            )
        if isinstance(value, _Raw):
            hint = annotation(trial, key.split("."), trusted)
            if not is_text(hint):
                value = parse_yaml(value, f"the value of --{key}")
            elif value in ("", "null") and takes_null(hint):
                value = None
        set_key(tree, key, copy.deepcopy(value))


class _Raw(str):
    """The text of an option, as it was given."""


def _pair(override: Override) -> tuple[str, Any]:
    if isinstance(override, tuple):
        return override
    key, equals, text = override.partition("=")
    if not equals:
        raise InputError(f"override {override!r} has no value: write --{key}=VALUE")
    return key, _Raw(text)


def _parsed(text: str) -> Any:
    """A YAML value; the text itself where it is none."""
    try:
        return parse_yaml(text, "")
    except InputError:
        return text


def check_lost(keys: Sequence[str], before: str) -> None:
    """Refuse keys whose value a later one replaces: the same key, or a group that it belongs to."""
    for i, key in enumerate(keys):
        for earlier in keys[:i]:
            if earlier == key:
                raise InputError(f"{before}{key} is given twice")
            if earlier.startswith(f"{key}."):
                raise InputError(
                    f"{before}{key} would replace {earlier}, which stands before it: give the group first"
                )
