"""What a class_path of a configuration may name, checked before anything is imported."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from genbench.config.annotations import annotation, members, parameters
from genbench.errors import InputError, nearest
from genbench.system.discover import leaf_classes

__all__ = [
    "TRUSTED",
    "NeedArgument",
    "argument_names",
    "check_paths",
    "injected_names",
    "named_class",
    "needs_of",
]

TRUSTED = ("genbench", "torch.optim")

# This matches any dotted name that Python's import would take, also one with hyphens or letters of
# other alphabets.
_DOTTED = re.compile(r"[^\W\d][\w-]*(\.[^\W\d][\w-]*)+")

# These are texts of the user's own, which may hold a dot.
_NO_CLASSES = ("data.root", "data.name")


def check_paths(tree: dict[str, Any], trust: Sequence[str], origin: str) -> None:
    """Check that every class path names a class that may be imported, before anything is imported.

    Args:
        tree: A configuration.
        trust: Packages of the user whose classes may be imported too.
        origin: Where the configuration comes from, for messages.

    Raises:
        InputError: A path names another package, no class, or a class of another kind.
    """
    trusted = (*TRUSTED, *trust)
    if trust and "" not in sys.path and str(Path.cwd()) not in sys.path:
        # A trusted module lies in the folder in which the command is given.
        sys.path.insert(0, str(Path.cwd()))
    for key, value in _named_values(tree):
        # Where a callable is asked for, jsonargparse would import a dotted name, so every dotted
        # name is treated as a class path.
        dotted = isinstance(value, str) and _DOTTED.fullmatch(value) and key not in _NO_CLASSES
        if isinstance(value, str) and not dotted and not key.endswith("class_path"):
            _check_no_word(tree, key, value, trusted, origin)
        if not (dotted or key.endswith("class_path")):
            continue
        admitted, kind = _admitted(tree, key, trusted)
        if not isinstance(value, str):
            example = next(iter(_right_paths(key, admitted)))
            raise InputError(f"{origin}: {key} is a name such as {example}, not {value!r}")
        if not any(value.startswith(module + ".") for module in trusted):
            raise InputError(
                f"{origin}: {key} names {value!r}, outside the trusted modules"
                f" ({', '.join(trusted)}); {nearest(value, _right_paths(key, admitted))}, or"
                f" --trust {shlex.quote(value.split('.')[0])} if you trust that code"
            )
        module, _, name = value.rpartition(".")
        try:
            named = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            raise InputError(
                f"{origin}: {key} names {value!r}, which does not exist;"
                f" {nearest(value, _right_paths(key, admitted))}"
            ) from None
        # A function would be called, with arguments that the configuration chooses.
        if (
            value.startswith(tuple(f"{module}." for module in TRUSTED))
            or kind in ("model", "data set")
        ) and not (isinstance(named, type) and issubclass(named, admitted)):
            raise InputError(
                f"{origin}: {key} names {value!r}, which is no {kind};"
                f" {nearest(value, _right_paths(key, admitted))}"
            )


def _named_values(tree: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The values of the sections in which classes are named."""
    for section in ("data", "model", "optimization"):
        yield from _values(tree.get(section, {}), section)
    evaluations = tree.get("evaluations")
    if isinstance(evaluations, dict):
        for variant, options in evaluations.items():
            yield from _values(options, f"evaluations.{variant}")


def _check_no_word(
    tree: dict[str, Any], key: str, word: str, trusted: Sequence[str], origin: str
) -> None:
    """Refuse a word where an object of a class, such as a game, is asked for, unless the annotation
    names the word.
    """
    hint = annotation(tree, key.split("."), trusted)
    kinds = kinds_of(hint)
    words = [w for m in members(hint) if get_origin(m) is Literal for w in get_args(m)]
    if kinds and word not in words:
        suggestion = nearest(word, _right_paths(key, kinds))
        raise InputError(f"{origin}: {key} names a class, and {word!r} is none; {suggestion}")


