"""Files for other tools parse, and say what pyproject.toml says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import genbench
from genbench.system.yaml12 import load_yaml

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]


def lower_bound(requirement: str) -> str:
    """The version v of a requirement ">=v" that has no other condition."""
    return re.fullmatch(r"\w*>=([\d.]+)", requirement)[1]


def test_citation_names_the_version_and_the_licence():
    citation = load_yaml(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "authors"} <= citation.keys()
    assert citation["title"].startswith(f"{PROJECT['name']}:")
    assert citation["license"] == PROJECT["license"]
    assert citation["version"] == PROJECT["version"] == genbench.__version__


def test_hooks_before_a_commit_are_those_of_make_lint():
    (repository,) = load_yaml(ROOT / ".pre-commit-config.yaml")["repos"]
    hooks = {hook["entry"].removesuffix(" --force-exclude") for hook in repository["hooks"]}
    make = (ROOT / "Makefile").read_text().replace("$(BIN)", ".venv/bin")
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", make, re.MULTILINE)[1]
    assert hooks == {line.strip().removesuffix(" .") for line in recipe.splitlines()}


def test_workflow_runs_the_oldest_and_the_newest_python_and_torch():
    job = load_yaml(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["test"]
    (torch,) = [name for name in PROJECT["dependencies"] if name.startswith("torch>=")]
    python = PROJECT["requires-python"]
    oldest, newest = job["strategy"]["matrix"]["include"]
    assert oldest == {"python": lower_bound(python), "torch": f"torch=={lower_bound(torch)}.*"}
    # neither has an upper bound, so the newest is whatever there is
    assert newest == {"python": "3", "torch": "torch"}
    commands = [step.get("run") for step in job["steps"]]
    assert commands[-2:] == ["make lint", "make test"]


def test_tools_take_the_oldest_python_as_the_language():
    oldest = lower_bound(PROJECT["requires-python"])
    assert PYPROJECT["tool"]["mypy"]["python_version"] == oldest
    assert PYPROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
