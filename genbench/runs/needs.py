"""A check that the runs which a recipe names are those that the model's constructor asks for."""

from __future__ import annotations

from collections.abc import Mapping

from genbench.capabilities import class_offers, described, members_of
from genbench.config.class_paths import named_class, needs_of
from genbench.errors import InputError
from genbench.model import GenerativeModel
from genbench.system.discover import leaf_classes

__all__ = ["check_needs", "models_that_offer"]


def check_needs(class_path: str, needed: Mapping[str, GenerativeModel]) -> None:
    """Compare the needed runs of a recipe with the arguments of the model's constructor.

    Args:
        class_path: The model.
        needed: The models of the needed runs, by the keys of the recipe's `needs`.

    Raises:
        InputError: A run is missing or unasked for, or its model does not offer the capability.
    """
    kind = class_path.rpartition(".")[2]
    arguments = needs_of(class_path)
    for name in sorted(needed.keys() - arguments.keys()):
        known = [f"{other} that {_wanted(it.capability)}" for other, it in arguments.items()]
        raise InputError(
            f"needs.{name}: {kind} has no argument {name}; "
            f"it learns from {' and '.join(known) or 'no other run'}"
        )
    for name, argument in arguments.items():
        if name in needed:
            _check_offer(kind, name, argument.capability, needed[name])
        elif not argument.optional:
            raise InputError(
                f"needs.{name} is missing: {kind} learns from a finished run, whose recipe it "
                f"names: a {name} that {_wanted(argument.capability)}"
            )


def _check_offer(kind: str, name: str, capability: type, model: GenerativeModel) -> None:
    """Refuse the model of a needed run without a part of the capability that is asked for."""
    missing = [member for member in members_of(capability) if not hasattr(model, member)]
    if missing:
        raise InputError(
            f"needs.{name} is a {type(model).__name__}, without {' and '.join(missing)}; "
            f"{kind} learns from a {name} that {_wanted(capability)}"
        )


def _wanted(capability: type) -> str:
    """A capability, what it consists of, and which models of genbench have it."""
    models = " or ".join(models_that_offer(capability))
    if not models:
        return described(capability)
    return f"{described(capability)}, such as {models}"


def models_that_offer(capability: type) -> list[str]:
    """The models of genbench with every method and attribute of a capability.

    Examples:
        >>> from genbench.capabilities import Denoises, Tokenizes
        >>> models_that_offer(Tokenizes), models_that_offer(Denoises)
        (['VQVAE'], ['DDPM', 'EDM', 'FlowMatching'])
    """
    paths = leaf_classes("models", "GenerativeModel")
    return [
        path.rpartition(".")[2]
        for path in sorted(paths, key=lambda path: path.rpartition(".")[::2])
        if class_offers(named_class(path), capability)
    ]
