"""What happens around the training step: averaging, counting, logging, previews, checkpoints,
stopping. All cadences are in images.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, distributed

from genbench.batch import Batch
from genbench.errors import Stopped
from genbench.model import GenerativeModel
from genbench.runs.folder import Run
from genbench.runs.origin import Origin
from genbench.steps import Losses
from genbench.training.ema import EMA
from genbench.training.stop import StopRequest

__all__ = ["Keeper", "Restore", "crossed"]


class Keeper(Callback):
    """Logs, watches for divergence, writes checkpoints, and stops the loop when asked."""

    # a signal to any rank must reach all: looking at every batch would cost a collective each
    _AGREE_EVERY = 16

    def __init__(
        self,
        run: Run,
        origin: Origin,
        device: str,
        ema: EMA,
        log_every: int,
        checkpoint_every: int,
        report: Callable[[int, float | None], None],
    ) -> None:
        self.run = run
        self.ema = ema
        self.stop = StopRequest()
        self.report = report
        self.origin = origin
        self.device = device
        self.log_every = log_every
        self.checkpoint_every = checkpoint_every
        self.seconds = 0.0
        self.diverged_at: int | None = None
        self.place: tuple[int, int] | None = None
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._first_bad: Tensor | None = None
        self._clock = 0.0

    def begin(self, trainer: Trainer, model: GenerativeModel, state: dict[str, Any] | None) -> None:
        """Fresh, or as a checkpoint left it."""
        self._clock = time.perf_counter()
        self._first_bad = torch.full((), -1, dtype=torch.int64, device=model.device)
        if state is not None:
            self.seconds = state["seconds"]
            self._sums = {name: value.to(model.device) for name, value in state["sums"].items()}
            self._counts = dict(state["counts"])

    def on_train_batch_end(
        self, trainer: Trainer, model: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        assert isinstance(model, GenerativeModel)
        images = len(batch.x) * trainer.world_size
        before = model.images_seen - images
        now = model.images_seen
        self._note(outputs, before)
        last = now >= trainer.datamodule.budget  # type: ignore[attr-defined]
        if crossed(before, now, self.log_every) or last:
            self._log(trainer, now)
        if crossed(before, now, self.checkpoint_every) or last:
            self.checkpoint(trainer, model)
        if (
            (now // images) % (1 if trainer.world_size == 1 else self._AGREE_EVERY) == 0
            and self.stop.agreed(trainer)
            and not last
        ):
            self.checkpoint(trainer, model)
            trainer.should_stop = True

    def _note(self, losses: Losses, images: int) -> None:
        """Add up on the device; remember the first image count whose loss was not finite, without
        waiting for the device.
        """
        for name, value in losses.items():
            self._sums[name] = (
                self._sums[name] + value if name in self._sums else value.detach().clone()
            )
            self._counts[name] = self._counts.get(name, 0) + 1
            if name.endswith("loss"):
                assert self._first_bad is not None
                bad = ~torch.isfinite(value) & (self._first_bad < 0)
                self._first_bad = torch.where(bad, images, self._first_bad)

    def _check(self, trainer: Trainer) -> None:
        """Stop everywhere if a loss was not finite anywhere, or if the weights are not."""
        assert self._first_bad is not None
        first = self._first_bad.clone()
        model = trainer.lightning_module
        assert isinstance(model, GenerativeModel)
        finite = torch.stack([torch.isfinite(p).all() for p in model.parameters()]).all()
        first = torch.where((first < 0) & ~finite, model.images_seen, first)
        if trainer.world_size > 1:
            distributed.all_reduce(first, op=distributed.ReduceOp.MAX)
        if int(first) >= 0:
            self.diverged_at = int(first)
            raise FloatingPointError

    def check_place(self) -> None:
        """Stop where the run's folder was moved away or removed: what is written now would be
        another, without its beginning.

        Raises:
            Stopped: The same command goes on once the folder is back.
        """
        if self.place is not None and self.run.place() != self.place:
            raise Stopped(
                f"{self.run.path} is no longer the folder that training began in: it was moved away or removed; "
                "put it back, or name its new place as run_dir, and the same command goes on from its last checkpoint"
            )

    def _log(self, trainer: Trainer, images: int) -> None:
        self._check(trainer)
        self.check_place()
        names = sorted(self._sums)
        means = torch.stack(
            [self._sums[name].double().cpu() / self._counts[name] for name in names]
        )
        if trainer.world_size > 1:
            on_device = means.to(trainer.strategy.root_device)
            distributed.all_reduce(on_device)
            means = (on_device / trainer.world_size).cpu()
        self._tick()
        values = dict(zip(names, means.tolist()))
        for logger in trainer.loggers:
            logger.log_metrics({"seconds": round(self.seconds, 3), **values}, step=images)
        self.report(images, next((v for name, v in values.items() if name.endswith("loss")), None))
        self._sums = {}
        self._counts = {}

    def _tick(self) -> None:
        now = time.perf_counter()
        self.seconds = self.seconds + now - self._clock
        self._clock = now

    def checkpoint(self, trainer: Trainer, model: GenerativeModel) -> None:
        """Everything that the rest of the run depends on, written by one process."""
        self._check(trainer)
        self._tick()
        self.check_place()
        if trainer.is_global_zero:
            state = {
                **self.origin.in_checkpoint,
                "images_seen": model.images_seen,
                "model": model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
                "ema": self.ema.average,
                "keeper": {"seconds": self.seconds, "sums": self._sums, "counts": self._counts},
            }
            self.run.save_checkpoint(state, model.images_seen)
            self.run.write_state(
                **self.origin.in_state,
                status="running",
                images_seen=model.images_seen,
                seconds=self.seconds,
                device=self.device,
            )


class Restore(Callback):
    """Once the model is on its device and the optimizers exist: bring them, the average and the
    counters to a checkpoint.
    """

    def __init__(self, state: dict[str, Any] | None, ema: EMA, keeper: Keeper) -> None:
        self.state = state
        self.ema = ema
        self.keeper = keeper

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        assert isinstance(model, GenerativeModel)
        state = self.state or {"ema": None, "keeper": None}
        if self.state is not None:
            for optimizer, saved in zip(trainer.optimizers, self.state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        self.ema.begin(model, state["ema"])
        self.keeper.begin(trainer, model, state["keeper"])
        self.state = None


def crossed(before: int, now: int, every: int) -> bool:
    return now // every > before // every
