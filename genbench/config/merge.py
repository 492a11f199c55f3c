"""A recipe that builds on another: groups are merged key by key."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genbench.config.check import settings_of
from genbench.config.keys import own_key
from genbench.errors import InputError
from genbench.system.yaml12 import key_lines

__all__ = ["Changed", "check_once", "merge"]


@dataclass
class Changed:
    """A needed run as a recipe that changes it names it, before the needed recipe is read.

    Attributes:
        recipe: The name of the needed recipe.
        changes: What is different from it: each a tree of settings with the line's beginning of
            errors about it.
    """

    recipe: str
    changes: list[tuple[dict[str, Any], str]] = field(default_factory=list)


def check_once(tree: dict[str, Any], path: Path) -> None:
    """Refuse a recipe that sets a key twice, dotted and nested, or a group and a key of it.

    Raises:
        InputError: The line names the key, and where it stands.
    """
    earlier: list[tuple[str, ...]] = []
    for keys in (_parts(keys) for keys, value in settings_of(tree) if value != {}):
        for other in earlier:
            shorter = min(other, keys, key=len)
            if other[: len(shorter)] == keys[: len(shorter)]:
                lines = [line for place, line in key_lines(path) if _parts(place) in (other, keys)]
                key = ".".join(shorter)
                raise InputError(
                    f"{path}, line {lines[-1]}: the key {key} is given twice, first in line {lines[0]}"
                )
        earlier.append(keys)


def _parts(keys: tuple[str, ...]) -> tuple[str, ...]:
    """A key of a recipe by its groups: those at the top of the recipe, and of its smoke version,
    may be dotted.
    """
    if keys[0] == "smoke" and len(keys) > 1:
        return ("smoke", *keys[1].split("."), *keys[2:])
    return (*keys[0].split("."), *keys[1:])


def merge(tree: dict[str, Any], other: dict[str, Any], origin: str) -> None:
    """Change a recipe's tree by another one: groups are merged key by key, and whatever else the
    other names is replaced.

    Keys at the top of the other may be dotted. Where it names another class, the arguments of the
    old class go.

    Keys of a needed run that the tree names by its recipe are kept until that recipe is read.

    Raises:
        InputError: The other sets a key below a value, or the seed of a needed run.
    """
    smoke = other.get("smoke")
    settings = []
    changes: dict[str, dict[str, Any]] = {}
    for path, value in settings_of(other):
        if _is_of_recipe(tree, path):
            _check_change(path, origin)
            _put(changes.setdefault(path[1], {}), path[2:], value)
        elif path[0] != "smoke":
            settings.append((path, value))
    for name, change in changes.items():
        named = tree["needs"][name]
        if isinstance(named, str):
            named = tree["needs"][name] = Changed(named)
        named.changes.append((change, f"{origin}: needs.{name}"))
    # classes before their arguments, and outer ones before inner ones
    settings.sort(
        key=lambda setting: (
            setting[0][-1] != "class_path",
            len(setting[0]) if setting[0][-1] == "class_path" else 0,
        )
    )
    for (*groups, last), value in settings:
        node = tree
        for part in groups:
            if not isinstance(node.setdefault(part, {}), dict):
                raise InputError(
                    f"{origin}: {'.'.join((*groups, last))}: {part} is a value, not a group of settings"
                )
            node = node[part]
        if last == "class_path" and node.get(last) != value:
            node.clear()
        if value != {} or not isinstance(node.get(last), dict):
            node[last] = value
    if "smoke" in other:
        tree["smoke"] = smoke


def _is_of_recipe(tree: dict[str, Any], path: tuple[str, ...]) -> bool:
    """Whether a key, such as needs.teacher.budget.images, is of a needed run that a tree names by
    its recipe.
    """
    needs = tree.get("needs")
    if path[0] != "needs" or len(path) < 3 or not isinstance(needs, dict):
        return False
    return isinstance(needs.get(path[1]), str | Changed)


def _check_change(path: tuple[str, ...], origin: str) -> None:
    """Refuse keys that would not be followed in a needed run."""
    key = ".".join(path)
    if own_key(key) == "seed":
        raise InputError(
            f"{origin}: {key}: a needed run has the seed of the run that needs it; seed sets both"
        )
    if path[2] in ("base", "smoke"):
        raise InputError(f"{origin}: {key}: only the file of a recipe has {path[2]}")


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a value in a tree; a group without keys changes none."""
    for group in path[:-1]:
        tree = tree.setdefault(group, {})
    if value == {}:
        tree.setdefault(path[-1], {})
    else:
        tree[path[-1]] = value
