"""What happens around the training step: averaging, counting, logging, previews, checkpoints, stopping. All cadences are in images."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, distributed

from genbench.config import Config
from genbench.errors import InputError, Stopped
from genbench.likelihood import bits_per_dim
from genbench.loggers import WandbLog
from genbench.model import Batch, GenerativeModel, Losses
from genbench.pictures import save_grid
from genbench.rng import Rng
from genbench.run import Run
from genbench.settings import Evaluation

__all__ = ["EMA", "Keeper", "Preview", "Restore", "StopRequest", "evaluation_mode"]


class EMA(Callback):
    """Moving average of the parameters, with a half-life in images; buffers are taken as they are.

    After n images with a half-life of h, the old average keeps the weight 2^(-n/h). Early on, h is at most a twentieth of the
    images seen, so that the random start is forgotten (Karras et al. 2022, arXiv:2206.00364, appendix F).
    """

    def __init__(self, half_life: int) -> None:
        self.half_life, self.average = half_life, list[Tensor]()
        self._seen = 0

    def begin(self, model: GenerativeModel, state: list[Tensor] | None) -> None:
        """Start from the weights as they are, or go on from a checkpoint."""
        self._seen = model.images_seen
        parameters = list(model.parameters()) if self.half_life else []
        self.average = [p.detach().clone() for p in parameters]
        if state is not None:
            for average, saved in zip(self.average, state, strict=True):
                average.copy_(saved)

    def on_train_batch_end(self, trainer: Trainer, model: LightningModule, *_: Any) -> None:
        assert isinstance(model, GenerativeModel)
        n, self._seen = model.images_seen - self._seen, model.images_seen
        if self.half_life:
            half_life = min(self.half_life, model.images_seen / 20)
            torch._foreach_lerp_(self.average, [p.detach() for p in model.parameters()], 1 - 0.5 ** (n / half_life))

    @contextmanager
    def applied(self, model: GenerativeModel) -> Iterator[None]:
        """The averaged weights inside; the training weights, and the buffers that `finalize` changes, again afterwards."""
        tensors = [p.detach() for p in model.parameters()] if self.half_life else []
        buffers = list(model.buffers())
        before = [tensor.clone() for tensor in (*tensors, *buffers)]
        for tensor, average in zip(tensors, self.average):
            tensor.copy_(average)
        try:
            yield
        finally:
            for tensor, old in zip((*tensors, *buffers), before):
                tensor.copy_(old)


@contextmanager
def evaluation_mode(model: GenerativeModel) -> Iterator[None]:
    """Evaluation mode without gradients inside, training mode again afterwards."""
    training = model.training
    model.eval()
    with torch.no_grad():
        yield
    model.train(training)


class StopRequest:
    """A signal asks, the loop obeys at the next batch: nothing is ever saved inside a handler."""

    _SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def listen(self) -> None:
        """From here on."""
        if threading.current_thread() is threading.main_thread() and not self._before:
            self._before = {number: signal.signal(number, self._handle) for number in self._SIGNALS}

    def release(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, _: Any) -> None:
        if self.signal == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.signal = number

    def agreed(self, trainer: Trainer) -> bool:
        """Whether any process was asked to stop; a collective decision."""
        asked = self.signal is not None
        if trainer.world_size == 1:
            return asked
        flag = torch.tensor(float(asked), device=trainer.strategy.root_device)
        distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
        return bool(flag)


class Keeper(Callback):
    """Logs, watches for divergence, writes checkpoints, and stops the loop when asked."""

    # a signal to any rank must reach all: looking at every batch would cost a collective each
    _AGREE_EVERY = 16

    def __init__(
        self,
        run: Run,
        config: Config,
        ema: EMA,
        log_every: int,
        checkpoint_every: int,
        report: Callable[[int, float | None], None],
    ) -> None:
        self.run, self.ema, self.stop, self.report = run, ema, StopRequest(), report
        self.config = config
        self.log_every, self.checkpoint_every = log_every, checkpoint_every
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

    def on_train_batch_end(self, trainer: Trainer, model: LightningModule, outputs: Any, batch: Batch, batch_idx: int) -> None:
        assert isinstance(model, GenerativeModel)
        images = len(batch.x) * trainer.world_size
        before, now = model.images_seen - images, model.images_seen
        self._note(outputs, before)
        last = now >= trainer.datamodule.budget  # type: ignore[attr-defined]
        if _crossed(before, now, self.log_every) or last:
            self._log(trainer, now)
        if _crossed(before, now, self.checkpoint_every) or last:
            self.checkpoint(trainer, model)
        if (
            (now // images) % (1 if trainer.world_size == 1 else self._AGREE_EVERY) == 0
            and self.stop.agreed(trainer)
            and not last
        ):
            self.checkpoint(trainer, model)
            trainer.should_stop = True

    def _note(self, losses: Losses, images: int) -> None:
        """Add up on the device; remember the first image count whose loss was not finite, without waiting for the device."""
        for name, value in losses.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value.detach().clone()
            self._counts[name] = self._counts.get(name, 0) + 1
            if name.endswith("loss"):
                assert self._first_bad is not None
                bad = ~torch.isfinite(value) & (self._first_bad < 0)
                self._first_bad = torch.where(bad, images, self._first_bad)

    def _check(self, trainer: Trainer) -> None:
        """Stop everywhere if a loss was not finite anywhere, or if the weights are not."""
        assert self._first_bad is not None
        first, model = self._first_bad.clone(), trainer.lightning_module
        assert isinstance(model, GenerativeModel)
        finite = torch.stack([torch.isfinite(p).all() for p in model.parameters()]).all()
        first = torch.where((first < 0) & ~finite, model.images_seen, first)
        if trainer.world_size > 1:
            distributed.all_reduce(first, op=distributed.ReduceOp.MAX)
        if int(first) >= 0:
            self.diverged_at = int(first)
            raise FloatingPointError

    def check_place(self) -> None:
        """Stop where the run's folder was moved away or removed: what is written now would be another, without its beginning.

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
        means = torch.stack([self._sums[name].double().cpu() / self._counts[name] for name in names])
        if trainer.world_size > 1:
            on_device = means.to(trainer.strategy.root_device)
            distributed.all_reduce(on_device)
            means = (on_device / trainer.world_size).cpu()
        self._tick()
        values = dict(zip(names, means.tolist()))
        for logger in trainer.loggers:
            logger.log_metrics({"seconds": round(self.seconds, 3), **values}, step=images)
        self.report(images, next((v for name, v in values.items() if name.endswith("loss")), None))
        self._sums, self._counts = {}, {}

    def _tick(self) -> None:
        now = time.perf_counter()
        self.seconds, self._clock = self.seconds + now - self._clock, now

    def checkpoint(self, trainer: Trainer, model: GenerativeModel) -> None:
        """Everything that the rest of the run depends on, written by one process."""
        self._check(trainer)
        self._tick()
        self.check_place()
        if trainer.is_global_zero:
            state = {
                "config": self.config.decisive,
                "images_seen": model.images_seen,
                "model": model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in trainer.optimizers],
                "ema": self.ema.average,
                "keeper": {"seconds": self.seconds, "sums": self._sums, "counts": self._counts},
            }
            self.run.save_checkpoint(state, model.images_seen)
            self.run.write_state(**{**self.run.state(), "images_seen": model.images_seen, "seconds": self.seconds})


