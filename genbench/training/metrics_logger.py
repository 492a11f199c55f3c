"""Mean losses and seconds of training, in the metrics file and on wandb."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, distributed

from genbench.batch import Batch
from genbench.model import GenerativeModel
from genbench.steps import Losses
from genbench.training.cadence import crossed
from genbench.training.divergence import DivergenceCheck
from genbench.training.folder_watch import FolderWatch

__all__ = ["MetricsLogger", "Report"]

Report = Callable[[int, float | None], None]


class MetricsLogger(Callback):
    """Logs each loss as its mean over the batches and processes since the last line.

    Args:
        divergence: Checks the losses before anything is logged.
        folder: Checks that the run folder is still there before anything is logged.
        every: Images from one line to the next.
        report: Called with (images seen, loss) after each line.
    """

    def __init__(
        self, divergence: DivergenceCheck, folder: FolderWatch, every: int, report: Report
    ) -> None:
        self.divergence = divergence
        self.folder = folder
        self.every = every
        self.report = report
        self.seconds = 0.0
        self._clock = 0.0
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def begin(self, model: GenerativeModel, state: dict[str, Any] | None) -> None:
        """Start the clock.

        Args:
            model: The model, on its device.
            state: What `state` gave for a checkpoint; None for a new run.
        """
        self._clock = time.perf_counter()
        if state is not None:
            self.seconds = state["seconds"]
            self._sums = {name: value.to(model.device) for name, value in state["sums"].items()}
            self._counts = dict(state["counts"])

    def tick(self) -> None:
        """Bring `seconds` up to now."""
        now = time.perf_counter()
        self.seconds += now - self._clock
        self._clock = now

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the seconds inside the `with` block: what is measured there is no training."""
        self.tick()
        yield
        self._clock = time.perf_counter()

    def state(self) -> dict[str, Any]:
        """Seconds of training, and the losses since the last line, for a checkpoint."""
        return {"seconds": self.seconds, "sums": self._sums, "counts": self._counts}

    def on_train_batch_end(
        self, trainer: Trainer, model: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Add up the losses on the device, and log their means if that is due."""
        assert isinstance(model, GenerativeModel)
        losses: Losses = outputs
        for name, value in losses.items():
            if name in self._sums:
                self._sums[name] = self._sums[name] + value
            else:
                self._sums[name] = value.detach().clone()
            self._counts[name] = self._counts.get(name, 0) + 1
        now = model.images_seen
        before = now - len(batch.x) * trainer.world_size
        last = now >= trainer.datamodule.budget  # type: ignore[attr-defined]
        if crossed(before, now, self.every) or last:
            self._log(trainer, now)

    def _log(self, trainer: Trainer, images: int) -> None:
        """Write a line to each logger, and begin the next means."""
        self.divergence.check(trainer)
        self.folder.check()
        means = self._means(trainer)
        self.tick()
        for logger in trainer.loggers:
            logger.log_metrics({"seconds": self.seconds, **means}, step=images)
        losses = (value for name, value in means.items() if name.endswith("loss"))
        self.report(images, next(losses, None))
        self._sums = {}
        self._counts = {}

    def _means(self, trainer: Trainer) -> dict[str, float]:
        """The mean of each loss over batches and processes, by its name."""
        names = sorted(self._sums)
        means = torch.stack(
            [self._sums[name].double().cpu() / self._counts[name] for name in names]
        )
        if trainer.world_size > 1:
            on_device = means.to(trainer.strategy.root_device)
            distributed.all_reduce(on_device)
            means = (on_device / trainer.world_size).cpu()
        return dict(zip(names, means.tolist()))
