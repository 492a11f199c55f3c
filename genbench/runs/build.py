"""From a checked configuration to its data and its model."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from genbench.capabilities import Tokenizes
from genbench.config.class_paths import injected_specs
from genbench.config.config import Config
from genbench.config.instantiate import instantiate
from genbench.config.keys import changes
from genbench.config.recipe import train_command
from genbench.config.tree import one_line
from genbench.data.images import ImageData
from genbench.errors import InputError
from genbench.model import GenerativeModel
from genbench.runs.find import find_run, run_folder
from genbench.runs.folder import Run
from genbench.runs.weights import load_weights
from genbench.spec import Spec
from genbench.system.discover import leaf_classes

__all__ = ["Loaded", "build", "load", "load_needed", "needed_facts"]


def build(config: Config) -> tuple[ImageData, GenerativeModel]:
    """The data module and the model of a configuration.

    The initial weights are a function of the seed alone. The model loads the runs that it needs
    when it first asks for them, not before.

    Args:
        config: A checked configuration.

    Returns:
        The data module, whose images are not read yet, and the model, on the CPU.

    Raises:
        InputError: A class refuses its arguments, or the needed runs are not those that the model
            learns from.
    """
    needed = {name: build(other)[1] for name, other in config.needs.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        data = instantiate(ImageData, config.resolved["data"])
        specs = {"spec": data.spec, **codes_of_needed(config, needed)}
        injected = {name: dataclasses.asdict(spec) for name, spec in specs.items()}
        model = instantiate(GenerativeModel, {**config.resolved["model"], **injected})
        try:
            model.configure_optimizers()
        except ValueError as error:
            raise InputError(f"model.optimizer: {one_line(str(error))}") from None
    model.optimization = config.optimization
    model.budget = config.budget.images
    data.seed = config.seed
    data.budget = config.budget.images
    check_needs(model, needed)
    model.provide({name: partial(load_needed, config, name, data.name) for name in config.needs})
    return data, model


def codes_of_needed(config: Config, needed: dict[str, GenerativeModel]) -> dict[str, Spec]:
    """The argument `codes` of a model over the codes of a run that it needs.

    Args:
        config: The configuration of that model.
        needed: Models of the needed runs, whatever their weights.

    Raises:
        InputError: None of them has codes.
    """
    if "codes" not in injected_specs(config.resolved["model"]["class_path"]):
        return {}
    for model in needed.values():
        if isinstance(model, Tokenizes):
            return {"codes": model.codes}
    kind = config.resolved["model"]["class_path"].rpartition(".")[2]
    named = ", ".join(f"{name} (a {type(model).__name__})" for name, model in needed.items())
    raise InputError(
        f"model: this {kind} learns from a finished run that has codes: needs.tokenizer names its "
        f"recipe, such as digits/vqvae; needed here: {named or 'none'}"
    )


def check_needs(model: GenerativeModel, needed: dict[str, GenerativeModel]) -> None:
    """Compare the finished runs that a model asks for with those that its configuration names.

    Args:
        model: `model.needs` maps names to what the models of those runs must offer.
        needed: Models of the runs that the configuration names, whatever their weights.

    Raises:
        InputError: A run is missing, unasked for, or its model does not offer it.
    """
    kind = type(model).__name__
    for name in sorted(model.needs.keys() ^ needed.keys()):
        if name in model.needs:
            raise InputError(
                f"model: this {kind} learns from a finished run: needs.{name} names its recipe"
            )
        teachers = " and ".join(model.needs) or "no other run"
        raise InputError(f"needs.{name}: this {kind} learns from {teachers}")
    for name, offering in needed.items():
        capability = model.needs[name]
        if not isinstance(offering, capability):
            raise InputError(
                f"needs.{name} is a {type(offering).__name__}; {kind} learns from a model that "
                f"{capability.__name__.lower()} ({', '.join(models_that_offer(capability))})"
            )


def models_that_offer(capability: type) -> list[str]:
    """The models of genbench with every method and property of a capability.

    Examples:
        >>> models_that_offer(Tokenizes)
        ['VQVAE']
    """
    members = {name for name in vars(capability) if not name.startswith("_")}
    paths = leaf_classes("models", "GenerativeModel")
    return [
        name
        for module, _, name in sorted(path.rpartition(".") for path in paths)
        if members <= set(dir(getattr(importlib.import_module(module), name)))
    ]


class Loaded(NamedTuple):
    """A finished run, ready to be measured.

    Attributes:
        run: Its folder.
        config: Its configuration.
        data: Its images.
        model: Its model with the recorded weights, in evaluation mode.
    """

    run: Run
    config: Config
    data: ImageData
    model: GenerativeModel


def open_run(name: str | Path | Run, trust: Sequence[str] = (), device: str = "cpu") -> Loaded:
    """Open a finished run: its model with the recorded weights, and its data.

    Args:
        name: A run folder, or its path or name as of `find_run`.
        trust: Modules outside genbench that its configuration may name.
        device: Where the model goes.

    Raises:
        InputError: There is no such run, it is not finished, or its weights are damaged.
    """
    run = name if isinstance(name, Run) else find_run(name)
    run.refuse_links()
    state = run.state()
    status = state["status"]
    if status != "done":
        raise InputError(
            f"{run.path} is not finished (status: {status or 'not started'}); "
            "train it first with the same command"
        )
    from genbench.runs.checkpoint import largest_count

    config = run.recorded_config(trust)
    data, model = build(config)
    run.check_data(data)
    budget = config.budget.images
    seen = largest_count(budget, data.batch_size) if model.players() else 0
    if state["images_seen"] != seen:
        raise InputError(
            f"{run.path / 'state.json'} says {state['images_seen']:,} images, where a budget of "
            f"{budget:,} in batches of {data.batch_size} makes {seen:,}; remove it, and the same "
            "genbench train goes on from the checkpoint"
        )
    load_weights(model, run.weights, state["weights_hash"])
    return Loaded(run, config, data, model.eval().to(device))


def load(run: str | Path, trust: Sequence[str] = (), device: str = "cpu") -> GenerativeModel:
    """The model of a finished run with its recorded weights, in evaluation mode.

    Args:
        run: Path or name of the run folder.
        trust: Modules outside genbench that its configuration may name.
        device: Where the model goes.

    Raises:
        InputError: There is no such run, it is not finished, or its weights are damaged.
    """
    return open_run(run, trust, device).model


def load_needed(config: Config, name: str, dataset: str) -> GenerativeModel:
    """The model of a needed run, with its recorded weights.

    Args:
        config: The configuration of the run that needs it.
        name: A key of `config.needs`.
        dataset: Name of the data.

    Raises:
        InputError: The needed run is missing, not finished or of another configuration. The line
            has the command that trains it.
    """
    needed = config.needs[name]
    run = run_folder(needed, dataset)
    where = f"needs.{name}, {run.path}"
    status = run.state()["status"]
    if status == "diverged":
        raise InputError(f"{where}: it diverged, which is final; another seed is another run")
    finished = run.is_done(0)
    hint = ""
    if (run.path / "config.yaml").exists():
        begun = run.config(config.trust)
        differences = changes(begun.resolved, needed.resolved)
        if differences:
            raise InputError(
                f"{where}: it is another run: {'; '.join(differences)}; "
                f"name its folder by --needs.{name}.run_dir="
            )
        if finished and begun.budget != needed.budget:
            finished = False
            hint = f"; or take it as it is: --needs.{name}.budget.images={begun.budget.images}"
    if not finished:
        progress = "not begun"
        if status:
            progress = f"{status}, {run.state()['images_seen']:,} images"
        command = train_command(config, name)
        raise InputError(f"{where}: it is not finished ({progress}); first: {command}{hint}")
    return open_run(run, config.trust).model


def needed_facts(config: Config, dataset: str) -> dict[str, dict[str, Any]]:
    """What state.json and records note of needed runs: which they are, and what they cost.

    Args:
        config: The configuration of the run that needs them.
        dataset: Name of the data.

    Returns:
        The fields of `genbench.records.parts.Need` by the name of the needed run. A run that a
        teacher needed in its turn stands under `teacher.teacher`.
    """
    facts: dict[str, dict[str, Any]] = {}
    for name, needed in config.needs.items():
        state = run_folder(needed, dataset).state()
        facts[name] = {
            "config_hash": needed.hash,
            "weights_hash": state["weights_hash"],
            "images_seen": state["images_seen"] + state["finalize_images"],
            "train_seconds": round(state["seconds"], 1),
        }
        facts |= {f"{name}.{key}": value for key, value in state["needs"].items()}
    return facts
