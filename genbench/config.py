"""From a YAML file and overrides to a checked configuration, and from there to data and model.

A configuration names classes by `class_path`; the other keys beside it are the arguments of that class, typed by its Python
signature:

    model:
      class_path: genbench.models.vae.vae.VAE
      latent: 16
      encoder: {class_path: genbench.nets.mlp.MLP, width: 256}

`--model.encoder.width=64` on the command line overrides it. A class_path may name a data set, a model or a network of `genbench`,
an optimizer of `torch.optim`, and whatever is in modules that the user trusts (`--trust my_module`). The module is checked before
anything is imported, and what it names before anything is called.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import math
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from genbench.errors import InputError, nearest
from genbench.files import digest, project_root
from genbench.settings import Budget, Evaluation, Optimization, TrainerSettings, WandbSettings

__all__ = ["Config", "changes", "classes", "configs", "find_config", "load_config", "load_yaml"]

_TRUSTED = ("genbench", "torch.optim")
# What may differ between two commands on one run folder: where it runs and who watches. None of it changes the weights.
_FREE = (
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "wandb",
    "data.root",
    "run_dir",
    "evaluations",
    "protocol",
)
# Any dotted name, as Python's import would take it: also with hyphens or letters of other alphabets.
_DOTTED = re.compile(r"[^\W\d][\w-]*(\.[^\W\d][\w-]*)+")
# Texts of the user's own, which may hold a dot.
_NO_CLASSES = ("data.root", "data.name")

_GROUPS: dict[str, Any] = {"budget": Budget, "optimization": Optimization, "trainer": TrainerSettings, "wandb": WandbSettings}
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
    def hash(self) -> str:
        """SHA-256 of what decides the weights, apart from the seed."""
        return digest({key: value for key, value in _leaves(self.resolved) if not _is_free(key) and key != "seed"})

    @property
    def family(self) -> str:
        """The folder of the model's class: genbench.models.<family>; the module's name for a user's model."""
        module = self.resolved["model"]["class_path"].split(".")
        return str(module[2] if module[:2] == ["genbench", "models"] else module[0])

    def instantiate(self) -> tuple[Any, Any]:
        """The data module and the model, whose initial weights are a function of the seed alone.

        Raises:
            InputError: A class refuses its arguments.
        """
        import torch

        from genbench.data.images import ImageData
        from genbench.model import GenerativeModel

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            data = _made(ImageData, self.resolved["data"])
            spec = dataclasses.asdict(data.spec)
            model = _made(GenerativeModel, {**self.resolved["model"], "spec": spec})
            try:
                model.configure_optimizers()
            except ValueError as error:
                raise InputError(f"model.optimizer: {_one_line(str(error))}") from None
        model.optimization = self.optimization
        data.seed, data.budget = self.seed, self.budget.images
        return data, model


def load_config(name: str | Path, overrides: Sequence[str] = (), trust: Sequence[str] = (), smoke: bool = False) -> Config:
    """Read, override and check a configuration.

    Args:
        name: A YAML file, or the name of a shipped recipe such as `digits/vae`.
        overrides: `a.b=value`, each value in YAML.
        trust: Further modules that a class_path may name.
        smoke: Apply the recipe's own `smoke` overrides, which shrink it to seconds.

    Raises:
        InputError: One line that names what is wrong, and what would be right.
    """
    path = find_config(name)
    tree = load_yaml(path)
    shrink = tree.pop("smoke", {}) or {}
    if smoke:  # apart from the real runs
        tree["run_dir"] = str(project_root() / "runs" / "smoke" / path.parent.name / path.stem)
    for key, value in shrink.items() if smoke else ():
        _set(tree, key, value)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise InputError(f"override {override!r} has no value: write --{key}=VALUE")
        _set(tree, key, _yaml(value, f"the value of --{key}"))
    return check_config(tree, str(tree.pop("name", None) or path.stem), trust, str(path))


