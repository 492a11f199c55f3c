"""From a YAML file and overrides to a checked configuration.

A configuration names classes by `class_path`; the other keys beside it are the arguments of that class, typed by its Python
signature:

    model:
      class_path: genbench.models.vae.vae.VAE
      latent: 16
      encoder: {class_path: genbench.nets.mlp.MLP, width: 256}

`--model.encoder.width=64` on the command line overrides it. A class_path may name a data set, a model or a network of `genbench`,
an optimizer of `torch.optim`, and whatever is in modules that the user trusts (`--trust my_module`). The module is checked before
anything is imported, and what it names before anything is called.

A model that learns from a finished run, such as a teacher, names the recipe of that run:

    needs: {teacher: digits/flow_matching}

The needed run has the same seed and the same data. Its whole configuration, resolved, stands under `needs.teacher` of the resolved
one, so that `--needs.teacher.budget.images=64` overrides it, and another teacher is another configuration.
"""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import json
import math
import re
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genbench.annotations import GROUPS, annotation, is_text, settled, takes_null
from genbench.errors import InputError, nearest
from genbench.files import NAME, digest, expand_home, project_root, shipped
from genbench.settings import Budget, Evaluation, Optimization, TrainerSettings, WandbSettings
from genbench.yaml12 import key_lines, load_yaml, parse_yaml, read_yaml, source

__all__ = [
    "Config", "Override", "changes", "classes", "configs", "edits", "find_config", "load_config", "load_yaml", "train_command",
]  # fmt: skip

# `key=text` as on the command line, or a key and its value
Override = str | tuple[str, Any]

_TRUSTED = ("genbench", "torch.optim")
# What may differ between two commands on one run folder: where it runs and who watches. None of it changes the weights.
_FREE = (
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.accumulate",
    "wandb",
    "data.root",
    "run_dir",
    "evaluations",
    "protocol",
    "recipe",
)
# needs.teacher.budget.images is the budget.images of a needed run
_NEED = re.compile(r"^(needs\.[^.]+\.)+")
# Any dotted name, as Python's import would take it: also with hyphens or letters of other alphabets.
_DOTTED = re.compile(r"[^\W\d][\w-]*(\.[^\W\d][\w-]*)+")
# Texts of the user's own, which may hold a dot.
_NO_CLASSES = ("data.root", "data.name")

# Stands for the data's spec while arguments are checked: the data injects the real one.
_ANY_SPEC = {"shape": [1, 1, 1], "levels": 2}


@dataclass(frozen=True)
class Config:
    """A checked configuration.

    Attributes:
        name: The model's name in tables: the recipe's file name.
        resolved: Every key with its value, plain JSON; what is saved in the run folder.
        trust: Modules outside genbench that a class_path may name.
    """

    name: str
    resolved: dict[str, Any]
    trust: tuple[str, ...] = ()

    @property
    def seed(self) -> int:
        return int(self.resolved["seed"])

    @property
    def budget(self) -> Budget:
        return Budget(**self.resolved["budget"])

    @property
    def optimization(self) -> Optimization:
        return Optimization(**self.resolved["optimization"])

    @property
    def trainer(self) -> TrainerSettings:
        return TrainerSettings(**self.resolved["trainer"])

    @property
    def wandb(self) -> WandbSettings:
        return WandbSettings(**self.resolved["wandb"])

    @property
    def evaluations(self) -> dict[str, Evaluation]:
        """Row variants; the plain row is "" and the only one where none is named."""
        given = self.resolved["evaluations"] or {"": {}}
        return {("" if name == "default" else name): Evaluation(**options) for name, options in given.items()}

    @property
    def needs(self) -> dict[str, Config]:
        """The configurations of the runs that must be finished before this one begins, by the model's names for them."""
        return {name: self._needed(tree) for name, tree in self.resolved.get("needs", {}).items()}

    def _needed(self, tree: dict[str, Any]) -> Config:
        resolved = {key: value for key, value in tree.items() if key not in ("name", "recipe")}
        return Config(tree["name"], resolved, self.trust)

    @property
    def hash(self) -> str:
        """SHA-256 of what decides the weights, those of needed runs too, apart from the seed."""
        return digest({key: value for key, value in _leaves(self.resolved) if not _is_free(key) and _own(key) != "seed"})

    @property
    def decisive(self) -> dict[str, Any]:
        """What a checkpoint notes: name, seed, and every key that decides the weights, dotted."""
        tree = {"name": self.name, **self.resolved}
        return {key: value for key, value in _leaves(tree) if not _is_free(key)}

    @property
    def family(self) -> str:
        """The folder of the model's class: genbench.models.<family>; the module's name for a user's model."""
        module = self.resolved["model"]["class_path"].split(".")
        return str(module[2] if module[:2] == ["genbench", "models"] else module[0])


