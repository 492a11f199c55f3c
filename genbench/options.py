"""Options of sampling and scoring: the arguments of a model's method that have a default, as its
signature has them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["defaults_of", "options_of"]

# These arguments of `sample`, `trajectory` and `terms` are not options.
_NO_OPTIONS = ("self", "x", "y", "rng")


def options_of(method: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The options of a method by their names, each with its type and default.

    Args:
        method: `sample`, `trajectory` or `terms` of a model.

    Examples:
        >>> def sample(self, rng, y=None, steps: int = 50): ...
        >>> list(options_of(sample))
        ['steps']
    """
    return {
        name: parameter
        for name, parameter in inspect.signature(method).parameters.items()
        if name not in _NO_OPTIONS
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }


def defaults_of(method: Callable[..., Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Default values of the options of a method.

    Args:
        method: `sample`, `trajectory` or `terms` of a model.
        overrides: Names of options that are left out.
    """
    names = set(overrides)
    return {
        name: parameter.default
        for name, parameter in options_of(method).items()
        if name not in names
    }