def check_config(tree: dict[str, Any], name: str, trust: Sequence[str], origin: str) -> Config:
    """Validate a tree of plain values against the signatures of the classes that it names."""
    for key in (key for key in _GROUPS if not isinstance(tree.get(key, {}), dict)):
        raise InputError(f"{origin}: {key} is a group of settings: {', '.join(_GROUPS[key].__dataclass_fields__)}")
    for key in ("data", "model"):
        if not isinstance(tree.get(key), dict) or "class_path" not in tree[key]:
            raise InputError(
                f"{origin}: {key}.class_path is missing: it names a class of genbench.{key if key == 'data' else 'models'}"
            )
    _check_names(tree, name, origin)
    _check_paths(tree, trust, origin)
    _check_evaluations(tree, origin)
    from jsonargparse import ArgumentError

    parser = _parser()
    try:
        if "spec" in tree["model"]:
            raise ValueError("Option 'spec' is not accepted")
        with _own_warnings_only():
            parsed = parser.parse_object(_nested({**tree, "model": {**tree["model"], "spec": _ANY_SPEC}})).as_dict()
    except (ArgumentError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{origin}: {_explain(str(error), tree)}") from None
    parsed["model"]["init_args"].pop("spec", None)
    config = Config(name, _flat(json.loads(json.dumps(parsed))), tuple(trust))
    try:
        assert config.budget and config.optimization and config.trainer and config.wandb and config.evaluations
        if not 0 <= config.seed < 2**63:
            raise ValueError(f"seed is at least 0 and below 2^63, not {config.seed}")
    except (ValueError, TypeError) as error:
        raise InputError(f"{origin}: {error}") from None
    return config


def _check_evaluations(tree: dict[str, Any], origin: str) -> None:
    """Done by hand: jsonargparse lets unknown keys pass in a mapping of dataclasses."""
    right = list(Evaluation.__dataclass_fields__)
    evaluations = tree.get("evaluations") or {}
    if not isinstance(evaluations, dict) or not all(isinstance(options, dict | None) for options in evaluations.values()):
        raise InputError(f"{origin}: evaluations maps names of rows to their options: {', '.join(right)}")
    for name, options in evaluations.items():
        for key, value in (options or {}).items():
            if key not in right:
                raise InputError(f"{origin}: unknown key evaluations.{name}.{key}; {nearest(key, right)}")
            if not isinstance(value, dict):
                raise InputError(f"{origin}: evaluations.{name}.{key} maps options to values, and is {value!r}")
            _check_options(tree["model"]["class_path"], key, value, f"{origin}: evaluations.{name}.{key}")


def _check_options(class_path: str, method: str, options: dict[str, Any], origin: str) -> None:
    """Options of `sample` or `log_prob` against the signature of the model's method."""
    from jsonargparse import ArgumentError, ArgumentParser

    module, _, name = class_path.rpartition(".")
    parser = ArgumentParser(exit_on_error=False)
    given = {"rng", "y", "x"}
    with _own_warnings_only():
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
        if not re.fullmatch(r"\w[\w.+-]*", str(text)):
            raise InputError(f"{origin}: the name {str(text)!r} is part of a file name; letters, digits, and . _ + - are right")
    for key, value in _leaves(tree):
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{origin}: {key} is {value}, not a finite number")
        if any(part.startswith("__") for part in key.split(".")):  # jsonargparse keeps notes of its own under such names
            raise InputError(f"{origin}: unknown key {key}")


def find_config(name: str | Path) -> Path:
    """A YAML file, seen from here or from the checkout, or a shipped recipe by its name."""
    for path in (Path(name), project_root() / name, project_root() / "configs" / f"{name}.yaml"):
        if path.is_file():
            return path
    raise InputError(
        f"no configuration {str(name)!r}; {nearest(str(name).removeprefix('configs/').removesuffix('.yaml'), configs())}"
    )


def configs() -> list[str]:
    """Names of the shipped recipes: <dataset>/<model>."""
    folder = project_root() / "configs"
    other = {"protocols", "suites", "features", "cluster"}
    return sorted(str(p.relative_to(folder).with_suffix("")) for p in folder.glob("*/*.yaml") if p.parent.name not in other)


def classes(package: str, base: str) -> dict[str, str]:
    """Class paths below genbench.<package> of the leaves of `base`, with the first line of their documentation; imports nothing."""
    folder, found, bases = project_root() / "genbench" / package, {}, dict[str, set[str]]()
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


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping."""
    try:
        tree = _yaml(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path} holds no settings: a configuration is a YAML mapping of keys to values")
    return tree


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


def _parser() -> Any:
    from jsonargparse import ArgumentParser

    from genbench.data.images import ImageData
    from genbench.model import GenerativeModel

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run_dir", type=str | None, default=None)
    parser.add_argument("--protocol", type=str | None, default=None)
    for name, settings in _GROUPS.items():
        parser.add_class_arguments(settings, name)
    parser.add_argument("--evaluations", type=dict[str, Evaluation], default={})
    parser.add_subclass_arguments(ImageData, "data", required=True)
    parser.add_subclass_arguments(GenerativeModel, "model", required=True)
    return parser


def _made(base: type, node: dict[str, Any]) -> Any:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, "it", required=True)
    try:
        with _own_warnings_only():
            return parser.instantiate(parser.parse_object({"it": _nested(node)})).it
    except (ValueError, TypeError) as error:
        # what the constructor said stands between the lines of jsonargparse
        said = re.search(r"Errors:\s*- (.*?)\s*- Expected a <class 'NoneType'>", str(error), re.DOTALL)
        raise InputError(_one_line(said[1] if said else str(error))) from None


@contextmanager
def _own_warnings_only() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside jsonargparse
        yield


# --- trees of plain values --------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """YAML 1.2's floats: 1e-3 is a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)$"), list("-+0123456789.")
)


def _yaml(text: str, origin: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise InputError(f"{origin} is not YAML: {_one_line(str(error))}") from None


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


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(free + ".") for free in _FREE)


def _nested(tree: Any) -> Any:
    """Arguments beside `class_path` -> jsonargparse's `init_args`."""
    if isinstance(tree, list):
        return [_nested(value) for value in tree]
    if not isinstance(tree, dict):
        return tree
    tree = {key: _nested(value) for key, value in tree.items()}
    if "class_path" in tree:
        return {"class_path": tree.pop("class_path"), "init_args": tree}
    return tree


def _flat(tree: Any) -> Any:
    """Inverse of `_nested`."""
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
    return f"{'.'.join(keys)}: {_one_line(wanted)}"


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
    if key in _GROUPS:
        return list(_GROUPS[key].__dataclass_fields__)
    return ["seed", "run_dir", "protocol", "data", "model", "evaluations", "smoke", "name", *_GROUPS]


def _arguments(class_path: str) -> list[str]:
    module, _, name = class_path.rpartition(".")
    return list(inspect.signature(getattr(importlib.import_module(module), name)).parameters)


def _one_line(text: str) -> str:
    return " ".join(text.split())
