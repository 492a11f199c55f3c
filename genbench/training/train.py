"""From a configuration to a finished run folder.

The same command again goes on where the last one stopped.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.strategies import DDPStrategy

from genbench.config.config import Config
from genbench.config.keys import changes
from genbench.data.images import ImageData
from genbench.errors import Diverged, InputError, Stopped
from genbench.metrics.speed import device_name
from genbench.model import GenerativeModel
from genbench.rng import Rng
from genbench.runs.build import build, needed_facts
from genbench.runs.checkpoint import check_checkpoint
from genbench.runs.folder import Run, run_folder
from genbench.runs.origin import Origin
from genbench.runs.weights import save_weights
from genbench.system.files import file_digest
from genbench.system.launch import check_layout, is_primary, taken_for_slurm
from genbench.system.lock import lock
from genbench.system.processes import end_with_lost_process, stop_if_process_lost
from genbench.tracking.metrics_file import MetricsFile, cut_metrics
from genbench.tracking.wandb_log import WandbLog
from genbench.training.ema import EMA, evaluation_mode
from genbench.training.keeper import Keeper, Restore
from genbench.training.log_file import log_to_file
from genbench.training.precision import prepare_nets
from genbench.training.preview import Preview

__all__ = ["check_fit", "train"]

log = logging.getLogger("genbench")
Report = Callable[[int, float | None], None]


def check_fit(config: Config, data: ImageData, model: GenerativeModel) -> None:
    """What must fit together on whatever machine the run is trained.

    Raises:
        InputError: There is nothing to train on, a batch cannot be dealt to the processes or split
            into parts, or the model cannot be compiled.
    """
    if config.trainer.compile and model.second_derivatives:
        raise InputError(
            "trainer.compile is false for a loss with second derivatives, which compiled networks do not have"
        )
    if model.players() and not config.budget.images:
        raise InputError("budget.images is at least 1 for a model that learns by gradients, not 0")
    processes = config.trainer.devices * config.trainer.num_nodes
    parts = config.trainer.accumulate
    if data.batch_size % processes:
        raise InputError(
            f"data.batch_size {data.batch_size} is over all processes and must be divisible by their number, {processes}"
        )
    if data.batch_size // processes % parts:
        raise InputError(
            f"trainer.accumulate is {parts}, which does not divide the {data.batch_size // processes} images "
            "that a process has of each batch"
        )
    if model.batch_coupled and parts > 1:
        raise InputError(
            f"trainer.accumulate is {parts}, but this loss couples the images of a batch: its parts are another loss; right is 1"
        )
    if model.batch_coupled and not model.gathers_batch and processes > 1:
        raise InputError(
            f"trainer.devices and trainer.num_nodes ask for {processes} processes, but this loss couples the images of a batch: "
            "their shares of it are another loss; right is one process"
        )


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
        Diverged: The loss became NaN or infinite. Final.
    """
    data, model = build(config)
    # a model without players does everything in `finalize`
    budget = config.budget.images if model.players() else 0
    run = run_folder(config, data.name)
    check_fit(config, data, model)
    _check_layout(config)
    run.refuse_links()
    _origin(run, config, data, model, budget)  # refuses before anything is written
    with (
        lock(run.path) if is_primary() else contextlib.nullcontext(),
        log_to_file(run.path / "log.txt"),
    ):
        # anew: weights may have vanished since then
        done = run.is_done(budget)
        origin = _origin(run, config, data, model, budget)
        checkpoint = _check_folder(run, origin, data, model, done)
        _begin(run, origin, done)
        if done:
            return run
        callbacks = _callbacks(run, origin, report)
        loggers = [MetricsFile(run.metrics), WandbLog(config, run.path, data.name, suite)]
        prepare_nets(model, config.trainer)
        model.micro_batches = config.trainer.accumulate
        callbacks[-1].place = run.place()
        restore = _restore(run, model, checkpoint, callbacks)
        del checkpoint  # nothing holds its tensors while training runs
        trainer = _trainer(config, run, [restore, *callbacks], loggers)
        callbacks[-1].stop.listen()
        try:
            if budget:
                with stop_if_process_lost(str(run.path)):
                    trainer.fit(model, datamodule=data, weights_only=True)
        except FloatingPointError:
            raise _diverged(run, origin, callbacks[-1]) from None
        except SystemExit:  # Lightning's answer to an interrupt before the first batch
            raise KeyboardInterrupt from None
        finally:
            callbacks[-1].stop.release()
            for logger in loggers:
                logger.finalize("success")
        callbacks[-1].check_place()
        seen = model.images_seen
        seconds = callbacks[-1].seconds
        if seen < budget:
            if is_primary():
                run.write_state(
                    **origin.in_state,
                    status="stopped",
                    images_seen=seen,
                    seconds=seconds,
                    device=_device(config),
                )
            raise Stopped(
                f"stopped at image {seen:,} of {budget:,}; the same command goes on from there"
            )
        callbacks[-1].stop.listen()  # `finalize` is not interrupted, and what follows it is
        try:
            _finish(run, origin, data, model, callbacks)
        finally:
            callbacks[-1].stop.release()
        if callbacks[-1].stop.signal is not None:
            raise Stopped(
                f"stopped, when {run.path} was done; the same command goes on with what is left"
            )
    return run


