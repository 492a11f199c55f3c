"""Messages of jsonargparse in one line, with the full key and the nearest allowed name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from genbench.config.annotations import GROUPS
from genbench.config.class_paths import argument_names, needs_of
from genbench.config.tree import one_line
from genbench.errors import nearest

__all__ = ["explain"]

_TOP = (
    "seed",
    "run_dir",
    "protocol",
    "data",
    "model",
    "evaluations",
    "smoke",
    "name",
    "base",
    "needs",
)
# These arguments of constructors are given by genbench itself.
_INJECTED = ("self", "spec", "inputs", "outputs", "cond", "params")


def explain(message: str, tree: dict[str, Any]) -> str:
    """The innermost complaint of a message of jsonargparse.

    Args:
        message: What jsonargparse says, over many lines.
        tree: The configuration, in which an unknown key is looked up.

    Returns:
        One line with the full key and, for an unknown one, the nearest allowed name.
    """
    unknown = re.search(r"(?:Option|does not accept option) '([^']+)'", message)
    if unknown:
        return _unknown_key(unknown[1], tree)
    keys = re.findall(r'[Pp]arser key "([^"]+)"', message)
    reasons = re.findall(r"((?:Expected|Value|Missing|Key|Option|Not|Invalid)[^\n]*)", message)
    reason = next((r for r in reasons if "NoneType" not in r and "a path but" not in r), message)
    absent = re.search(
        r"class_path '([^']+)':\s*the following arguments are required: ([\w, .]+)", message
    )
    if absent:
        return f"{absent[1]} needs {absent[2].strip()}"
    missing = re.search(r'[Kk]ey "([^"]+)" is required', message)
    if missing:
        groups = [key for key in keys if key != missing[1]]
        return f"{'.'.join([*groups, missing[1]])} is missing"
    choice = re.match(
        r"Expected a (?:typing\.)?Literal\[(.+?)\]\. Got value: (.+?)(?:\. Got value: |\.?$)",
        reason,
    )
    if choice:
        value = "null" if choice[2] == "None" else one_line(choice[2])
        return f"{'.'.join(keys)} is {value}; right is one of {choice[1]}"
    wanted = reason.replace("Expected a <class '", "expected ")
    wanted = wanted.replace("'>", "").replace("typing.", "")
    return f"{'.'.join(keys)}: {one_line(wanted)}"


def _unknown_key(name: str, tree: dict[str, Any]) -> str:
    """The line about a key that its group, or its class, does not have."""
    for key, node in _groups(tree):
        allowed = _allowed_keys(key, node)
        if name in node and name not in allowed:
            full_key = f"{key}.{name}".removeprefix(".")
            return f"unknown key {full_key}; {nearest(name, _offered_keys(key, node))}"
    return f"unknown key {name}; {nearest(name, _offered_keys('', tree))}"


def _groups(tree: Any, prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every group of a configuration with its dotted key; the whole is the first, with ""."""
    if isinstance(tree, dict):
        yield prefix, tree
        for key, value in tree.items():
            yield from _groups(value, f"{prefix}.{key}".removeprefix("."))


def _allowed_keys(key: str, group: dict[str, Any]) -> Sequence[str]:
    """The keys of a group: the arguments of its class, or the fields of its settings."""
    if "class_path" in group:
        return argument_names(group["class_path"])
    if key in GROUPS:
        return list(GROUPS[key].__dataclass_fields__)
    return [*_TOP, *GROUPS]


def _offered_keys(key: str, group: dict[str, Any]) -> list[str]:
    """Those of the allowed keys that a recipe may set."""
    injected = set(_INJECTED)
    if "class_path" in group:
        injected |= needs_of(group["class_path"]).keys()
    return [name for name in _allowed_keys(key, group) if name not in injected]
