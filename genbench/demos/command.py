"""From the name of a demonstration to its files: numbers as JSON, the figure as SVG."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

from genbench.demos.demonstration import Demonstration
from genbench.demos.drawing import style, svg
from genbench.records.demonstration import DemonstrationRecord, demonstration_path, figure_path
from genbench.system.files import write_atomic
from genbench.system.json_files import write_json
from genbench.system.locations import shipped

__all__ = ["demonstration_names", "run_demonstration", "write_demonstration"]


def demonstration_names() -> dict[str, str]:
    """Name of every demonstration -> first line of its file. Nothing is imported."""
    summaries = {}
    for path in sorted(shipped("genbench", "demos").glob("*.py")):
        tree = ast.parse(path.read_text())
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        if "demonstrate" in functions:
            summary = (ast.get_docstring(tree) or "").split("\n")[0]
            summaries[path.stem.replace("_", "-")] = summary
    return summaries


def run_demonstration(name: str, seed: int = 0) -> Demonstration:
    """Run one demonstration.

    Args:
        name: One of `demonstration_names`.
        seed: Seed of all random numbers of the demonstration.
    """
    module = importlib.import_module(f"genbench.demos.{name.replace('-', '_')}")
    with style():
        result: Demonstration = module.demonstrate(seed)
    return result


def write_demonstration(name: str, out: Path) -> DemonstrationRecord:
    """Run one demonstration and write its numbers and its figure, also where numbers disagree.

    Args:
        name: One of `demonstration_names`.
        out: Folder of a leaderboard, which gets demos/<name>.json and demos/<name>.svg.
    """
    result = run_demonstration(name)
    with style():
        picture = svg(result.figure)
    record = DemonstrationRecord(
        name, result.title, result.formula, result.sentence, result.passed, result.values
    )
    write_atomic(figure_path(out, name), picture)
    write_json(demonstration_path(out, name), record.to_dict())
    return record
