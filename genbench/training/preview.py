"""Sample grids during training."""

from __future__ import annotations

import math
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from genbench.batch import Batch
from genbench.config.settings import Evaluation
from genbench.data.pictures import save_grid
from genbench.errors import InputError
from genbench.formulas.pixels import bits_per_dim
from genbench.model import GenerativeModel
from genbench.rng import Rng
from genbench.runs.folder import Run
from genbench.tracking.wandb_log import WandbLog
from genbench.training.cadence import crossed
from genbench.training.ema import EMA, evaluation_mode

__all__ = ["Preview"]


class Preview(Callback):
    """Now and then: 64 samples of the averaged weights, and their bits/dim on the validation split.

    Selection never sees the test split.
    """

    _SAMPLES = 64
    _VALIDATION = 256

    def __init__(self, run: Run, ema: EMA, every: int, evaluation: Evaluation) -> None:
        self.run = run
        self.ema = ema
        self.every = every
        self.evaluation = evaluation

    def on_train_batch_end(
        self, trainer: Trainer, model: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        assert isinstance(model, GenerativeModel)
        now = model.images_seen
        if (
            not crossed(now - len(batch.x) * trainer.world_size, now, self.every)
            or not trainer.is_global_zero
        ):
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        with self.ema.applied(model), evaluation_mode(model):
            model.finalize(
                data.finalize_batches(model),
                Rng(data.seed, [0], model.dtype, model.device).split("finalize"),
            )
            rng = Rng(data.seed, range(self._SAMPLES), model.dtype, model.device).split("preview")
            images = (
                model.sample(rng, data.draw_labels(rng), **self.evaluation.sample).cpu().numpy()
            )
            values = {}
            if model.likelihood is not None:
                x, y = data.tensors("val", model.device)
                labels = None if y is None else y[: self._VALIDATION]
                try:
                    log_prob = model.log_prob(
                        x[: self._VALIDATION], labels, **self.evaluation.log_prob
                    )
                except (TypeError, ValueError) as error:
                    raise InputError(
                        f"log_prob options {self.evaluation.log_prob}: {error}"
                    ) from None
                values = {"val/bits_per_dim": float(bits_per_dim(log_prob, model.spec.dims).mean())}
        path = self.run.path / "previews" / f"{now:012d}.png"
        save_grid(images, model.spec, path)
        for logger in trainer.loggers:
            if values and all(math.isfinite(value) for value in values.values()):
                logger.log_metrics(values, step=now)
            if isinstance(logger, WandbLog):
                logger.log_picture("samples", path, now)
