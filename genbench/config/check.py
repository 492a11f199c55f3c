"""From a YAML file and overrides to a checked configuration.

A configuration names classes by `class_path`; the other keys beside it are the arguments of that
class, typed by its Python signature:

    model:
      class_path: genbench.models.vae.vae.VAE
      latent: 16
      encoder: {class_path: genbench.nets.mlp.MLP, width: 256}

`--model.encoder.width=64` on the command line overrides it. A class_path may name a data set, a
model or a network of `genbench`, an optimizer of `torch.optim`, and whatever is in modules that the
user trusts (`--trust my_module`). The module is checked before anything is imported, and what it
names before anything is called.

A model that learns from a finished run, such as a teacher, names the recipe of that run:

    needs: {teacher: digits/flow_matching}

The needed run has the same seed and the same data. Its whole configuration, resolved, stands under
`needs.teacher` of the resolved one, so that `--needs.teacher.budget.images=64` overrides it, and
another teacher is another configuration.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from genbench.config.annotations import GROUPS, settled
from genbench.config.class_paths import TRUSTED, check_paths, injected_names, named_class
from genbench.config.config import Config
from genbench.config.explain import explain
from genbench.config.former import in_todays_words, without_neutral
from genbench.config.instantiate import with_objects
from genbench.config.parsing import parse
from genbench.config.settings import Evaluation
from genbench.config.tree import flatten, leaves_of, own_warnings_only
from genbench.errors import InputError, nearest
from genbench.system.files import NAME
from genbench.system.locations import expand_home
from genbench.system.yaml12 import written_text

__all__ = ["another_seed", "check_config", "settings_of"]


def settings_of(tree: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of a recipe's tree with its path; a group without keys is a value.

    Args:
        tree: The recipe. Keys at its top may be dotted.

    Yields:
        A path such as ("model", "encoder", "width"), and its value.
    """

    def below(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
        if isinstance(value, dict) and value:
            for key, item in value.items():
                yield from below((*path, key), item)
        else:
            yield path, value

    for key, value in tree.items():
        yield from below(tuple(key.split(".")), value)


def another_seed(where: str, needed_seed: Any, seed: Any) -> InputError:
    """The error about a needed run with another seed than the run that needs it."""
    return InputError(
        f"{where} has the seed {needed_seed}; "
        f"a needed run has that of the run that needs it, {seed}"
    )


def check_config(tree: dict[str, Any], name: str, trust: Sequence[str], origin: str) -> Config:
    """Validate a tree of plain values, and those of the runs that it needs, against the signatures
    of the classes that it names.
    """
    tree = dict(in_todays_words(tree))
    needs = tree.get("needs") or {}
    tree.pop("needs", None)
    for key in (key for key in GROUPS if not isinstance(tree.get(key, {}), dict)):
        raise InputError(
            f"{origin}: {key} is a group of settings: {', '.join(GROUPS[key].__dataclass_fields__)}"
        )
    for key, package in (("data", "genbench.data"), ("model", "genbench.models")):
        if not isinstance(tree.get(key), dict) or "class_path" not in tree[key]:
            raise InputError(
                f"{origin}: {key}.class_path is missing: it names a class of {package}"
            )
    check_paths(tree, trust, origin)
    try:
        tree = settled(tree, (*TRUSTED, *trust))
    except ValueError as error:
        raise InputError(f"{origin}: {error}") from None
    _check_names(tree, name, origin)
    _expand_folders(tree)
    tree["evaluations"] = _checked_evaluations(tree, origin)
    from jsonargparse import ArgumentError

    from genbench.records.parts import variant_of
    from genbench.records.store import check_stem

    injected = injected_names(tree["model"]["class_path"])
    parser = _parser(frozenset(injected))
    try:
        for key in sorted(injected & tree["model"].keys()):
            raise ValueError(f"Option '{key}' is not accepted")
        parsed = _parsed(parser, tree)
    except (ArgumentError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{origin}: {explain(str(error), tree)}") from None
    resolved = without_neutral(flatten(json.loads(json.dumps(parsed))))
    # A configuration without needed runs gets no such key, so that its hash is that of former
    # versions.
    if needs:
        resolved["needs"] = _checked_needs(needs, resolved, trust, origin)
    config = Config(name, resolved, tuple(trust), origin)
    try:
        for group, settings in GROUPS.items():
            settings(**resolved[group])
        # The schedule of the learning rate may refuse its arguments.
        _ = config.optimization
        for options in resolved["evaluations"].values():
            Evaluation(**options)
        for evaluation in config.evaluations:
            check_stem(name, variant_of(evaluation), config.seed)
        if not 0 <= config.seed < 2**63:
            raise ValueError(f"seed is at least 0 and below 2^63, not {config.seed}")
    except (ValueError, TypeError, InputError) as error:
        raise InputError(f"{origin}: {error}") from None
    return config


def _parsed(parser: Any, tree: dict[str, Any]) -> dict[str, Any]:
    """A tree as jsonargparse reads it. A folder is taken as it is: runs that differ by theirs alone
    are parsed once.
    """
    folder = tree.get("run_dir")
    if not isinstance(folder, str) or not Path(folder).is_absolute():
        return dict(parse(parser, tree).as_dict())
    return {**parse(parser, {**tree, "run_dir": None}).as_dict(), "run_dir": folder}


def _expand_folders(tree: dict[str, Any]) -> None:
    """Write out the home folder in the folders that a configuration names."""
    for node, key in ((tree, "run_dir"), (tree["data"], "root")):
        if isinstance(node.get(key), str):
            node[key] = str(expand_home(node[key]))
    # Evaluation may be called from another folder than training.
    if isinstance(tree.get("protocol"), str) and tree["protocol"].endswith(".yaml"):
        tree["protocol"] = str(expand_home(tree["protocol"]).absolute())


def _checked_needs(
    needs: Any, resolved: dict[str, Any], trust: Sequence[str], origin: str
) -> dict[str, Any]:
    """The resolved trees of the needed runs, which have the seed and the data of this run."""
    if not isinstance(needs, dict):
        raise InputError(
            f"{origin}: needs maps a name to a recipe, such as {{teacher: digits/flow_matching}}"
        )
    checked = {}
    for key, tree in needs.items():
        where = f"{origin}: needs.{key}"
        if not re.fullmatch(r"[^\W\d]\w*", str(key)) or not isinstance(tree, dict):
            raise InputError(
                f"{where}: needs maps a name to a recipe, such as {{teacher: digits/flow_matching}}"
            )
        tree = dict(tree)
        recipe = written_text(tree.pop("recipe", None))
        needed = check_config(tree, written_text(tree.pop("name", None)) or key, trust, where)
        _check_data(resolved["data"], needed.resolved["data"], where)
        if needed.seed != resolved["seed"]:
            raise another_seed(where, needed.seed, resolved["seed"])
        checked[key] = {"recipe": recipe, "name": needed.name, **needed.resolved}
    return checked


def _check_data(data: dict[str, Any], needed_data: dict[str, Any], where: str) -> None:
    """Refuse a needed run on other data. Batch size and folder may differ."""
    for key in sorted((data.keys() | needed_data.keys()) - {"batch_size", "root"}):
        if data.get(key) != needed_data.get(key):
            raise InputError(
                f"{where} is about other data: its data.{key} is {needed_data.get(key)}, "
                f"here it is {data.get(key)}"
            )


def _checked_evaluations(tree: dict[str, Any], origin: str) -> dict[str, Any]:
    """The evaluations without those that are null.

    They are checked here, since jsonargparse accepts unknown keys in a mapping of dataclasses.
    """
    keys = list(Evaluation.__dataclass_fields__)
    evaluations = tree.get("evaluations", {})
    if not isinstance(evaluations, dict) or not all(
        isinstance(options, dict | None) for options in evaluations.values()
    ):
        raise InputError(
            f"{origin}: evaluations maps names of rows to their options: {', '.join(keys)}; "
            "evaluations.NAME: null leaves one out"
        )
    for name, options in evaluations.items():
        for key, value in ({} if options is None else options).items():
            if key not in keys:
                raise InputError(
                    f"{origin}: unknown key evaluations.{name}.{key}; {nearest(key, keys)}"
                )
            if not isinstance(value, dict):
                raise InputError(
                    f"{origin}: evaluations.{name}.{key} maps options to values, and is {value!r}"
                )
            _check_options(
                tree["model"]["class_path"], key, value, f"{origin}: evaluations.{name}.{key}"
            )
    return {name: options for name, options in evaluations.items() if options is not None}


def _check_options(class_path: str, method: str, options: dict[str, Any], origin: str) -> None:
    """Options of `sample` or `log_prob` against the signature of the model's method."""
    from jsonargparse import ArgumentError

    model_class = named_class(class_path)
    allowed_keys = list(model_class.options(method))
    for key in options:
        if key not in allowed_keys:
            raise InputError(f"{origin}: unknown option {key}; {nearest(key, allowed_keys)}")
    try:
        parse(_options_parser(model_class, method), options)
        with_objects(options)  # A class that is named may refuse its arguments.
    except ArgumentError as error:
        raise InputError(f"{origin}.{explain(str(error), {})}") from None
    except InputError as error:
        raise InputError(f"{origin}.{error}") from None


def _check_names(tree: dict[str, Any], name: str, origin: str) -> None:
    """Refuse names that cannot be parts of file names, numbers that JSON does not have, and empty
    texts where no text means the default.
    """
    evaluations = tree.get("evaluations")
    for text in (name, *(evaluations if isinstance(evaluations, dict) else ())):
        if not NAME.fullmatch(str(text)):
            raise InputError(
                f"{origin}: the name {str(text)!r} is part of a file name; "
                "letters, digits, and . _ + - are right"
            )
    for key, value in leaves_of(tree):
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{origin}: {key} is {value}, not a finite number")
        if value == "" and (
            key in ("run_dir", "protocol", "data.root") or key.startswith("wandb.")
        ):
            raise InputError(f"{origin}: {key} is empty; give a value, or leave it out")
        # Under such names jsonargparse keeps notes of its own.
        if any(part.startswith("__") for part in key.split(".")):
            raise InputError(f"{origin}: unknown key {key}")


@cache
def _options_parser(model_class: Any, method: str) -> Any:
    """The parser of the options of `sample` or `log_prob`, which is made once."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    with own_warnings_only():
        parser.add_method_arguments(
            model_class, model_class.options_method(method), skip={"x", "y", "rng"}
        )
    return parser


@cache
def _parser(injected: frozenset[str]) -> Any:
    """The parser of a configuration without its needed runs, which is made once.

    Args:
        injected: The arguments of the model that no configuration gives.
    """
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
    parser.add_subclass_arguments(GenerativeModel, "model", required=True, skip=set(injected))
    return parser
