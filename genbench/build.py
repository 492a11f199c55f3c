"""From a checked configuration to its data and its model."""

from __future__ import annotations

import dataclasses
import importlib
import re
from functools import partial
from typing import Any

import torch
from jsonargparse import ArgumentParser

from genbench.config import Config, nested, one_line, own_warnings_only
from genbench.data.images import ImageData
from genbench.errors import InputError
from genbench.model import GenerativeModel

__all__ = ["build"]


def build(config: Config) -> tuple[ImageData, GenerativeModel]:
    """The data module and the model, whose initial weights are a function of the seed alone.

    The model loads the runs that it needs when it first asks for them, not before.

    Args:
        config: A checked configuration.

    Raises:
        InputError: A class refuses its arguments, or the needed runs are not those that the model learns from.
    """
    from genbench.run import load_needed

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        data = instantiate(ImageData, config.resolved["data"])
        spec = dataclasses.asdict(data.spec)
        model = instantiate(GenerativeModel, {**config.resolved["model"], "spec": spec})
        try:
            model.configure_optimizers()
        except ValueError as error:
            raise InputError(f"model.optimizer: {one_line(str(error))}") from None
    model.optimization = config.optimization
    data.seed = config.seed
    data.budget = config.budget.images
    check_needs(model, config)
    model.provide({name: partial(load_needed, config, name, data.name) for name in config.needs})
    return data, model


def instantiate(base: type, node: dict[str, Any]) -> Any:
    """An object of the class that a node of a configuration names, with the node's other keys as arguments.

    Args:
        base: What the class is derived from.
        node: class_path and arguments, as in a configuration.

    Raises:
        InputError: The class refuses its arguments; the line is what its constructor said.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, "it", required=True)
    try:
        with own_warnings_only():
            return parser.instantiate(parser.parse_object({"it": nested(node)})).it
    except (ValueError, TypeError) as error:
        # the constructor's message stands between the lines of jsonargparse
        reason = re.search(r"Errors:\s*- (.*?)\s*- Expected a <class 'NoneType'>", str(error), re.DOTALL)
        raise InputError(one_line(reason[1] if reason else str(error))) from None


def check_needs(model: GenerativeModel, config: Config) -> None:
    """Compare the finished runs that a model asks for with those that its configuration names.

    Args:
        model: `model.needs` maps names to the classes of model that it learns from.
        config: `config.needs` maps names to the configurations of those runs.

    Raises:
        InputError: A run is missing, unasked for, or of another class of model.
    """
    kind = type(model).__name__
    for name in sorted(model.needs.keys() ^ config.needs.keys()):
        if name in model.needs:
            raise InputError(f"model: this {kind} learns from a finished run: needs.{name} names its recipe")
        teachers = " and ".join(model.needs) or "no other run"
        raise InputError(f"needs.{name}: this {kind} learns from {teachers}")
    for name, needed in config.needs.items():
        module, _, class_name = needed.resolved["model"]["class_path"].rpartition(".")
        needed_class = getattr(importlib.import_module(module), class_name)
        if not issubclass(needed_class, model.needs[name]):
            raise InputError(f"needs.{name} is a {class_name}; {kind} learns from a {model.needs[name].__name__}")
