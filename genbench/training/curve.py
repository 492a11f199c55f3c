"""The quality of samples while a run trains: eight points of a curve over the images seen.

A point is the first of the quality metrics that a run's protocol has (FID on images, the energy
distance on points of the plane), of a few hundred samples of the averaged weights against the
validation images. All points of a run draw with the same noise, so that they differ by the weights
alone. The recorded weights are the last ones whatever the curve says: it shows what another rule
would have chosen.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from genbench.batch import Batch
from genbench.config.config import Config
from genbench.config.protocol import Protocol
from genbench.config.settings import Evaluation
from genbench.data.images import ImageData
from genbench.errors import InputError
from genbench.evaluation.draw import draw_samples
from genbench.evaluation.resolve import ResolvedProtocol, protocol_of, resolve_protocol
from genbench.evaluation.score import score_samples
from genbench.model import GenerativeModel
from genbench.records.catalogue import curve_metric
from genbench.records.curve import POINTS, logged_name
from genbench.rng import Rng
from genbench.runs.build import Loaded
from genbench.runs.folder import Run
from genbench.training.divergence import DivergenceCheck
from genbench.training.ema import EMA, finalized
from genbench.training.metrics_logger import MetricsLogger

__all__ = ["QualityCurve", "curve_protocol"]

_log = logging.getLogger("genbench")


class QualityCurve(Callback):
    """Logs a point of the curve after every eighth of the budget. All processes share the work.

    Args:
        run: Folder of the run.
        config: Its configuration: `trainer.curve_images` samples a point, 0 for no curve.
        ema: The moving averages.
        divergence: Checks losses and weights before anything is drawn.
        metrics: Counts the seconds of training, to which a point does not belong.
    """

    def __init__(
        self,
        run: Run,
        config: Config,
        ema: EMA,
        divergence: DivergenceCheck,
        metrics: MetricsLogger,
    ) -> None:
        self.run = run
        self.config = config
        self.ema = ema
        self.divergence = divergence
        self.metrics = metrics
        self.evaluation: Evaluation = next(iter(config.evaluations.values()))
        self.resolved: ResolvedProtocol | None = None

    def on_fit_start(self, trainer: Trainer, model: LightningModule) -> None:
        """Make the protocol of the curve ready. A run whose protocol cannot be measured here trains
        all the same, without a curve.
        """
        assert isinstance(model, GenerativeModel)
        if not self.config.trainer.curve_images:
            return
        data: ImageData = trainer.datamodule  # type: ignore[attr-defined]
        loaded = Loaded(self.run, self.config, data, model)
        try:
            protocol = curve_protocol(protocol_of(loaded), self.config, data.batch_size)
            if protocol is not None:
                self.resolved = resolve_protocol(protocol, data, str(model.device))
        except InputError as error:
            _log.warning("no curve of the samples' quality over the images seen: %s", error)

    def on_train_batch_end(
        self, trainer: Trainer, model: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Measure and log a point if one is due."""
        assert isinstance(model, GenerativeModel)
        if self.resolved is None:
            return
        budget = self.config.budget.images
        now = model.images_seen
        before = now - len(batch.x) * trainer.world_size
        if now * POINTS // budget == before * POINTS // budget:
            return
        self.divergence.check(trainer)
        with self.metrics.paused():
            value = self.measure(trainer.datamodule, model, self.resolved)  # type: ignore[attr-defined]
        protocol = self.resolved.protocol
        name = logged_name(protocol.metrics[0], protocol.images)
        for logger in trainer.loggers:
            logger.log_metrics({"seconds": self.metrics.seconds, name: value}, step=now)

    def measure(self, data: ImageData, model: GenerativeModel, resolved: ResolvedProtocol) -> float:
        """The metric of samples of the averaged weights.

        Args:
            data: Images of the run.
            model: The model that is trained.
            resolved: The protocol of the curve.
        """
        loaded = Loaded(self.run, self.config, data, model)
        with finalized(self.ema, model, data):
            images = draw_samples(loaded, self.evaluation, resolved.protocol, resolved.device)
            truth = data.truth_of_samples(len(images), "val", resolved.device)
            metrics = score_samples(images, resolved, truth=truth)
        return metrics[resolved.protocol.metrics[0]].value


def curve_protocol(protocol: Protocol, config: Config, batch_size: int) -> Protocol | None:
    """How the points of a run's curve are measured.

    Args:
        protocol: How the run will be evaluated.
        config: The configuration of the run.
        batch_size: Images of a training batch: no more are drawn at once, for memory that is enough
            to train holds them.

    Returns:
        The quality metric alone, of fewer images, against the validation images, with a seed of its
        own; None where the protocol has no such metric.
    """
    metric = curve_metric(protocol.metrics)
    if metric is None:
        return None
    return replace(
        protocol,
        metrics=(metric,),
        images=config.trainer.curve_images,
        split="val",
        statistics=None,
        chunk=min(protocol.chunk, config.trainer.curve_images, batch_size),
        evaluation_seed=int(Rng(config.seed, [0]).split("quality curve").bits()),
    )