def load_config(name: str | Path, overrides: Sequence[Override] = (), trust: Sequence[str] = (), smoke: bool = False) -> Config:
    """Read, override and check a configuration.

    Args:
        name: A YAML file, or the name of a shipped recipe such as `digits/vae`.
        overrides: `a.b=value`, each value in YAML, or letter by letter where the key is a text; or a pair (`a.b`, value). Those of
            the seed and of the data are for needed runs too.
        trust: Further modules that a class_path may name.
        smoke: Apply the recipe's own `smoke` overrides, which shrink it to seconds.

    Raises:
        InputError: One line that names what is wrong, and what would be right.
    """
    path = find_config(name)
    tree = _recipe(path, smoke, ())
    _override(tree, overrides, (*_TRUSTED, *trust))
    _expand_needs(tree, smoke, (path.resolve(),), str(path))  # what an override named
    _hand_down(tree)
    origin = f"{path} with the options given" if overrides else str(path)
    return check_config(tree, _name(tree, path), trust, origin)


def _name(tree: dict[str, Any], path: Path) -> str:
    """Take a recipe's name out of its tree; that of its file where it gives none."""
    name = tree.pop("name", None)
    return path.stem if name is None else source(name) or str(name)


def _override(tree: dict[str, Any], overrides: Sequence[Override], trusted: Sequence[str]) -> None:
    """Set the values of overrides in a configuration.

    Raises:
        InputError: One has no value, or is lost to a later one.
    """
    pairs = [_pair(override) for override in overrides]
    _check_lost([key for key, _ in pairs], "--")
    # which keys are texts depends on the classes, which overrides may name
    trial = copy.deepcopy(tree)
    for key, value in pairs:
        _set(trial, key, _parsed(value) if isinstance(value, _Raw) else copy.deepcopy(value))
    for key, value in pairs:
        if key in ("base", "smoke"):
            raise InputError(f"--{key}: only the file of a recipe has it{'; the option is --smoke' * (key == 'smoke')}")
        if _own(key) == "seed" != key:
            raise InputError(f"--{key}: a needed run has the seed of the run that needs it; --seed={value} sets both")
        if isinstance(value, _Raw):
            hint = annotation(trial, key.split("."), trusted)
            if not is_text(hint):
                value = parse_yaml(value, f"the value of --{key}")
            elif value in ("", "null") and takes_null(hint):
                value = None
        _set(tree, key, copy.deepcopy(value))


@dataclass
class _Changed:
    """A needed run as a recipe that changes it names it, before the needed recipe is read.

    Attributes:
        recipe: The name of the needed recipe.
        changes: What is different from it: each a tree of settings with the line's beginning of errors about it.
    """

    recipe: str
    changes: list[tuple[dict[str, Any], str]] = field(default_factory=list)


class _Raw(str):
    """The text of an option, as it was given."""


def _pair(override: Override) -> tuple[str, Any]:
    if isinstance(override, tuple):
        return override
    key, equals, text = override.partition("=")
    if not equals:
        raise InputError(f"override {override!r} has no value: write --{key}=VALUE")
    return key, _Raw(text)


def _parsed(text: str) -> Any:
    """A YAML value; the text itself where it is none."""
    try:
        return parse_yaml(text, "")
    except InputError:
        return text


def _check_lost(keys: Sequence[str], before: str) -> None:
    """Refuse keys whose value a later one replaces: the same key, or a group that it belongs to."""
    for i, key in enumerate(keys):
        for earlier in keys[:i]:
            if earlier == key:
                raise InputError(f"{before}{key} is given twice")
            if earlier.startswith(f"{key}."):
                raise InputError(f"{before}{key} would replace {earlier}, which stands before it: give the group first")


