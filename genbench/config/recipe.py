"""From a recipe's file to its tree: the recipe that it builds on, those of the runs that it needs,
its smoke version.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genbench.config.check import another_seed, check_config
from genbench.config.class_paths import TRUSTED
from genbench.config.config import Config
from genbench.config.find import find_config
from genbench.config.keys import decides_needed_run
from genbench.config.merge import Changed, check_once, merge
from genbench.config.overrides import Override, apply_overrides, check_lost
from genbench.config.tree import leaves_of, set_key
from genbench.errors import InputError
from genbench.system.locations import project_root
from genbench.system.yaml12 import read_yaml, source

__all__ = ["load_config", "train_command"]


def load_config(
    name: str | Path,
    overrides: Sequence[Override] = (),
    trust: Sequence[str] = (),
    smoke: bool = False,
) -> Config:
    """Read, override and check a configuration.

    Args:
        name: A YAML file, or the name of a shipped recipe such as `digits/vae`.
        overrides: `a.b=value`, each value in YAML, or letter by letter where the key is a text; or
            a pair (`a.b`, value). Those of the seed and of the data are for needed runs too.
        trust: Further modules that a class_path may name.
        smoke: Apply the recipe's own `smoke` overrides, which shrink it to seconds.

    Raises:
        InputError: One line that names what is wrong, and what would be right.
    """
    path = find_config(name)
    tree = _recipe(path, smoke, ())
    apply_overrides(tree, overrides, (*TRUSTED, *trust))
    _expand_needs(tree, smoke, (path.resolve(),), str(path))  # what an override named
    _hand_down(tree)
    origin = f"{path} with the options given" if overrides else str(path)
    return check_config(tree, _name(tree, path), trust, origin)


def _name(tree: dict[str, Any], path: Path) -> str:
    """Take a recipe's name out of its tree; that of its file where it gives none."""
    name = tree.pop("name", None)
    if name is None:
        return path.stem
    return source(name) or str(name)


def _recipe(
    path: Path,
    smoke: bool,
    above: tuple[Path, ...],
    changes: Sequence[tuple[dict[str, Any], str]] = (),
) -> dict[str, Any]:
    """A recipe's tree, shrunk where that is asked, with the trees of the recipes that it needs in
    place of their names.

    Args:
        path: The recipe's file.
        smoke: Whether it is shrunk.
        above: Files of the recipes that need it.
        changes: As of `Changed`, applied before it is shrunk.
    """
    if path.resolve() in above:
        raise InputError(
            f"{path} needs itself{f', by way of {above[-1]}' if above[-1] != path.resolve() else ''}"
        )
    tree = _written_out(path, ())
    for settings, origin in changes:
        merge(tree, settings, origin)
    _check_seeds(tree, str(path))
    _expand_needs(tree, smoke, (*above, path.resolve()), str(path))
    shrink = tree.pop("smoke", None)
    shrink = {} if shrink is None else shrink
    if not isinstance(shrink, dict):
        raise InputError(f"{path}: smoke maps keys to values, such as {{budget.images: 640}}")
    if smoke:  # apart from the real runs
        tree["run_dir"] = str(project_root() / "runs" / "smoke" / path.parent.name / path.stem)
    check_lost(list(shrink), f"{path}: smoke: ")
    for key, value in shrink.items() if smoke else ():
        set_key(tree, key, value)
    return tree