def _origin(
    run: Run, config: Config, data: ImageData, model: GenerativeModel, budget: int
) -> Origin:
    """Configuration, images and needed runs of a training.

    The needed runs are loaded, unless the run is finished or diverged: then they are those that it
    has noted, which may be gone.

    Raises:
        InputError: A needed run is missing or not finished.
    """
    state = run.state()
    if state["status"] == "diverged" or run.is_done(budget):
        return Origin(config, data.content_hash, state["needs"])
    for name in model.needs:
        model.needed(name)
    return Origin(config, data.content_hash, needed_facts(config, data.name))


def _check_folder(
    run: Run,
    origin: Origin,
    data: ImageData,
    model: GenerativeModel,
    done: bool,
) -> dict[str, Any] | None:
    """Check, before anything is written, that a folder is one of this origin.

    Returns:
        The checkpoint that training goes on from; None for the beginning.

    Raises:
        InputError: The folder or its checkpoint is of another configuration, of other images or of
            another needed run.
    """
    config = origin.config
    state = run.state()
    run.check_config_file()
    old = run.begun_config(config.trust)
    if old is not None:
        differences = changes(old.resolved, config.resolved)
        if old.name != config.name:
            differences.insert(0, f"the model was {old.name}, is now {config.name}")
        if differences:
            raise InputError(
                f"{run.path} holds a run of another configuration: {'; '.join(differences)}. Choose another run_dir"
            )
    run.check_data(data)
    run.check_needs(origin.needs)
    final = done or state["status"] == "diverged"
    if final and state["config"] is not None:
        return None
    checkpoint = _newest_checkpoint(run, origin, model, data.batch_size)
    if checkpoint is None or final:
        return checkpoint
    # one of a former version is believed where state.json notes what it is of
    missing = [entry for entry in origin.in_checkpoint if checkpoint.get(entry) is None]
    if missing and state["config"] is None:
        raise InputError(
            f"{run.checkpoints}: the newest is of a version that noted no {' and no '.join(missing)} "
            "in it, and state.json notes none either; restore state.json, or choose another run_dir"
        )
    return checkpoint


def _newest_checkpoint(
    run: Run,
    origin: Origin,
    model: GenerativeModel,
    batch_size: int,
) -> dict[str, Any] | None:
    """The newest whole checkpoint, which must be one of this origin and this model."""

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


def _begin(
    run: Run,
    origin: Origin,
    done: bool,
) -> None:
    """Note the origin in the folder, and that training runs where it is not done.

    Raises:
        Diverged: Nothing can be trained further.
    """
    config = origin.config
    state = run.state()
    if state["status"] == "diverged":
        if state["config"] is None and is_primary():
            run.note_config(config)
        raise Diverged(
            f"{run.path} diverged at image {state['diverged_at'] or 0:,}; that is final. Another seed is another run"
        )
    if is_primary():
        run.sweep()
        run.write_config(config)  # what may change may have changed
    if done and is_primary():
        run.note_config(config)
    elif is_primary():
        run.write_state(
            **origin.in_state,
            status="running",
            images_seen=state["images_seen"],
            seconds=state["seconds"],
            device=_device(config),
        )