def _recipe(
    path: Path, smoke: bool, above: tuple[Path, ...], changes: Sequence[tuple[dict[str, Any], str]] = ()
) -> dict[str, Any]:
    """A recipe's tree, shrunk where that is asked, with the trees of the recipes that it needs in place of their names.

    Args:
        path: The recipe's file.
        smoke: Whether it is shrunk.
        above: Files of the recipes that need it.
        changes: As of `_Changed`, applied before it is shrunk.
    """
    if path.resolve() in above:
        raise InputError(f"{path} needs itself{f', by way of {above[-1]}' if above[-1] != path.resolve() else ''}")
    tree = _written_out(path, ())
    for settings, origin in changes:
        _merge(tree, settings, origin)
    _check_seeds(tree, str(path))
    _expand_needs(tree, smoke, (*above, path.resolve()), str(path))
    shrink = tree.pop("smoke", None)
    shrink = {} if shrink is None else shrink
    if not isinstance(shrink, dict):
        raise InputError(f"{path}: smoke maps keys to values, such as {{budget.images: 640}}")
    if smoke:  # apart from the real runs
        tree["run_dir"] = str(project_root() / "runs" / "smoke" / path.parent.name / path.stem)
    _check_lost(list(shrink), f"{path}: smoke: ")
    for key, value in shrink.items() if smoke else ():
        _set(tree, key, value)
    return tree


