"""The beginning of a training: a new run folder, or one that it goes on in."""

from __future__ import annotations

import logging
from typing import Any

from genbench.config.config import Config
from genbench.config.keys import changes
from genbench.data.images import ImageData
from genbench.errors import Diverged, InputError
from genbench.model import GenerativeModel
from genbench.runs.build import load_needs, needed_facts
from genbench.runs.checkpoint import check_checkpoint
from genbench.runs.folder import Run
from genbench.runs.origin import Origin
from genbench.system.launch import is_primary
from genbench.tracking.metrics_file import cut_metrics
from genbench.training.state_writer import StateWriter

__all__ = [
    "begin",
    "check_folder",
    "find_needed",
    "find_origin",
    "newest_checkpoint",
    "restore_model",
]

log = logging.getLogger("genbench")


def find_needed(
    run: Run, config: Config, data: ImageData, budget: int
) -> dict[str, GenerativeModel]:
    """The models of the needed runs, with their recorded weights, by name.

    Args:
        run: The run folder.
        config: What is trained.
        data: The images.
        budget: Images at which the run is finished.

    Returns:
        The models; no model for a run that is finished or diverged, whose needed runs may be gone.

    Raises:
        InputError: A needed run is missing or not finished.
    """
    if run.is_final(budget):
        return {}
    return load_needs(config, data.name)


def find_origin(run: Run, config: Config, data: ImageData, budget: int) -> Origin:
    """Configuration, images and needed runs of a training.

    Those of a run that is finished or diverged are the ones that it has noted.

    Args:
        run: The run folder.
        config: What is trained.
        data: Its images.
        budget: Images at which the run is finished.
    """
    if run.is_final(budget):
        return Origin(config, data.content_hash, run.state()["needs"])
    return Origin(config, data.content_hash, needed_facts(config, data.name))


def check_folder(
    run: Run, origin: Origin, data: ImageData, model: GenerativeModel, done: bool
) -> dict[str, Any] | None:
    """Check, before anything is written, that a folder is one of this origin.

    Args:
        run: The run folder, which may be new.
        origin: Configuration, images and needed runs of the training.
        data: The images.
        model: The model of the run, with any weights.
        done: Whether the run is finished.

    Returns:
        The checkpoint that training goes on from; None for the beginning.

    Raises:
        InputError: The folder or its checkpoint is of another configuration, of other images or of
            another needed run.
    """
    config = origin.config
    state = run.state()
    run.check_config_file()
    begun = run.begun_config(config.trust)
    if begun is not None:
        differences = changes(begun.resolved, config.resolved)
        if begun.name != config.name:
            differences.insert(0, f"the model was {begun.name}, is now {config.name}")
        if differences:
            raise InputError(
                f"{run.path} holds a run of another configuration: {'; '.join(differences)}. "
                "Choose another run_dir"
            )
    run.check_data(data)
    run.check_needs(origin.needs)
    final = done or state["status"] == "diverged"
    if final and state["config"] is not None:
        return None
    checkpoint = newest_checkpoint(run, origin, model, data.batch_size)
    if checkpoint is None or final:
        return checkpoint
    # A checkpoint of a former version is believed where state.json notes its origin.
    missing = [entry for entry in origin.in_checkpoint if checkpoint.get(entry) is None]
    if missing and state["config"] is None:
        raise InputError(
            f"{run.checkpoints}: the newest is of a version that noted no "
            f"{' and no '.join(missing)} in it, and state.json notes none either; "
            "restore state.json, or choose another run_dir"
        )
    return checkpoint


def newest_checkpoint(
    run: Run, origin: Origin, model: GenerativeModel, batch_size: int
) -> dict[str, Any] | None:
    """The newest checkpoint that is whole. Damaged ones are set aside with a warning.

    Args:
        run: The run folder.
        origin: Configuration, images and needed runs that the checkpoint must be of.
        model: The model that it must fit.
        batch_size: Images of a step over all processes.

    Raises:
        InputError: The checkpoint is of another origin or another model.
    """

    def check(content: dict[str, Any]) -> None:
        check_checkpoint(content, origin, model, batch_size)

    try:
        checkpoint, damaged = run.newest_checkpoint(check)
    except InputError as error:
        message = f"{run.checkpoints}: the newest is {error}, or choose another run_dir"
        raise InputError(message) from None
    for line in damaged:
        log.warning(line)
    return checkpoint


def begin(writer: StateWriter, done: bool) -> None:
    """Write config.yaml, and the origin to state.json; status "running" unless the run is finished.

    Args:
        writer: Writes state.json of the run.
        done: Whether the run is finished.

    Raises:
        Diverged: Nothing can be trained further.
    """
    run = writer.run
    config = writer.origin.config
    state = run.state()
    if state["status"] == "diverged":
        if state["config"] is None and is_primary():
            run.note_config(config)
        raise Diverged(
            f"{run.path} diverged at image {state['diverged_at'] or 0:,}; that is final. "
            "Another seed is another run"
        )
    if not is_primary():
        return
    run.sweep()
    # The settings that may change from one command to the next may have changed.
    run.write_config(config)
    if done:
        run.note_config(config)
    else:
        writer.write("running", state["images_seen"], state["seconds"])


def restore_model(run: Run, model: GenerativeModel, checkpoint: dict[str, Any] | None) -> None:
    """Bring the model, its count of images and the metrics file to a checkpoint.

    The optimizers, the moving averages and the counters follow by `Restore`, when they exist.

    Args:
        run: The run folder.
        model: Takes the weights.
        checkpoint: Content of a checkpoint; None for the beginning.
    """
    if checkpoint is not None:
        model.load_state_dict(checkpoint["model"])
        model.resume_at(checkpoint["images_seen"])
    if is_primary():
        run.keep_two()
        cut_metrics(run.metrics, model.images_seen)
