"""Recipes by name: the shipped ones, and files of one's own."""

from __future__ import annotations

from pathlib import Path

from genbench.errors import InputError, nearest
from genbench.system.locations import expand_home, project_root, shipped
from genbench.system.yaml12 import check_yaml_name

__all__ = ["configs", "find_config"]


def find_config(name: str | Path) -> Path:
    """The file of a recipe.

    Args:
        name: A path, from the working folder or from the checkout, or the name of a shipped
            recipe, such as `digits/vae`.

    Raises:
        InputError: There is none, or the file is none by its name.
    """
    name = expand_home(name)
    for path in (Path(name), project_root() / name, shipped("configs", f"{name}.yaml")):
        if path.is_file():
            check_yaml_name(path, "recipe", "genbench list names the shipped ones")
            return path
    recipe = str(name).removeprefix("configs/").removesuffix(".yaml")
    raise InputError(
        f"no configuration {str(name)!r}; {nearest(recipe, configs())} (genbench list shows all)"
    )


def configs() -> list[str]:
    """Names of the shipped recipes: <dataset>/<model>."""
    folder = shipped("configs")
    no_recipes = {"protocols", "suites", "features", "cluster", "claims"}
    return sorted(
        str(path.relative_to(folder).with_suffix(""))
        for path in folder.glob("*/*.yaml")
        if path.parent.name not in no_recipes
    )
