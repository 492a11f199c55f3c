"""Where recipes are, by name."""

from __future__ import annotations

from pathlib import Path

from genbench.errors import InputError, nearest
from genbench.system.locations import expand_home, project_root, shipped

__all__ = ["configs", "find_config"]


def find_config(name: str | Path) -> Path:
    """A YAML file, seen from here or from the checkout, or a shipped recipe by its name."""
    name = expand_home(name)
    for path in (Path(name), project_root() / name, shipped("configs", f"{name}.yaml")):
        if path.is_file():
            return path
    raise InputError(
        f"no configuration {str(name)!r}; {nearest(str(name).removeprefix('configs/').removesuffix('.yaml'), configs())}"
    )


def configs() -> list[str]:
    """Names of the shipped recipes: <dataset>/<model>."""
    folder = shipped("configs")
    other = {"protocols", "suites", "features", "cluster"}
    return sorted(
        str(p.relative_to(folder).with_suffix(""))
        for p in folder.glob("*/*.yaml")
        if p.parent.name not in other
    )