def _values(tree: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Every value of a tree, of lists too, and whatever stands at a class_path."""
    nested = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    if not nested or key.endswith("class_path"):
        yield key, tree
    for name, value in nested:
        yield from _values(value, f"{key}.{name}" if isinstance(tree, dict) else key)


def _admitted(
    tree: dict[str, Any], key: str, trusted: Sequence[str]
) -> tuple[tuple[type, ...], str]:
    """The classes that a key may name, and what they are called.

    Args:
        tree: The configuration.
        key: Such as "model.game.class_path".
        trusted: Packages that may be imported for a signature.
    """
    from torch.optim import Optimizer

    from genbench.data.images import ImageData
    from genbench.model import GenerativeModel
    from genbench.nets.net import Net

    if key == "data.class_path":
        return (ImageData,), "data set"
    if key == "model.class_path":
        return (GenerativeModel,), "model"
    argument = key.removesuffix(".class_path").split(".")
    kinds = kinds_of(annotation(tree, argument, trusted))
    if not kinds:
        # An argument that does not exist is refused later, with its name.
        return (Net, Optimizer), "network or optimizer"
    words = {Net: "network", Optimizer: "optimizer"}
    return kinds, " or ".join(words.get(kind, kind.__name__) for kind in kinds)


def kinds_of(hint: Any) -> tuple[type, ...]:
    """The abstract classes of which an annotation takes an instance, or a function that makes one.

    >>> from genbench.nets.net import NetFactory
    >>> kinds_of(NetFactory | None), kinds_of(int)
    ((<class 'genbench.nets.net.Net'>,), ())
    """
    from torch.optim import Optimizer

    kinds = []
    for member in members(hint):
        made = get_args(member)[-1] if get_origin(member) is Callable else member
        if isinstance(made, type) and (inspect.isabstract(made) or made is Optimizer):
            kinds.append(made)
    return tuple(kinds)


def _right_paths(key: str, admitted: tuple[type, ...]) -> dict[str, str]:
    if key == "data.class_path":
        return leaf_classes("data", "ImageData")
    if key == "model.class_path":
        return leaf_classes("models", "GenerativeModel")
    if "optimizer" in key:
        return {"torch.optim.Adam": "", "torch.optim.AdamW": "", "torch.optim.SGD": ""}
    return {
        path: line
        for kind in admitted
        if kind.__module__.startswith("genbench.")
        for path, line in leaf_classes(kind.__module__.split(".")[1], kind.__name__).items()
    }


def named_class(class_path: str) -> Any:
    """The class of a class_path that was checked."""
    module, _, name = class_path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def argument_names(class_path: str) -> list[str]:
    """The arguments of the constructor of a class."""
    return list(inspect.signature(named_class(class_path)).parameters)


class NeedArgument(NamedTuple):
    """An argument of a model's constructor that is a needed run.

    Attributes:
        capability: What the model of that run offers, a protocol of `genbench.capabilities`.
        optional: Whether there are models of this class without that run.
    """

    capability: type
    optional: bool


def needs_of(class_path: str) -> dict[str, NeedArgument]:
    """The needed runs that a model's constructor names: arguments whose annotation is a capability,
    or a capability or None.

    Args:
        class_path: The model, which may be imported.

    Examples:
        >>> needs_of("genbench.models.autoregressive.latent_prior.LatentPrior")
        {'tokenizer': NeedArgument(capability=<class 'genbench.capabilities.Tokenizes'>, optional=False)}
    """
    from genbench.capabilities import is_capability  # This imports torch, which lists do without.

    package = class_path.partition(".")[0]
    needs = {}
    for name, hint in parameters(class_path, "__init__", (package,)).items():
        for member in members(hint):
            if is_capability(member):
                needs[name] = NeedArgument(member, optional=hint is not member)
    return needs


def injected_names(class_path: str) -> set[str]:
    """The arguments of a model that no recipe sets under `model`: the data's `spec`, and the needed
    runs.
    """
    return {"spec", *needs_of(class_path)}
