"""The house: which room of genbench may import from which. Arrows only fall, so that a reader never goes round in a circle."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import genbench

PACKAGE = Path(genbench.__file__).parent

# A room is a file at the top of genbench/ or a folder; beside it, the rooms that it imports from. Bottom to top.
ARROWS = {
    "errors": set(),
    "optimization": {"formulas"},
    "options": set(),
    "rng": set(),
    "spec": set(),
    "batch": {"rng"},
    "capabilities": {"formulas", "rng", "spec"},
    "conditioning": {"formulas", "spec"},
    "formulas": {"rng", "spec"},
    "system": {"errors"},
    "nets": {"formulas", "rng", "spec", "system"},
    "records": {"errors", "system"},
    "steps": {"batch", "errors", "optimization", "rng"},
    "model": {
        "batch",
        "capabilities",
        "conditioning",
        "formulas",
        "optimization",
        "options",
        "records",
        "rng",
        "spec",
        "steps",
    },
    "data": {"batch", "errors", "model", "rng", "spec", "system"},
    "models": {
        "batch",
        "capabilities",
        "formulas",
        "model",
        "nets",
        "records",
        "rng",
        "spec",
        "steps",
    },
    "config": {
        "capabilities",
        "data",
        "errors",
        "formulas",
        "model",
        "nets",
        "optimization",
        "records",
        "rng",
        "system",
    },
    "leaderboard": {"config", "errors", "records", "system"},
    "metrics": {
        "capabilities",
        "config",
        "data",
        "errors",
        "formulas",
        "model",
        "records",
        "rng",
        "spec",
        "system",
    },
    "demos": {"formulas", "models", "nets", "records", "rng", "system"},
    "runs": {
        "capabilities",
        "config",
        "data",
        "errors",
        "model",
        "nets",
        "records",
        "rng",
        "system",
    },
    "tracking": {"config", "errors", "records", "system"},
    "evaluation": {
        "capabilities",
        "model",
        "config",
        "data",
        "errors",
        "metrics",
        "records",
        "rng",
        "runs",
        "spec",
        "system",
        "tracking",
    },
    "explore": {
        "capabilities",
        "config",
        "data",
        "errors",
        "formulas",
        "metrics",
        "rng",
        "runs",
        "spec",
        "system",
    },
    "genbench": {"runs"},
    "training": {
        "batch",
        "config",
        "data",
        "errors",
        "evaluation",
        "formulas",
        "metrics",
        "model",
        "nets",
        "records",
        "rng",
        "runs",
        "steps",
        "system",
        "tracking",
    },
    "suites": {
        "config",
        "errors",
        "evaluation",
        "leaderboard",
        "metrics",
        "records",
        "runs",
        "system",
        "training",
    },
    "cluster": {"errors", "suites", "system"},
    "cli": {
        "capabilities",
        "spec",
        "cluster",
        "config",
        "data",
        "demos",
        "errors",
        "evaluation",
        "explore",
        "leaderboard",
        "metrics",
        "records",
        "runs",
        "suites",
        "system",
        "tracking",
        "training",
    },
    "__main__": {"cli"},
}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        names[".".join(parts).removesuffix(".__init__")] = path
    return names


def room(module: str) -> str:
    """The room that a module is in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "genbench"


def statements(path: Path, types: bool) -> Iterator[ast.AST]:
    """Everything that stands in a file, also inside functions; what is there for types alone where that is asked for."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        yield node
        if types or not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            pending += ast.iter_child_nodes(node)


def imports(path: Path, names: set[str], types: bool) -> set[str]:
    """The modules of the package that a file imports."""
    imported = set()
    for node in statements(path, types):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names} & names
        if isinstance(node, ast.ImportFrom) and node.module in names:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                imported.add(full if full in names else node.module)
    return imported


def graph(types: bool) -> dict[str, set[str]]:
    """Modules, and those that they import."""
    names = modules()
    assert len(names) > 100
    return {name: imports(path, set(names), types) for name, path in names.items()}


def test_rooms_import_from_the_rooms_below_them_alone():
    modules_of = graph(types=True)
    arrows: dict[str, set[str]] = {room(module): set() for module in modules_of}
    for module, imported in modules_of.items():
        arrows[room(module)] |= {room(other) for other in imported} - {room(module)}
    assert arrows == ARROWS


def test_no_rooms_stand_in_a_circle():
    assert list(TopologicalSorter(ARROWS).static_order())


def test_no_modules_stand_in_a_circle():
    assert list(TopologicalSorter(graph(types=False)).static_order())


def test_the_list_of_the_readme_has_every_room_above_those_that_it_imports_from():
    text = (PACKAGE.parent / "README.md").read_text()
    tree = text.partition("```\ngenbench/\n")[2].partition("configs/ ")[0]
    lines = [re.findall(r"(?<=  )(\w+)(?:/|\.py)(?=  |$)", line) for line in tree.splitlines()]
    places = {name: number for number, line in enumerate(lines) for name in line}
    assert places.keys() == ARROWS.keys() - {"genbench", "__main__"}
    wrong = [
        (name, below)
        for name, imported in ARROWS.items()
        for below in imported
        if name in places and places[name] >= places[below]
    ]
    assert wrong == []