def _written_out(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """A recipe's tree with the recipe that it builds on, its `base`, written out."""
    if path.resolve() in above:
        raise InputError(f"{path} builds on itself{f', by way of {above[-1]}' if above[-1] != path.resolve() else ''}")
    tree = read_yaml(path)
    _check_once(tree, path)
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
    _merge(merged, tree, str(path))
    return merged


def _find_files(tree: dict[str, Any], folder: Path) -> None:
    """Write out the paths of protocols and needed recipes that lie beside the file that names them, its smoke version too."""
    for settings in (tree, tree.get("smoke")):
        if not isinstance(settings, dict):
            continue
        groups = [(settings, key) for key in settings if key == "protocol" or re.fullmatch(r"needs\.[^.]+", key)]
        needs = settings.get("needs")
        if isinstance(needs, dict):
            groups += [(needs, key) for key in needs]
        for group, key in groups:
            name = source(group[key])
            if name and name.endswith(".yaml") and (folder / name).is_file():
                group[key] = str(folder.resolve() / name)


def _check_once(tree: dict[str, Any], path: Path) -> None:
    """Refuse a recipe that sets a key twice, dotted and nested, or a group and a key of it.

    Raises:
        InputError: The line names the key, and where it stands.
    """
    earlier: list[tuple[str, ...]] = []
    for keys in (_parts(keys) for keys, value in _settings(tree) if value != {}):
        for other in earlier:
            shorter = min(other, keys, key=len)
            if other[: len(shorter)] == keys[: len(shorter)]:
                lines = [line for place, line in key_lines(path) if _parts(place) in (other, keys)]
                key = ".".join(shorter)
                raise InputError(f"{path}, line {lines[-1]}: the key {key} is given twice, first in line {lines[0]}")
        earlier.append(keys)


def _parts(keys: tuple[str, ...]) -> tuple[str, ...]:
    """A key of a recipe by its groups: those at the top of the recipe, and of its smoke version, may be dotted."""
    if keys[0] == "smoke" and len(keys) > 1:
        return ("smoke", *keys[1].split("."), *keys[2:])
    return (*keys[0].split("."), *keys[1:])


def _merge(tree: dict[str, Any], other: dict[str, Any], origin: str) -> None:
    """Change a recipe's tree by another one: groups are merged key by key, and whatever else the other names is replaced.

    Keys at the top of the other may be dotted. Where it names another class, the arguments of the old class go.

    Keys of a needed run that the tree names by its recipe are kept until that recipe is read.

    Raises:
        InputError: The other sets a key below a value, or the seed of a needed run.
    """
    smoke = other.get("smoke")
    settings = []
    changes: dict[str, dict[str, Any]] = {}
    for path, value in _settings(other):
        if _is_of_recipe(tree, path):
            _check_change(path, origin)
            _put(changes.setdefault(path[1], {}), path[2:], value)
        elif path[0] != "smoke":
            settings.append((path, value))
    for name, change in changes.items():
        named = tree["needs"][name]
        if isinstance(named, str):
            named = tree["needs"][name] = _Changed(named)
        named.changes.append((change, f"{origin}: needs.{name}"))
    # classes before their arguments, and outer ones before inner ones
    settings.sort(
        key=lambda setting: (setting[0][-1] != "class_path", len(setting[0]) if setting[0][-1] == "class_path" else 0)
    )
    for (*groups, last), value in settings:
        node = tree
        for part in groups:
            if not isinstance(node.setdefault(part, {}), dict):
                raise InputError(f"{origin}: {'.'.join((*groups, last))}: {part} is a value, not a group of settings")
            node = node[part]
        if last == "class_path" and node.get(last) != value:
            node.clear()
        if value != {} or not isinstance(node.get(last), dict):
            node[last] = value
    if "smoke" in other:
        tree["smoke"] = smoke


def _is_of_recipe(tree: dict[str, Any], path: tuple[str, ...]) -> bool:
    """Whether a key, such as needs.teacher.budget.images, is of a needed run that a tree names by its recipe."""
    needs = tree.get("needs")
    if path[0] != "needs" or len(path) < 3 or not isinstance(needs, dict):
        return False
    return isinstance(needs.get(path[1]), str | _Changed)


def _check_change(path: tuple[str, ...], origin: str) -> None:
    """Refuse keys that would not be followed in a needed run."""
    key = ".".join(path)
    if _own(key) == "seed":
        raise InputError(f"{origin}: {key}: a needed run has the seed of the run that needs it; seed sets both")
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


def _settings(tree: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of a recipe's tree with its path; a group without keys is a value."""

    def below(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
        if isinstance(value, dict) and value:
            for key, item in value.items():
                yield from below((*path, key), item)
        else:
            yield path, value

    for key, value in tree.items():
        yield from below(tuple(key.split(".")), value)


def _expand_needs(tree: dict[str, Any], smoke: bool, above: tuple[Path, ...], origin: str) -> None:
    needs = tree.get("needs") or {}
    if not isinstance(needs, dict) or not all(isinstance(needed, str | dict | _Changed) for needed in needs.values()):
        raise InputError(f"{origin}: needs maps a name to a recipe, such as {{teacher: digits/flow_matching}}")
    for name, needed in needs.items():
        if isinstance(needed, dict):
            _expand_needs(needed, smoke, above, f"{origin}: needs.{name}")
            continue
        named = needed if isinstance(needed, _Changed) else _Changed(needed)
        try:
            path = find_config(named.recipe)
        except InputError as error:
            raise InputError(f"{origin}: needs.{name}: {error}") from None
        tree_of_it = _recipe(path, smoke, above, named.changes)
        needs[name] = {"recipe": named.recipe, "name": _name(tree_of_it, path), **tree_of_it}


def _check_seeds(tree: dict[str, Any], origin: str) -> None:
    """A file that says another seed for a needed run would not be followed."""
    needs, seed = tree.get("needs"), tree.get("seed", 0)
    for name, needed in needs.items() if isinstance(needs, dict) else ():
        if isinstance(needed, dict):
            if needed.get("seed", seed) != seed:
                raise _another_seed(f"{origin}: needs.{name}", needed["seed"], seed)
            _check_seeds(needed, f"{origin}: needs.{name}")


def _another_seed(where: str, theirs: Any, mine: Any) -> InputError:
    return InputError(f"{where} has the seed {theirs}; a needed run has that of the run that needs it, {mine}")


def _hand_down(tree: dict[str, Any]) -> None:
    """What is said of this run's seed and data holds for those that it needs; the batch size is a run's own."""
    data = tree["data"] if isinstance(tree.get("data"), dict) else {}
    for needed in (tree.get("needs") or {}).values():
        theirs = needed.get("data")
        if isinstance(theirs, dict) and theirs.get("class_path") == data.get("class_path"):
            needed["data"] = {**theirs, **{key: value for key, value in data.items() if key != "batch_size"}}
        needed["seed"] = tree.get("seed", 0)
        _hand_down(needed)


def check_config(tree: dict[str, Any], name: str, trust: Sequence[str], origin: str) -> Config:
    """Validate a tree of plain values, and those of the runs that it needs, against the signatures of the classes that it names."""
    tree, needs = dict(tree), tree.get("needs") or {}
    tree.pop("needs", None)
    for key in (key for key in GROUPS if not isinstance(tree.get(key, {}), dict)):
        raise InputError(f"{origin}: {key} is a group of settings: {', '.join(GROUPS[key].__dataclass_fields__)}")
    for key in ("data", "model"):
        if not isinstance(tree.get(key), dict) or "class_path" not in tree[key]:
            raise InputError(
                f"{origin}: {key}.class_path is missing: it names a class of genbench.{key if key == 'data' else 'models'}"
            )
    _check_paths(tree, trust, origin)
    try:
        tree = settled(tree, (*_TRUSTED, *trust))
    except ValueError as error:
        raise InputError(f"{origin}: {error}") from None
    _expand_folders(tree)
    _check_names(tree, name, origin)
    tree["evaluations"] = _checked_evaluations(tree, origin)
    from jsonargparse import ArgumentError

    from genbench.leaderboard.record import check_stem

    parser = _parser()
    try:
        if "spec" in tree["model"]:
            raise ValueError("Option 'spec' is not accepted")
        with own_warnings_only():
            parsed = parser.parse_object(nested({**tree, "model": {**tree["model"], "spec": _ANY_SPEC}})).as_dict()
    except (ArgumentError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{origin}: {_explain(str(error), tree)}") from None
    parsed["model"]["init_args"].pop("spec", None)
    resolved = _flat(json.loads(json.dumps(parsed)))
    if needs:  # no key where there are none: such a configuration is what it was before there were any
        resolved["needs"] = _checked_needs(needs, resolved, trust, origin)
    config = Config(name, resolved, tuple(trust))
    try:
        for group, settings in GROUPS.items():
            settings(**resolved[group])
        for options in resolved["evaluations"].values():
            Evaluation(**options)
        for variant in config.evaluations:
            check_stem(name, variant, config.seed)
        if not 0 <= config.seed < 2**63:
            raise ValueError(f"seed is at least 0 and below 2^63, not {config.seed}")
    except (ValueError, TypeError, InputError) as error:
        raise InputError(f"{origin}: {error}") from None
    return config


def _expand_folders(tree: dict[str, Any]) -> None:
    """Write out the home folder in the folders that a configuration names."""
    for node, key in ((tree, "run_dir"), (tree["data"], "root")):
        if isinstance(node.get(key), str):
            node[key] = str(expand_home(node[key]))
    # evaluation may be called from another folder than training
    if isinstance(tree.get("protocol"), str) and tree["protocol"].endswith(".yaml"):
        tree["protocol"] = str(expand_home(tree["protocol"]).absolute())


def train_command(config: Config, name: str) -> str:
    """The command that trains what a configuration `needs` by this name, with everything that is not as its recipe says."""
    recipe, needed = config.resolved["needs"][name]["recipe"], config.needs[name]
    if recipe is None:
        return f"genbench train -c a file with the configuration under needs.{name}"
    there = dict(_leaves(needed.resolved))
    ways = []
    for smoke in (False, True):
        plain = load_config(recipe, trust=config.trust, smoke=smoke)
        usual = dict(_leaves(plain.resolved))
        other = {key: value for key, value in there.items() if usual.get(key, key) != value and _decides(key)}
        given = [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in other.items()]
        given += [f"--name={needed.name}"] * (needed.name != plain.name) + ["--smoke"] * smoke
        ways.append(given + [word for module in config.trust for word in ("--trust", module)])
    return shlex.join(["genbench", "train", "-c", recipe, *min(ways, key=len)])


def _decides(key: str) -> bool:
    """Whether a needed run would be another, or elsewhere, with another value: its own needs have its seed."""
    return (not _is_free(key) or _own(key) in ("run_dir", "data.root")) and not (_own(key) == "seed" != key)


def _checked_needs(needs: Any, resolved: dict[str, Any], trust: Sequence[str], origin: str) -> dict[str, Any]:
    """The resolved trees of the needed runs: of the same seed, on the same data."""
    if not isinstance(needs, dict):
        raise InputError(f"{origin}: needs maps a name to a recipe, such as {{teacher: digits/flow_matching}}")
    checked = {}
    for key, tree in needs.items():
        where = f"{origin}: needs.{key}"
        if not re.fullmatch(r"[^\W\d]\w*", str(key)) or not isinstance(tree, dict):
            raise InputError(f"{where}: needs maps a name to a recipe, such as {{teacher: digits/flow_matching}}")
        tree = dict(tree)
        recipe = source(tree.pop("recipe", None))
        needed = check_config(tree, source(tree.pop("name", None)) or key, trust, where)
        mine, theirs = (
            {k: v for k, v in one.items() if k not in ("batch_size", "root")}
            for one in (resolved["data"], needed.resolved["data"])
        )
        for k in sorted(mine.keys() | theirs.keys()):
            if mine.get(k) != theirs.get(k):
                raise InputError(f"{where} is about other data: its data.{k} is {theirs.get(k)}, here it is {mine.get(k)}")
        if needed.seed != resolved["seed"]:
            raise _another_seed(where, needed.seed, resolved["seed"])
        checked[key] = {"recipe": recipe, "name": needed.name, **needed.resolved}
    return checked


def _checked_evaluations(tree: dict[str, Any], origin: str) -> dict[str, Any]:
    """The evaluations without those that are null. Done by hand: jsonargparse lets unknown keys pass in a mapping of dataclasses."""
    right = list(Evaluation.__dataclass_fields__)
    evaluations = tree.get("evaluations") or {}
    if not isinstance(evaluations, dict) or not all(isinstance(options, dict | None) for options in evaluations.values()):
        raise InputError(f"{origin}: evaluations maps names of rows to their options: {', '.join(right)}")
    for name, options in evaluations.items():
        for key, value in ({} if options is None else options).items():
            if key not in right:
                raise InputError(f"{origin}: unknown key evaluations.{name}.{key}; {nearest(key, right)}")
            if not isinstance(value, dict):
                raise InputError(f"{origin}: evaluations.{name}.{key} maps options to values, and is {value!r}")
            _check_options(tree["model"]["class_path"], key, value, f"{origin}: evaluations.{name}.{key}")
    return {name: options for name, options in evaluations.items() if options is not None}


def _check_options(class_path: str, method: str, options: dict[str, Any], origin: str) -> None:
    """Options of `sample` or `log_prob` against the signature of the model's method."""
    from jsonargparse import ArgumentError, ArgumentParser

    module, _, name = class_path.rpartition(".")
    parser = ArgumentParser(exit_on_error=False)
    given = {"rng", "y", "x"}
    with own_warnings_only():
        parser.add_method_arguments(getattr(importlib.import_module(module), name), method, skip=given)
        right = [key for key in parser.get_defaults().as_dict() if key not in given]
        for key in options:
            if key not in right:
                raise InputError(f"{origin}: unknown option {key}; {nearest(key, right)}")
        try:
            parser.parse_object(options)
        except ArgumentError as error:
            raise InputError(f"{origin}.{_explain(str(error), {})}") from None


def _check_names(tree: dict[str, Any], name: str, origin: str) -> None:
    """Names become parts of file names; numbers of JSON."""
    evaluations = tree.get("evaluations")
    for text in (name, *(evaluations if isinstance(evaluations, dict) else ())):
        if not NAME.fullmatch(str(text)):
            raise InputError(f"{origin}: the name {str(text)!r} is part of a file name; letters, digits, and . _ + - are right")
    for key, value in _leaves(tree):
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{origin}: {key} is {value}, not a finite number")
        if any(part.startswith("__") for part in key.split(".")):  # jsonargparse keeps notes of its own under such names
            raise InputError(f"{origin}: unknown key {key}")


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
    return sorted(str(p.relative_to(folder).with_suffix("")) for p in folder.glob("*/*.yaml") if p.parent.name not in other)


def classes(package: str, base: str) -> dict[str, str]:
    """Class paths below genbench.<package> of the leaves of `base`, with the first line of their documentation; imports nothing."""
    folder, found, bases = shipped("genbench", package), {}, dict[str, set[str]]()
    for path in sorted(folder.rglob("*.py")):
        module = ".".join(("genbench", package, *path.relative_to(folder).with_suffix("").parts))
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                found[node.name] = (f"{module}.{node.name}", (ast.get_docstring(node) or "").split("\n")[0])
                bases[node.name] = {ast.unparse(parent) for parent in node.bases}
    derived, parents = set[str](), {base}
    while parents:
        parents = {name for name, its in bases.items() if its & parents}
        derived |= parents
    leaves = derived - set[str]().union(*bases.values())
    return dict(entry for name, entry in found.items() if name in leaves)


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What differs between two configurations of one run folder and may not: "key was old, is now new"."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    found = []
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key, "absent"), after.get(key, "absent")
        larger_budget = key == "budget.images" and isinstance(now, int) and isinstance(was, int) and now > was
        if was != now and not _is_free(key) and not larger_budget:
            found.append(f"{key} was {was}, is now {now}")
    return found


def edits(noted: dict[str, Any], tree: dict[str, Any]) -> list[str]:
    """What differs between two configurations and stands in records: everything but folders, and who watches.

    Args:
        noted: What training has noted.
        tree: What a file says now.

    Returns:
        "key was old, is now new", of every such key.
    """
    before = dict(_leaves(noted))
    after = dict(_leaves(tree))
    lines = []
    for key in sorted(before.keys() | after.keys()):
        was = before.get(key, "absent")
        now = after.get(key, "absent")
        if was != now and not _is_local(key):
            lines.append(f"{key} was {was}, is now {now}")
    return lines


def _is_local(key: str) -> bool:
    """Whether a key says where a run lies or who watches it."""
    key = _own(key)
    return key in ("run_dir", "data.root", "recipe") or key.partition(".")[0] == "wandb"


def _parser() -> Any:
    from jsonargparse import ArgumentParser

    from genbench.data.images import ImageData
    from genbench.model import GenerativeModel

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run_dir", type=str | None, default=None)
    parser.add_argument("--protocol", type=str | None, default=None)
    for name, settings in GROUPS.items():
        parser.add_class_arguments(settings, name)
    parser.add_argument("--evaluations", type=dict[str, Evaluation], default={})
    parser.add_subclass_arguments(ImageData, "data", required=True)
    parser.add_subclass_arguments(GenerativeModel, "model", required=True)
    return parser


@contextmanager
def own_warnings_only() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside jsonargparse
        yield


# --- trees of plain values --------------------------------------------------------------------------------------------


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        child = tree.setdefault(part, {})
        if not isinstance(child, dict):
            raise InputError(f"--{key}: {part} is a value, not a group of settings")
        tree = child
    tree[last] = value


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, tree


def _own(key: str) -> str:
    """A key of a needed run's configuration as that run calls it."""
    return _NEED.sub("", key)


def _is_free(key: str) -> bool:
    key = _own(key)
    return any(key == free or key.startswith(free + ".") for free in _FREE)


def nested(tree: Any) -> Any:
    """Arguments beside `class_path` -> jsonargparse's `init_args`."""
    if isinstance(tree, list):
        return [nested(value) for value in tree]
    if not isinstance(tree, dict):
        return tree
    tree = {key: nested(value) for key, value in tree.items()}
    if "class_path" in tree:
        return {"class_path": tree.pop("class_path"), "init_args": tree}
    return tree


def _flat(tree: Any) -> Any:
    """Inverse of `nested`."""
    if isinstance(tree, list):
        return [_flat(value) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if "class_path" in tree:
        return {"class_path": tree["class_path"], **_flat(tree.get("init_args") or {})}
    return {key: _flat(value) for key, value in tree.items()}


# --- what a class_path may name -----------------------------------------------------------------------------------------


def _check_paths(tree: dict[str, Any], trust: Sequence[str], origin: str) -> None:
    trusted = (*_TRUSTED, *trust)
    if trust and "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # a trusted module lies where the command is given
    for key, value in (*_values(tree["data"], "data"), *_values(tree["model"], "model")):
        if key.endswith("class_path") and not isinstance(value, str):
            raise InputError(f"{origin}: {key} is a name such as {next(iter(_right_paths(key)))}, not {value!r}")
        # jsonargparse would import a dotted name given for a callable: treat every dotted name as one
        if not isinstance(value, str) or not (key.endswith("class_path") or _DOTTED.fullmatch(value)) or key in _NO_CLASSES:
            continue
        if not any(value.startswith(module + ".") for module in trusted):
            raise InputError(
                f"{origin}: {key} names {value!r}, outside the trusted modules ({', '.join(trusted)}); "
                f"{nearest(value, _right_paths(key))}, or --trust {value.split('.')[0]} if you trust that code"
            )
        module, _, name = value.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            raise InputError(
                f"{origin}: {key} names {value!r}, which does not exist; {nearest(value, _right_paths(key))}"
            ) from None
        admitted, kind = _admitted(key)
        # functions would be called, and with arguments of the configuration's choice
        if (value.startswith(tuple(f"{module}." for module in _TRUSTED)) or kind in ("model", "data set")) and not (
            isinstance(found, type) and issubclass(found, admitted)
        ):
            raise InputError(f"{origin}: {key} names {value!r}, which is no {kind}; {nearest(value, _right_paths(key))}")


def _values(tree: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every value of a tree, of lists too, and whatever stands at a class_path."""
    nested = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    if not nested or key.endswith("class_path"):
        yield key, tree
    for name, value in nested:
        yield from _values(value, f"{key}.{name}" if isinstance(tree, dict) else key)


def _admitted(key: str) -> tuple[tuple[type, ...], str]:
    """The classes that a key may name, and what they are called."""
    from torch.optim import Optimizer

    from genbench.data.images import ImageData
    from genbench.model import GenerativeModel
    from genbench.nets.net import Net

    if key == "data.class_path":
        return (ImageData,), "data set"
    if key == "model.class_path":
        return (GenerativeModel,), "model"
    return (Net, Optimizer), "network or optimizer"


def _right_paths(key: str) -> dict[str, str]:
    if key == "data.class_path":
        return classes("data", "ImageData")
    if key == "model.class_path":
        return classes("models", "GenerativeModel")
    return (
        classes("nets", "Net")
        if "optimizer" not in key
        else {"torch.optim.Adam": "", "torch.optim.AdamW": "", "torch.optim.SGD": ""}
    )


# --- one line per error ---------------------------------------------------------------------------------------------------


def _explain(message: str, tree: dict[str, Any]) -> str:
    """The innermost complaint of jsonargparse, with the full key and the nearest right name."""
    unknown = re.search(r"(?:Option|does not accept option) '([^']+)'", message)
    if unknown:
        name = unknown[1]
        key, node = next(((k, n) for k, n in _nodes(tree) if name in n and _is_unknown(name, k, n)), ("", tree))
        return f"unknown key {f'{key}.{name}' if key else name!s}; {nearest(name, _right_keys(key, node))}"
    keys = re.findall(r'[Pp]arser key "([^"]+)"', message)
    reasons = re.findall(r"((?:Expected|Value|Missing|Key|Option|Not|Invalid)[^\n]*)", message)
    reason = next((r for r in reasons if "NoneType" not in r and "a path but" not in r), message)
    absent = re.search(r"class_path '([^']+)':\s*the following arguments are required: ([\w, .]+)", message)
    if absent:
        return f"{absent[1]} needs {absent[2].strip()}"
    missing = re.search(r'[Kk]ey "([^"]+)" is required', message)
    if missing:
        return f"{'.'.join(k for k in keys if k != missing[1])}.{missing[1]} is missing".removeprefix(".")
    wanted = reason.replace("Expected a <class '", "expected ").replace("'>", "").replace("typing.", "")
    return f"{'.'.join(keys)}: {one_line(wanted)}"


def _nodes(tree: Any, prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(tree, dict):
        yield prefix, tree
        for key, value in tree.items():
            yield from _nodes(value, f"{prefix}.{key}" if prefix else str(key))


def _is_unknown(name: str, key: str, node: dict[str, Any]) -> bool:
    return name not in (_arguments(node["class_path"]) if "class_path" in node else _right_keys(key, node))


def _right_keys(key: str, node: dict[str, Any]) -> list[str]:
    if "class_path" in node:
        return [
            name
            for name in _arguments(node["class_path"])
            if name not in ("self", "spec", "inputs", "outputs", "cond", "params")
        ]
    if key in GROUPS:
        return list(GROUPS[key].__dataclass_fields__)
    return ["seed", "run_dir", "protocol", "data", "model", "evaluations", "smoke", "name", "base", "needs", *GROUPS]


def _arguments(class_path: str) -> list[str]:
    module, _, name = class_path.rpartition(".")
    return list(inspect.signature(getattr(importlib.import_module(module), name)).parameters)


def one_line(text: str) -> str:
    return " ".join(text.split())
