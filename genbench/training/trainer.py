"""The Lightning trainer: processes, devices, and what of Lightning is switched off."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.strategies import DDPStrategy

from genbench.config.config import Config
from genbench.config.settings import TrainerSettings
from genbench.errors import InputError
from genbench.metrics.speed import device_name
from genbench.runs.folder import Run
from genbench.system.launch import check_layout, taken_for_slurm
from genbench.system.processes import end_with_lost_process

__all__ = ["accelerator", "check_devices", "devices_name", "finalize_device", "make_trainer"]


def make_trainer(
    config: Config, run: Run, callbacks: list[Callback], loggers: list[Any]
) -> Trainer:
    """A trainer for one pass over as many batches as the data module deals.

    Args:
        config: Configuration of the run.
        run: Where Lightning may write.
        callbacks: What happens around the training step, in this order.
        loggers: What each log point is written to.
    """
    settings = config.trainer
    strategy: DDPStrategy | str = "auto"
    if settings.devices * settings.num_nodes > 1:
        end_with_lost_process()
        # Gradients are averaged in the training step, so the reducer of DDP is never armed.
        strategy = DDPStrategy(broadcast_buffers=False)
    plugins: list[Any] = []
    if taken_for_slurm():
        # Lightning's own requeueing saves inside the signal handler, and picks up the checkpoints
        # of other jobs.
        plugins.append(SLURMEnvironment(auto_requeue=False))
    trainer = Trainer(
        accelerator=accelerator(settings),
        devices=settings.devices,
        num_nodes=settings.num_nodes,
        strategy=strategy,
        callbacks=callbacks,
        logger=loggers,
        # In a job of SLURM, Lightning loads any hpc_ckpt_<n>.ckpt that it finds in this folder,
        # which is the working directory by default.
        default_root_dir=run.path / "lightning",
        max_epochs=1,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=False,
        plugins=plugins or None,
    )
    # Signals are handled by `StopRequest`. Lightning's handler raises in mid-loop, and its
    # processes wait for one another, and for their devices, before every batch to learn of a signal
    # (#21487).
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]
    return trainer


def accelerator(settings: TrainerSettings) -> str:
    """The kind of device that trains: cpu, cuda or mps.

    Args:
        settings: `accelerator` is read.
    """
    if settings.accelerator != "auto":
        return settings.accelerator
    if torch.cuda.is_available():
        return "cuda"
    return "cpu"


def finalize_device(settings: TrainerSettings) -> torch.device:
    """The device on which `finalize` computes: that of the first process in training.

    Args:
        settings: Kind of the devices.
    """
    kind = accelerator(settings)
    # On mps there is no float64, in which `finalize` adds up.
    return torch.device("cpu" if kind == "mps" else kind)


def devices_name(settings: TrainerSettings) -> str:
    """The name of the devices that train, for records, such as "2 x NVIDIA H200".

    Args:
        settings: Kind and number of the devices.
    """
    name = device_name(torch.device(accelerator(settings)))
    processes = settings.devices * settings.num_nodes
    if processes > 1:
        return f"{processes} x {name}"
    return name


def check_devices(settings: TrainerSettings) -> None:
    """Compare the devices that are asked for with those of this machine.

    Args:
        settings: Kind and number of the devices.

    Raises:
        InputError: The machine has fewer devices, or another number of processes was started.
    """
    check_layout(settings.devices, settings.num_nodes)
    if settings.accelerator == "mps" and not torch.backends.mps.is_available():
        raise InputError(
            "trainer.accelerator is mps, which this machine has not; choose auto, cpu or cuda"
        )
    if settings.accelerator == "cuda" and torch.cuda.device_count() < settings.devices:
        raise InputError(
            f"trainer.devices is {settings.devices}, but this machine has "
            f"{torch.cuda.device_count()} CUDA devices"
        )