def _callbacks(run: Run, origin: Origin, report: Report) -> tuple[EMA, Preview, Keeper]:
    config = origin.config
    settings = config.trainer
    budget = config.budget.images
    ema = EMA(config.optimization.ema_half_life)
    keeper = Keeper(
        run,
        origin,
        _device(config),
        ema,
        settings.log_every or max(1, budget // 100),
        settings.checkpoint_every or max(1, budget // 10),
        report,
    )
    first = next(iter(config.evaluations.values()))
    return ema, Preview(run, ema, settings.preview_every or max(1, budget // 4), first), keeper


def _trainer(config: Config, run: Run, callbacks: list[Callback], loggers: list[Any]) -> Trainer:
    settings = config.trainer
    several = settings.devices * settings.num_nodes > 1
    if several:
        end_with_lost_process()
    trainer = Trainer(
        accelerator=_accelerator(config),
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        # gradients are reduced in the training step; the reducer of DDP is never armed
        strategy=DDPStrategy(broadcast_buffers=False) if several else "auto",
        callbacks=callbacks,
        logger=loggers,
        # in a job of SLURM, Lightning would load any hpc_ckpt_<n>.ckpt that it finds here, which is
        # the working directory by default
        default_root_dir=run.path / "lightning",
        max_epochs=1,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=False,
        # Lightning's own requeueing saves inside the signal handler and picks up other jobs'
        # checkpoints
        plugins=[SLURMEnvironment(auto_requeue=False)] if taken_for_slurm() else None,
    )
    # a signal is the Keeper's: Lightning's handler raises in mid-loop, and its processes wait for
    # one another, and for their devices,
    # before every batch to learn of it (#21487)
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
    return trainer


def _restore(
    run: Run,
    model: GenerativeModel,
    checkpoint: dict[str, Any] | None,
    callbacks: tuple[EMA, Preview, Keeper],
) -> Restore:
    """Bring model, counters and the metrics file to a checkpoint.

    The optimizers follow when they exist.
    """
    if checkpoint is not None:
        model.load_state_dict(checkpoint["model"])
        model.resume_at(checkpoint["images_seen"])
    if is_primary():
        run.keep_two()
        cut_metrics(run.metrics, model.images_seen)
    return Restore(checkpoint, callbacks[0], callbacks[-1])


def _finish(
    run: Run,
    origin: Origin,
    data: ImageData,
    model: GenerativeModel,
    callbacks: tuple[EMA, Preview, Keeper],
) -> None:
    """The recorded weights: the final averages, after `finalize`."""
    if not is_primary():
        return
    config = origin.config
    ema, _, keeper = callbacks
    model.to("cpu")
    ema.average = [average.cpu() for average in ema.average]
    with ema.applied(model), evaluation_mode(model):
        passes = data.finalize_batches(model)
        start = time.perf_counter()
        model.finalize(passes, Rng(config.seed, [0], model.dtype).split("finalize"))
        finalize_seconds = time.perf_counter() - start
        # the step after the last loss: weights can be finite and worthless
        batch = next(data.batches(0, 1, 0, 1, torch.device("cpu"), model.dtype))
        losses = [player.loss(*batch)["loss"] for player in model.players().values()]
        if not all(torch.isfinite(value).all() for value in (*losses, *model.parameters())):
            keeper.diverged_at = model.images_seen
            raise _diverged(run, origin, keeper)
        keeper.check_place()
        save_weights(model, run.weights)
    run.write_state(
        **origin.in_state,
        status="done",
        images_seen=model.images_seen,
        finalize_images=passes.images,
        seconds=keeper.seconds + finalize_seconds,
        device=_device(config),
        weights_hash=file_digest(run.weights),
    )


def _diverged(run: Run, origin: Origin, keeper: Keeper) -> Diverged:
    at = keeper.diverged_at or 0
    if is_primary():
        run.write_state(
            **origin.in_state,
            status="diverged",
            images_seen=at,
            seconds=keeper.seconds,
            diverged_at=at,
            device=keeper.device,
        )
    return Diverged(
        f"{run.path}: the loss, or the weights after it, are not finite in the batch at image {at:,}; the last good checkpoint is kept"
    )


def _accelerator(config: Config) -> str:
    given = config.trainer.accelerator
    if given != "auto":
        return given
    if torch.cuda.is_available():
        return "cuda"
    return "cpu"


def _device(config: Config) -> str:
    processes = config.trainer.devices * config.trainer.num_nodes
    return f"{f'{processes} x ' if processes > 1 else ''}{device_name(torch.device(_accelerator(config)))}"


def _check_layout(config: Config) -> None:
    check_layout(config.trainer.devices, config.trainer.num_nodes)
    if config.trainer.accelerator == "mps" and not torch.backends.mps.is_available():
        raise InputError(
            "trainer.accelerator is mps, which this machine has not; choose auto, cpu or cuda"
        )
    if config.trainer.accelerator == "cuda" and torch.cuda.device_count() < config.trainer.devices:
        raise InputError(
            f"trainer.devices is {config.trainer.devices}, but this machine has {torch.cuda.device_count()} CUDA devices"
        )
