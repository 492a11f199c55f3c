"""A trial of the options of evaluations: what a model refuses is refused before it is trained.

The methods of a model check their options before they look at an image. A trial calls them with
images, y and random streams that end the call when they are looked at, so that the checks run, with
the messages that an evaluation would have, and nothing is computed.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor

from genbench.config.config import Config
from genbench.config.instantiate import with_objects
from genbench.errors import InputError
from genbench.model import GenerativeModel
from genbench.rng import Rng

__all__ = ["check_evaluations", "try_options"]


def check_evaluations(config: Config, model: GenerativeModel) -> None:
    """Check the options of all evaluations of a configuration against its model.

    Args:
        config: A checked configuration.
        model: Its model, with any weights.

    Raises:
        InputError: The model refuses an option; one line that names the evaluation, its method and
            the option.
    """
    for name, evaluation in config.evaluations.items():
        for method, options in (("sample", evaluation.sample), ("log_prob", evaluation.log_prob)):
            if not options:
                continue
            try:
                try_options(model, method, with_objects(options))
            except (TypeError, ValueError) as error:
                key = f"evaluations.{name}.{method}"
                raise InputError(f"{config.origin}: {key}: {error}") from None


def try_options(model: GenerativeModel, method: str, options: Mapping[str, Any]) -> None:
    """Raise what a model's method says against its options before it looks at an image.

    Args:
        model: The model, with any weights.
        method: `sample` or `log_prob`.
        options: Values of options by their names.

    Raises:
        TypeError: There is no such option.
        ValueError: The model refuses a value.
    """
    function = getattr(model, model.options_method(method))
    unseen = torch.empty(0).as_subclass(_Unseen)
    inputs = {"x": unseen, "y": unseen, "rng": _Undrawn(0, range(1), model.dtype)}
    taken = inputs.keys() & inspect.signature(function).parameters.keys()
    try:
        result = function(**{name: inputs[name] for name in taken}, **options)
        if inspect.isgenerator(result):
            next(result, None)
    except _LookedAt:
        pass


class _LookedAt(Exception):
    """The options have passed: the method goes on to its images."""


class _Unseen(Tensor):
    """Images, or y, that end a call which looks at them."""

    @classmethod
    def __torch_function__(cls, *_: Any, **__: Any) -> NoReturn:
        raise _LookedAt


class _Undrawn(Rng):
    """Random streams that end a call which draws from them."""

    def _blocks(self, shape: Any) -> NoReturn:
        raise _LookedAt
