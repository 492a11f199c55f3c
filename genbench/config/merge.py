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
    """A needed run whose recipe is not read yet, and what is to be changed in that recipe.

    Attributes:
        recipe: The name of the needed recipe.
        changes: Trees of settings, each with the text that errors about it begin with.
    """

    recipe: str
    changes: list[tuple[dict[str, Any], str]] = field(default_factory=list)


def check_once(tree: dict[str, Any], path: Path) -> None:
    """Refuse a recipe that sets a key twice, dotted and nested, or a group and a key of it.

    Args:
        tree: The recipe as read.
        path: Its file, in which the lines are looked up.

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
                    f"{path}, line {lines[-1]}: the key {key} is given twice, "
                    f"first in line {lines[0]}"
                )
        earlier.append(keys)


def _parts(keys: tuple[str, ...]) -> tuple[str, ...]:
    """A key of a recipe as a path of single names.

    Keys at the top of a recipe, and of its smoke version, may be dotted.
    """
    if keys[0] == "smoke" and len(keys) > 1:
        return ("smoke", *keys[1].split("."), *keys[2:])
    return (*keys[0].split("."), *keys[1:])


def merge(tree: dict[str, Any], other: dict[str, Any], origin: str) -> None:
    """Change a recipe's tree by another one.

    Groups are merged key by key; any other value is replaced. Keys at the top of the other tree may
    be dotted. Where it names another class, the arguments of the old class are removed. Keys of a
    needed run that the tree names by its recipe are kept in a `Changed` until that recipe is read.

    Args:
        tree: The recipe, which changes in place.
        other: What to change.
        origin: The text that errors begin with.

    Raises:
        InputError: The other tree sets a key below a value, or the seed of a needed run.
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
    settings.sort(key=lambda setting: _rank(setting[0]))
    for (*groups, last), value in settings:
        node = tree
        for part in groups:
            if not isinstance(node.setdefault(part, {}), dict):
                key = ".".join((*groups, last))
                raise InputError(f"{origin}: {key}: {part} is a value, not a group of settings")
            node = node[part]
        if last == "class_path" and node.get(last) != value:
            node.clear()
        if value != {} or not isinstance(node.get(last), dict):
            node[last] = value
    if "smoke" in other:
        tree["smoke"] = smoke


def _rank(path: tuple[str, ...]) -> tuple[bool, int]:
    """The order of settings: classes before arguments, and outer classes before inner ones."""
    if path[-1] == "class_path":
        return False, len(path)
    return True, 0


def _is_of_recipe(tree: dict[str, Any], path: tuple[str, ...]) -> bool:
    """Whether a key such as needs.teacher.seed belongs to a recipe that is not read yet."""
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
    """Set a value in a tree. An empty group adds the group and changes none of its keys."""
    for group in path[:-1]:
        tree = tree.setdefault(group, {})
    if value == {}:
        tree.setdefault(path[-1], {})
    else:
        tree[path[-1]] = value
