"""Checkpoints: when they are written, what they hold, and how training goes on from one."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from genbench.batch import Batch
from genbench.model import GenerativeModel
from genbench.training.cadence import crossed
from genbench.training.divergence import DivergenceCheck
from genbench.training.ema import EMA
from genbench.training.folder_watch import FolderWatch
from genbench.training.metrics_logger import MetricsLogger
from genbench.training.state_writer import StateWriter
from genbench.training.stop import StopRequest

__all__ = ["Checkpointer", "Restore"]


class Checkpointer(Callback):
    """Writes a checkpoint now and then, at the end, and before it stops the loop when asked to.

    Args:
        writer: Writes state.json beside each checkpoint.
        ema: The moving averages, which a checkpoint holds.
        metrics: The counters, which a checkpoint holds.
        divergence: Checks the losses before anything is saved.
        folder: Checks that the run folder is still there before anything is saved.
        every: Images from one checkpoint to the next.
    """

    # All processes agree once in this many batches whether any of them was asked to stop, since
    # each time costs a collective operation.
    AGREE_EVERY = 16

    def __init__(
        self,
        writer: StateWriter,
        ema: EMA,
        metrics: MetricsLogger,
        divergence: DivergenceCheck,
        folder: FolderWatch,
        every: int,
    ) -> None:
        self.writer = writer
        self.ema = ema
        self.metrics = metrics
        self.divergence = divergence
        self.folder = folder
        self.every = every
        self.stop = StopRequest()

    def on_train_batch_end(
        self, trainer: Trainer, model: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Write a checkpoint if one is due, and stop the loop if any process was asked to."""
        assert isinstance(model, GenerativeModel)
        images = len(batch.x) * trainer.world_size
        now = model.images_seen
        last = now >= trainer.datamodule.budget  # type: ignore[attr-defined]
        if crossed(now - images, now, self.every) or last:
            self.save(trainer, model)
        agree_every = 1 if trainer.world_size == 1 else self.AGREE_EVERY
        look = (now // images) % agree_every == 0
        if look and self.stop.agreed(trainer) and not last:
            self.save(trainer, model)
            trainer.should_stop = True

    def save(self, trainer: Trainer, model: GenerativeModel) -> None:
        """Write everything that the rest of the run depends on, by the first process.

        Args:
            trainer: Has the optimizers and knows the processes.
            model: The model that is trained.

        Raises:
            FloatingPointError: A loss or a weight is not finite.
            Stopped: The run folder was moved away or removed.
        """
        self.divergence.check(trainer)
        self.metrics.tick()
        self.folder.check()
        if trainer.is_global_zero:
            state = {
                **self.writer.origin.in_checkpoint,
                "images_seen": model.images_seen,
                "model": model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
                "ema": self.ema.average,
                "keeper": self.metrics.state(),
            }
            self.writer.run.save_checkpoint(state, model.images_seen)
            self.writer.write("running", model.images_seen, self.metrics.seconds)


class Restore(Callback):
    """Brings optimizers, moving averages and counters to a checkpoint.

    This is done when training starts: the model is then on its device, and the optimizers exist.

    Args:
        state: Content of the checkpoint; None for a new run.
        ema: The moving averages.
        divergence: The check of the losses, which begins anew.
        metrics: The counters.
    """

    def __init__(
        self,
        state: dict[str, Any] | None,
        ema: EMA,
        divergence: DivergenceCheck,
        metrics: MetricsLogger,
    ) -> None:
        self.state = state
        self.ema = ema
        self.divergence = divergence
        self.metrics = metrics

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        """Load the states, and begin averages and counters."""
        assert isinstance(model, GenerativeModel)
        state = self.state or {"optimizers": None, "ema": None, "keeper": None}
        if state["optimizers"] is not None:
            for optimizer, saved in zip(trainer.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        self.ema.begin(model, state["ema"])
        self.divergence.begin(model)
        self.metrics.begin(model, state["keeper"])
        self.state = None  # Its tensors are needed no more.
