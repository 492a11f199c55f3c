"""From the file of a recipe to its configuration.

A recipe may build on another one (`base`), needs the recipes of the runs that it learns from
(`needs`), and has a smoke version, which shrinks it to seconds (`smoke`).
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
from genbench.system.yaml12 import read_yaml, written_text

__all__ = ["load_config", "train_command", "written_out"]


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
    # An override may have named another needed recipe.
    _expand_needs(tree, smoke, (path.resolve(),), str(path))
    _hand_down(tree)
    origin = f"{path} with the options given" if overrides else str(path)
    return check_config(tree, _name(tree, path), trust, origin)


def _name(tree: dict[str, Any], path: Path) -> str:
    """Take a recipe's name out of its tree. Without one, it is the name of its file."""
    name = tree.pop("name", None)
    if name is None:
        return path.stem
    return written_text(name) or str(name)


def _recipe(
    path: Path,
    smoke: bool,
    above: tuple[Path, ...],
    changes: Sequence[tuple[dict[str, Any], str]] = (),
) -> dict[str, Any]:
    """A recipe's tree, with the trees of the recipes that it needs in place of their names.

    Args:
        path: The recipe's file.
        smoke: Whether the smoke versions are taken.
        above: Files of the recipes that need it.
        changes: The `changes` of a `Changed`, which are applied before the smoke version.
    """
    if path.resolve() in above:
        raise InputError(f"{path} needs itself{_by_way_of(path, above)}")
    tree = written_out(path)
    for settings, origin in changes:
        merge(tree, settings, origin)
    _check_seeds(tree, str(path))
    _expand_needs(tree, smoke, (*above, path.resolve()), str(path))
    shrink = tree.pop("smoke", None)
    if shrink is None:
        shrink = {}
    if not isinstance(shrink, dict):
        raise InputError(f"{path}: smoke maps keys to values, such as {{budget.images: 640}}")
    check_lost(list(shrink), f"{path}: smoke: ")
    if smoke:
        # Smoke runs lie apart from the real runs.
        tree["run_dir"] = str(project_root() / "runs" / "smoke" / path.parent.name / path.stem)
        # The eight draws of the curve would take longer than the training.
        set_key(tree, "trainer.curve_images", 0)
        for key, value in shrink.items():
            set_key(tree, key, value)
    return tree


def _by_way_of(path: Path, above: tuple[Path, ...]) -> str:
    """The end of a message about a circle of files: the last one, if it is another one."""
    if above[-1] == path.resolve():
        return ""
    return f", by way of {above[-1]}"


def written_out(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A recipe's tree with the recipe that it builds on, its `base`, written out.

    Args:
        path: The recipe's file.
        above: Files of the recipes that build on it.

    Raises:
        InputError: The recipe builds on itself, or on none that exists.
    """
    if path.resolve() in above:
        raise InputError(f"{path} builds on itself{_by_way_of(path, above)}")
    tree = read_yaml(path)
    check_once(tree, path)
    _find_files(tree, path.parent)
    if "base" not in tree:
        return tree
    base = written_text(tree.pop("base"))
    if base == "":
        return tree
    if base is None:
        raise InputError(f"{path}: base names one recipe, such as digits/vae")
    beside = path.parent / base
    try:
        base_path = beside if beside.is_file() else find_config(base)
    except InputError as error:
        raise InputError(f"{path}: base: {error}") from None
    merged = written_out(base_path, (*above, path.resolve()))
    # A run of this recipe is not one of its base, and what shrinks the base may not fit this
    # recipe.
    for key in ("name", "run_dir", *({"smoke"} & tree.keys())):
        merged.pop(key, None)
    merge(merged, tree, str(path))
    return merged


def _find_files(tree: dict[str, Any], folder: Path) -> None:
    """Write out the paths of protocols and needed recipes that lie beside the file.

    Args:
        tree: The recipe, which changes in place, with its smoke version.
        folder: Where its file lies.
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
            name = written_text(group[key])
            if name and name.endswith(".yaml") and (folder / name).is_file():
                group[key] = str(folder.resolve() / name)


def _expand_needs(tree: dict[str, Any], smoke: bool, above: tuple[Path, ...], origin: str) -> None:
    """Put the trees of the needed recipes in place of their names."""
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
        recipe = _recipe(path, smoke, above, named.changes)
        needs[name] = {"recipe": named.recipe, "name": _name(recipe, path), **recipe}


def _check_seeds(tree: dict[str, Any], origin: str) -> None:
    """Refuse a file with another seed for a needed run, which would not be followed."""
    needs = tree.get("needs")
    if not isinstance(needs, dict):
        return
    seed = tree.get("seed", 0)
    for name, needed in needs.items():
        if isinstance(needed, dict):
            if needed.get("seed", seed) != seed:
                raise another_seed(f"{origin}: needs.{name}", needed["seed"], seed)
            _check_seeds(needed, f"{origin}: needs.{name}")


def _hand_down(tree: dict[str, Any]) -> None:
    """Give the needed runs the seed and the data of this run, but for the batch size."""
    data = tree.get("data")
    if not isinstance(data, dict):
        data = {}
    shared = {key: value for key, value in data.items() if key != "batch_size"}
    for needed in (tree.get("needs") or {}).values():
        needed_data = needed.get("data")
        if isinstance(needed_data, dict) and needed_data.get("class_path") == data.get(
            "class_path"
        ):
            needed["data"] = {**needed_data, **shared}
        needed["seed"] = tree.get("seed", 0)
        _hand_down(needed)


def train_command(config: Config, name: str) -> str:
    """The command that trains a needed run.

    Args:
        config: The configuration of the run that needs it.
        name: Name of the needed run, a key of `config.needs`.

    Returns:
        A command line with every option in which the needed run differs from its recipe, or from
        its smoke version where fewer options do.
    """
    recipe = config.resolved["needs"][name]["recipe"]
    needed = config.needs[name]
    if recipe is None:
        return f"genbench train -c a file with the configuration under needs.{name}"
    commands = []
    for smoke in (False, True):
        plain = load_config(recipe, trust=config.trust, smoke=smoke)
        options = _options(plain, needed)
        if smoke:
            options.append("--smoke")
        for module in config.trust:
            options += ["--trust", module]
        commands.append(["genbench", "train", "-c", recipe, *options])
    shortest: list[str] = min(commands, key=len)
    return shlex.join(shortest)


def _options(plain: Config, needed: Config) -> list[str]:
    """The options that turn the configuration of a recipe into that of the needed run."""
    values = dict(leaves_of(plain.resolved))
    options = []
    for key, value in leaves_of(needed.resolved):
        if values.get(key, key) != value and decides_needed_run(key):
            text = value if isinstance(value, str) else json.dumps(value)
            options.append(f"--{key}={text}")
    if needed.name != plain.name:
        options.append(f"--name={needed.name}")
    return options
