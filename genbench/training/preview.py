"""Sample grids and validation losses during training."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer

from genbench.batch import Batch
from genbench.config.instantiate import with_objects
from genbench.config.settings import Evaluation
from genbench.data.images import ImageData
from genbench.data.pictures import save_grid
from genbench.errors import InputError
from genbench.formulas.pixels import bits_per_dim
from genbench.model import GenerativeModel
from genbench.rng import Rng
from genbench.runs.folder import Run
from genbench.tracking.wandb_log import WandbLog
from genbench.training.cadence import crossed
from genbench.training.ema import EMA, finalized
from genbench.training.metrics_logger import MetricsLogger

__all__ = ["Preview"]


class Preview(Callback):
    """Draws 64 samples with the averaged weights, and measures their bits/dim on validation images.

    The test split is never read while a run is trained.

    Args:
        run: The folder previews/ of it takes the grids.
        ema: The moving averages.
        metrics: Counts the seconds of training, to which a preview does not belong.
        every: Images from one preview to the next.
        evaluation: Options of `sample` and `log_prob`.
    """

    _SAMPLES = 64
    _VALIDATION = 256

    def __init__(
        self, run: Run, ema: EMA, metrics: MetricsLogger, every: int, evaluation: Evaluation
    ) -> None:
        self.run = run
        self.ema = ema
        self.metrics = metrics
        self.every = every
        self.evaluation = evaluation

    def on_train_batch_end(
        self, trainer: Trainer, model: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Write a grid and the validation loss if they are due, by the first process."""
        assert isinstance(model, GenerativeModel)
        now = model.images_seen
        before = now - len(batch.x) * trainer.world_size
        if not crossed(before, now, self.every) or not trainer.is_global_zero:
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        with self.metrics.paused(), finalized(self.ema, model, data):
            images = self._samples(model, data)
            values = self._validation_loss(model, data)
        path = self.run.path / "previews" / f"{now:012d}.png"
        save_grid(images, model.spec, path)
        seconds = self.metrics.seconds
        for logger in trainer.loggers:
            if values and all(math.isfinite(value) for value in values.values()):
                logger.log_metrics({"seconds": seconds, **values}, step=now)
            if isinstance(logger, WandbLog):
                logger.log_picture("samples", path, now, seconds)

    def _samples(self, model: GenerativeModel, data: ImageData) -> np.ndarray:
        """Integer images (64, C, H, W), with labels as frequent as in the training images, or the
        y of validation images.
        """
        rng = Rng(data.seed, range(self._SAMPLES), model.dtype, model.device).split("preview")
        y = data.y_of_samples(rng, "val")
        options = self.evaluation.sample
        try:
            images = model.sample(rng, y, **with_objects(options))
        except (TypeError, ValueError) as error:
            raise InputError(f"sample options {options}: {error}") from None
        return images.cpu().numpy()

    def _validation_loss(self, model: GenerativeModel, data: ImageData) -> dict[str, float]:
        """Mean bits/dim of 256 validation images; empty for a model without a density."""
        if model.likelihood is None:
            return {}
        x, y = data.tensors("val", model.device)
        y = None if y is None else y[: self._VALIDATION]
        options = self.evaluation.log_prob
        try:
            log_prob = model.log_prob(x[: self._VALIDATION], y, **options)
        except (TypeError, ValueError) as error:
            raise InputError(f"log_prob options {options}: {error}") from None
        return {"val/bits_per_dim": float(bits_per_dim(log_prob, model.spec.dims).mean())}