class Restore(Callback):
    """Once the model is on its device and the optimizers exist: bring them, the average and the counters to a checkpoint."""

    def __init__(self, state: dict[str, Any] | None, ema: EMA, keeper: Keeper) -> None:
        self.state, self.ema, self.keeper = state, ema, keeper

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        assert isinstance(model, GenerativeModel)
        state = self.state or {"ema": None, "keeper": None}
        if self.state is not None:
            for optimizer, saved in zip(trainer.optimizers, self.state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        self.ema.begin(model, state["ema"])
        self.keeper.begin(trainer, model, state["keeper"])
        self.state = None


class Preview(Callback):
    """Now and then: 64 samples of the averaged weights, and their bits/dim on the validation split. Selection never sees the test split."""

    _SAMPLES, _VALIDATION = 64, 256

    def __init__(self, run: Run, ema: EMA, every: int, evaluation: Evaluation) -> None:
        self.run, self.ema, self.every, self.evaluation = run, ema, every, evaluation

    def on_train_batch_end(self, trainer: Trainer, model: LightningModule, outputs: Any, batch: Batch, batch_idx: int) -> None:
        assert isinstance(model, GenerativeModel)
        now = model.images_seen
        if not _crossed(now - len(batch.x) * trainer.world_size, now, self.every) or not trainer.is_global_zero:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        with self.ema.applied(model), evaluation_mode(model):
            model.finalize(data.finalize_batches(model), Rng(data.seed, [0], model.dtype, model.device).split("finalize"))
            rng = Rng(data.seed, range(self._SAMPLES), model.dtype, model.device).split("preview")
            images = model.sample(rng, data.draw_labels(rng), **self.evaluation.sample).cpu().numpy()
            values = {}
            if model.likelihood is not None:
                x, y = data.tensors("val", model.device)
                labels = None if y is None else y[: self._VALIDATION]
                try:
                    log_prob = model.log_prob(x[: self._VALIDATION], labels, **self.evaluation.log_prob)
                except (TypeError, ValueError) as error:
                    raise InputError(f"log_prob options {self.evaluation.log_prob}: {error}") from None
                values = {"val/bits_per_dim": float(bits_per_dim(log_prob, model.spec.dims).mean())}
        path = self.run.path / "previews" / f"{now:012d}.png"
        save_grid(images, model.spec, path)
        for logger in trainer.loggers:
            if values and all(math.isfinite(value) for value in values.values()):
                logger.log_metrics(values, step=now)
            if isinstance(logger, WandbLog):
                logger.log_picture("samples", path, now)


def _crossed(before: int, now: int, every: int) -> bool:
    return now // every > before // every