def _written_out(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """A recipe's tree with the recipe that it builds on, its `base`, written out."""
    if path.resolve() in above:
        raise InputError(
            f"{path} builds on itself{f', by way of {above[-1]}' if above[-1] != path.resolve() else ''}"
        )
    tree = read_yaml(path)
    check_once(tree, path)
    _find_files(tree, path.parent)
    base = source(tree.pop("base")) if "base" in tree else ""
    if base == "":
        return tree
    if base is None:
        raise InputError(f"{path}: base names one recipe, such as digits/vae")
    beside = path.parent / base
    try:
        base_path = beside if beside.is_file() else find_config(base)
    except InputError as error:
        raise InputError(f"{path}: base: {error}") from None
    merged = _written_out(base_path, (*above, path.resolve()))
    # a run of this recipe is not one of its base, and what shrinks the base may not fit
    for key in ("name", "run_dir", *({"smoke"} & tree.keys())):
        merged.pop(key, None)
    merge(merged, tree, str(path))
    return merged


def _find_files(tree: dict[str, Any], folder: Path) -> None:
    """Write out the paths of protocols and needed recipes that lie beside the file that names them,
    its smoke version too.
    """
    for settings in (tree, tree.get("smoke")):
        if not isinstance(settings, dict):
            continue
        groups = [
            (settings, key)
            for key in settings
            if key == "protocol" or re.fullmatch(r"needs\.[^.]+", key)
        ]
        needs = settings.get("needs")
        if isinstance(needs, dict):
            groups += [(needs, key) for key in needs]
        for group, key in groups:
            name = source(group[key])
            if name and name.endswith(".yaml") and (folder / name).is_file():
                group[key] = str(folder.resolve() / name)


def _expand_needs(tree: dict[str, Any], smoke: bool, above: tuple[Path, ...], origin: str) -> None:
    needs = tree.get("needs") or {}
    if not isinstance(needs, dict) or not all(
        isinstance(needed, str | dict | Changed) for needed in needs.values()
    ):
        raise InputError(
            f"{origin}: needs maps a name to a recipe, such as {{teacher: digits/flow_matching}}"
        )
    for name, needed in needs.items():
        if isinstance(needed, dict):
            _expand_needs(needed, smoke, above, f"{origin}: needs.{name}")
            continue
        named = needed if isinstance(needed, Changed) else Changed(needed)
        try:
            path = find_config(named.recipe)
        except InputError as error:
            raise InputError(f"{origin}: needs.{name}: {error}") from None
        tree_of_it = _recipe(path, smoke, above, named.changes)
        needs[name] = {"recipe": named.recipe, "name": _name(tree_of_it, path), **tree_of_it}


def _check_seeds(tree: dict[str, Any], origin: str) -> None:
    """A file that says another seed for a needed run would not be followed."""
    needs = tree.get("needs")
    seed = tree.get("seed", 0)
    for name, needed in needs.items() if isinstance(needs, dict) else ():
        if isinstance(needed, dict):
            if needed.get("seed", seed) != seed:
                raise another_seed(f"{origin}: needs.{name}", needed["seed"], seed)
            _check_seeds(needed, f"{origin}: needs.{name}")


def _hand_down(tree: dict[str, Any]) -> None:
    """What is said of this run's seed and data holds for those that it needs; the batch size is a
    run's own.
    """
    data = tree["data"] if isinstance(tree.get("data"), dict) else {}
    for needed in (tree.get("needs") or {}).values():
        theirs = needed.get("data")
        if isinstance(theirs, dict) and theirs.get("class_path") == data.get("class_path"):
            needed["data"] = {
                **theirs,
                **{key: value for key, value in data.items() if key != "batch_size"},
            }
        needed["seed"] = tree.get("seed", 0)
        _hand_down(needed)


def train_command(config: Config, name: str) -> str:
    """The command that trains what a configuration `needs` by this name, with everything that is
    not as its recipe says.
    """
    recipe = config.resolved["needs"][name]["recipe"]
    needed = config.needs[name]
    if recipe is None:
        return f"genbench train -c a file with the configuration under needs.{name}"
    there = dict(leaves_of(needed.resolved))
    ways = []
    for smoke in (False, True):
        plain = load_config(recipe, trust=config.trust, smoke=smoke)
        usual = dict(leaves_of(plain.resolved))
        other = {
            key: value
            for key, value in there.items()
            if usual.get(key, key) != value and decides_needed_run(key)
        }
        given = [
            f"--{key}={value if isinstance(value, str) else json.dumps(value)}"
            for key, value in other.items()
        ]
        given += [f"--name={needed.name}"] * (needed.name != plain.name) + ["--smoke"] * smoke
        ways.append(given + [word for module in config.trust for word in ("--trust", module)])
    return shlex.join(["genbench", "train", "-c", recipe, *min(ways, key=len)])
