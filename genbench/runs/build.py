"""From a checked configuration to its data and its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from genbench.config.class_paths import named_class, needs_of
from genbench.config.config import Config
from genbench.config.instantiate import instantiate
from genbench.config.keys import changes
from genbench.config.recipe import train_command
from genbench.data.images import ImageData
from genbench.errors import InputError
from genbench.model import GenerativeModel
from genbench.runs.batch_norms import check_batch_norms
from genbench.runs.checkpoint_files import newest_contents
from genbench.runs.find import find_run, run_folder
from genbench.runs.folder import Run
from genbench.runs.needs import check_needs
from genbench.runs.trial import check_evaluations
from genbench.runs.weights import load_weights

__all__ = [
    "Loaded",
    "build",
    "build_data",
    "build_model",
    "load",
    "load_needs",
    "measured_config",
    "needed_facts",
    "open_run",
]


def build(config: Config) -> tuple[ImageData, GenerativeModel]:
    """The data module and the model of a configuration, without a look at any run.

    The needed runs' models have their initial weights, as if nothing had been trained: what the
    model is can be asked, and its arguments are checked. Training and measuring take the recorded
    weights (`load_needs`, `open_run`).

    Args:
        config: A checked configuration.

    Returns:
        The data module, whose images are not read yet, and the model, on the CPU.

    Raises:
        InputError: A class refuses its arguments, the model refuses an option of an evaluation, or
            the needed runs are not those that the model learns from.
    """
    data = build_data(config)
    model = build_model(config, data, untrained_needs(config))
    check_evaluations(config, model)
    return data, model


def build_data(config: Config) -> ImageData:
    """The data module of a configuration. Its images are not read yet.

    Args:
        config: A checked configuration.

    Raises:
        InputError: A class refuses its arguments, or declares no name or no spec.
    """
    try:
        data: ImageData = instantiate(ImageData, config.resolved["data"], key="data")
        data.check_declared()
    except InputError as error:
        raise InputError(f"{config.origin}: {error}") from None
    data.seed = config.seed
    data.budget = config.budget.images
    return data


def build_model(
    config: Config, data: ImageData, needed: Mapping[str, GenerativeModel]
) -> GenerativeModel:
    """The model of a configuration. Its initial weights are a function of the seed, and of the
    needed runs where its constructor looks at their weights.

    Args:
        config: A checked configuration.
        data: Its data module.
        needed: The models of the needed runs by name, which are frozen: in evaluation mode, their
            parameters without gradients.

    Returns:
        The model, on the CPU.

    Raises:
        InputError: A class refuses its arguments, or the needed runs are not those that the model
            learns from.
    """
    class_path = config.resolved["model"]["class_path"]
    check_needs(class_path, needed)
    for finished in needed.values():
        finished.eval().requires_grad_(False)
    absent = dict.fromkeys(needs_of(class_path))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        try:
            model = instantiate(
                GenerativeModel,
                config.resolved["model"],
                {"spec": data.spec, **absent, **needed},
                "model",
            )
            model.configure_optimizers()
            check_batch_norms(model)
        except InputError as error:
            raise InputError(f"{config.origin}: {error}") from None
    model.optimization = config.optimization
    model.budget = config.budget.images
    return model


def untrained_needs(config: Config) -> dict[str, GenerativeModel]:
    """The models of the needed runs with their initial weights, by name.

    Args:
        config: The configuration of the model that needs them.
    """
    return {name: build(needed)[1] for name, needed in config.needs.items()}


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

    checkpoint = newest_contents(run.checkpoints)
    config = measured_config(run, checkpoint, trust)
    data = build_data(config)
    run.check_data(data)
    model = _measured_model(run, config, data)
    budget = config.budget.images
    seen = largest_count(budget, data.batch_size) if model.players() else 0
    if state["images_seen"] != seen:
        raise InputError(
            f"{run.path / 'state.json'} says {state['images_seen']:,} images, where a budget of "
            f"{budget:,} in batches of {data.batch_size} makes {seen:,}; remove it, and the same "
            "genbench train goes on from the checkpoint"
        )
    if checkpoint is not None and checkpoint["images_seen"] != seen:
        raise InputError(
            f"{run.path / 'state.json'} says {seen:,} images, but the newest of "
            f"{run.checkpoints} has seen {checkpoint['images_seen']:,}; restore it"
        )
    # Nothing holds the checkpoint's tensors while the run is measured.
    del checkpoint
    load_weights(model, run.weights, state["weights_hash"])
    return Loaded(run, config, data, model.eval().to(device))


def measured_config(
    run: Run, checkpoint: dict[str, Any] | None, trust: Sequence[str] = ()
) -> Config:
    """The configuration that a run is measured by: config.yaml, which must be what state.json and
    a checkpoint note.

    Without checkpoints, which may be removed after training, and beside those of versions that
    noted nothing, state.json alone is asked.

    Args:
        run: The run folder.
        checkpoint: Content of its newest checkpoint; None where there is none.
        trust: Modules outside genbench that its configuration may name.

    Raises:
        InputError: The files differ; the line names what does.
    """
    from genbench.runs.checkpoint import check_noted

    config = run.recorded_config(trust)
    try:
        check_noted(checkpoint or {}, config)
    except (InputError, ValueError) as error:
        reason = str(error).removesuffix("; train with that one")
        raise InputError(
            f"{run.checkpoints}: the newest is {reason}; config.yaml and state.json were "
            "changed since training wrote them: restore them"
        ) from None
    return config


def _measured_model(run: Run, config: Config, data: ImageData) -> GenerativeModel:
    """The model of a finished run, with its initial weights and the needed runs that it is measured
    with.

    Those that training alone used may be gone: in their place are models without weights, which
    refuse to compute.
    """
    needed = untrained_needs(config)
    unused = set(named_class(config.resolved["model"]["class_path"]).training_needs)
    used = needed.keys() - unused
    needed |= {name: load_needed(config, name, data.name) for name in used}
    facts = needed_facts(config, data.name)
    run.check_needs({name: facts[name] for name in used})
    model = build_model(config, data, needed)
    for name in needed.keys() - used:
        needed[name].to("meta")
    return model


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


def load_needs(config: Config, dataset: str) -> dict[str, GenerativeModel]:
    """The models of the needed runs, with their recorded weights, by name.

    Args:
        config: The configuration of the run that needs them.
        dataset: Name of the data.

    Raises:
        InputError: A needed run is missing, not finished or of another configuration. The line has
            the command that trains it.
    """
    return {name: load_needed(config, name, dataset) for name in config.needs}


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
