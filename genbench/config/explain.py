"""One line for every complaint of jsonargparse: the full key, and the nearest right name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from genbench.config.annotations import GROUPS
from genbench.config.class_paths import argument_names
from genbench.config.tree import one_line
from genbench.errors import nearest

__all__ = ["explain"]


def explain(message: str, tree: dict[str, Any]) -> str:
    """The innermost complaint of jsonargparse, with the full key and the nearest right name."""
    unknown = re.search(r"(?:Option|does not accept option) '([^']+)'", message)
    if unknown:
        name = unknown[1]
        key, node = next(
            ((k, n) for k, n in _nodes(tree) if name in n and _is_unknown(name, k, n)), ("", tree)
        )
        return f"unknown key {f'{key}.{name}' if key else name!s}; {nearest(name, _right_keys(key, node))}"
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
        return (
            f"{'.'.join(k for k in keys if k != missing[1])}.{missing[1]} is missing".removeprefix(
                "."
            )
        )
    wanted = (
        reason.replace("Expected a <class '", "expected ").replace("'>", "").replace("typing.", "")
    )
    return f"{'.'.join(keys)}: {one_line(wanted)}"


def _nodes(tree: Any, prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(tree, dict):
        yield prefix, tree
        for key, value in tree.items():
            yield from _nodes(value, f"{prefix}.{key}" if prefix else str(key))


def _is_unknown(name: str, key: str, node: dict[str, Any]) -> bool:
    return name not in (
        argument_names(node["class_path"]) if "class_path" in node else _right_keys(key, node)
    )


def _right_keys(key: str, node: dict[str, Any]) -> list[str]:
    if "class_path" in node:
        return [
            name
            for name in argument_names(node["class_path"])
            if name not in ("self", "spec", "inputs", "outputs", "cond", "params")
        ]
    if key in GROUPS:
        return list(GROUPS[key].__dataclass_fields__)
    return [
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
        *GROUPS,
    ]
