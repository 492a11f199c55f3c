"""From a configuration to a finished run folder.

The same command again goes on where the last one stopped.
"""

from __future__ import annotations

import contextlib

from lightning.pytorch import Trainer

from genbench.batch import image_buffers
from genbench.config.config import Config
from genbench.data.images import ImageData
from genbench.errors import InputError, Stopped
from genbench.model import GenerativeModel
from genbench.runs.build import build, build_model
from genbench.runs.find import run_folder
from genbench.runs.folder import Run
from genbench.system.launch import is_primary
from genbench.system.lock import lock
from genbench.system.processes import stop_if_process_lost
from genbench.tracking.metrics_file import MetricsFile
from genbench.tracking.wandb_log import WandbLog
from genbench.training.begin import (
    begin,
    check_folder,
    find_needed,
    find_origin,
    restore_model,
)
from genbench.training.callbacks import make_callbacks
from genbench.training.finish import finish, note_divergence
from genbench.training.log_file import log_to_file
from genbench.training.metrics_logger import Report
from genbench.training.precision import prepare_nets
from genbench.training.state_writer import StateWriter
from genbench.training.trainer import (
    check_devices,
    devices_name,
    finalize_device,
    make_trainer,
)

__all__ = ["check_fit", "train"]


def train(
    config: Config, report: Report = lambda images, loss: None, suite: str | None = None
) -> Run:
    """Train a run to the end of its budget, from wherever it stands.

    Args:
        config: What to train.
        report: Called with (images seen, loss) at every log point.
        suite: Name of the suite that asks; a tag on wandb.

    Returns:
        The finished run. Nothing is done for a run that was finished before.

    Raises:
        InputError: The folder holds a run of another configuration, a run that this one needs is
            not finished, or the layout does not fit.
        Stopped: Interrupted, disk full, or the folder is in use; the same command resumes.
        Diverged: The loss became NaN or infinite, which is final.
    """
    data, model = build(config)
    # A model without players does everything in `finalize`.
    budget = config.budget.images if model.players() else 0
    run = run_folder(config, data.name)
    check_fit(config, data, model)
    check_devices(config.trainer)
    run.refuse_links()
    # The next two lines raise an error before anything is written, where something is missing.
    find_needed(run, config, data, budget)
    _ = data.folder
    with (
        lock(run.path) if is_primary() else contextlib.nullcontext(),
        log_to_file(run.path / "log.txt"),
    ):
        # The run is looked at once more, since another process may have changed the folder before
        # the lock was taken.
        done = run.is_done(budget)
        needed = find_needed(run, config, data, budget)
        origin = find_origin(run, config, data, budget)
        checkpoint = check_folder(run, origin, data, model, done)
        writer = StateWriter(run, origin, devices_name(config.trainer))
        begin(writer, done)
        if done:
            return run
        if needed:
            model = build_model(config, data, needed)
        loggers = [MetricsFile(run.metrics), WandbLog(config, run.path, data.name, suite)]
        prepare_nets(model, config.trainer)
        model.micro_batches = config.trainer.accumulate
        restore_model(run, model, checkpoint)
        callbacks = make_callbacks(writer, checkpoint, report)
        del checkpoint  # Nothing holds its tensors while training runs.
        trainer = make_trainer(config, run, list(callbacks), loggers)
        stop = callbacks.checkpointer.stop
        metrics = callbacks.metrics
        stop.listen()
        try:
            if budget:
                _fit(trainer, model, data, run)
        except FloatingPointError:
            diverged_at = callbacks.divergence.diverged_at or 0
            raise note_divergence(writer, diverged_at, metrics.seconds) from None
        finally:
            stop.release()
            for logger in loggers:
                logger.finalize("success")
        callbacks.checkpointer.folder.check()
        if model.images_seen < budget:
            if is_primary():
                writer.write("stopped", model.images_seen, metrics.seconds)
            raise Stopped(
                f"stopped at image {model.images_seen:,} of {budget:,}; "
                "the same command goes on from there"
            )
        stop.listen()  # A signal does not interrupt `finalize`, only what follows it.
        try:
            finish(writer, data, model, callbacks, finalize_device(config.trainer))
        finally:
            stop.release()
        if stop.signal is not None:
            raise Stopped(
                f"stopped, when {run.path} was done; the same command goes on with what is left"
            )
    return run


def _fit(trainer: Trainer, model: GenerativeModel, data: ImageData, run: Run) -> None:
    """Run the training loop until the budget, a divergence or a request to stop."""
    try:
        with stop_if_process_lost(str(run.path)):
            trainer.fit(model, datamodule=data, weights_only=True)
    except SystemExit:
        # Lightning answers so to an interrupt before the first batch.
        raise KeyboardInterrupt from None


def check_fit(config: Config, data: ImageData, model: GenerativeModel) -> None:
    """Check what must fit together on any machine.

    Args:
        config: What is trained.
        data: The images of the run.
        model: The model of the run.

    Raises:
        InputError: There is nothing to train on, the schedule of the learning rate does not fit the
            budget, a batch cannot be dealt to the processes or split into parts, or the model
            cannot be compiled.
    """
    if config.trainer.compile and model.second_derivatives:
        raise InputError(
            "trainer.compile is false for a loss with second derivatives, "
            "which compiled networks do not have"
        )
    if model.players() and not config.budget.images:
        raise InputError("budget.images is at least 1 for a model that learns by gradients, not 0")
    schedule = config.optimization.schedule
    if model.players() and schedule is not None:
        try:
            schedule.check_budget(config.budget.images)
        except ValueError as error:
            raise InputError(f"optimization.schedule: {error}") from None
    processes = config.trainer.devices * config.trainer.num_nodes
    parts = config.trainer.accumulate
    if data.batch_size % processes:
        raise InputError(
            f"data.batch_size {data.batch_size} is over all processes and must be divisible by "
            f"their number, {processes}"
        )
    if data.batch_size // processes % parts:
        raise InputError(
            f"trainer.accumulate is {parts}, which does not divide the "
            f"{data.batch_size // processes} images that a process has of each batch"
        )
    for buffer in image_buffers(model):
        if len(buffer.rows) < data.batch_size:
            raise InputError(
                f"data.batch_size is {data.batch_size}, but this model keeps the state of "
                f"{len(buffer.rows)} images: right are at least as many as a batch has"
            )
    if model.batch_coupled and parts > 1:
        raise InputError(
            f"trainer.accumulate is {parts}, but this loss couples the images of a batch: "
            "its parts are another loss; right is 1"
        )
    if model.batch_coupled and not model.gathers_batch and processes > 1:
        raise InputError(
            f"trainer.devices and trainer.num_nodes ask for {processes} processes, but this loss "
            "couples the images of a batch: their shares of it are another loss; "
            "right is one process"
        )
