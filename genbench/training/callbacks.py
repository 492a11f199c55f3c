"""The callbacks around the training step."""

from __future__ import annotations

from typing import Any, NamedTuple

from genbench.training.checkpointer import Checkpointer, Restore
from genbench.training.curve import QualityCurve
from genbench.training.divergence import DivergenceCheck
from genbench.training.ema import EMA
from genbench.training.folder_watch import FolderWatch
from genbench.training.metrics_logger import MetricsLogger, Report
from genbench.training.preview import Preview
from genbench.training.state_writer import StateWriter

__all__ = ["Callbacks", "make_callbacks"]


class Callbacks(NamedTuple):
    """The callbacks of a training, in the order in which they follow each batch."""

    restore: Restore
    ema: EMA
    preview: Preview
    divergence: DivergenceCheck
    curve: QualityCurve
    metrics: MetricsLogger
    checkpointer: Checkpointer


def make_callbacks(
    writer: StateWriter, checkpoint: dict[str, Any] | None, report: Report
) -> Callbacks:
    """The callbacks that a configuration asks for.

    Args:
        writer: Writes state.json of a run folder, which exists.
        checkpoint: What training goes on from; None for the beginning.
        report: Called with (images seen, loss) at every log point.
    """
    config = writer.origin.config
    settings = config.trainer
    budget = config.budget.images
    log_every = settings.log_every or max(1, budget // 100)
    checkpoint_every = settings.checkpoint_every or max(1, budget // 10)
    preview_every = settings.preview_every or max(1, budget // 4)
    evaluation = next(iter(config.evaluations.values()))
    folder = FolderWatch(writer.run)
    ema = EMA(config.optimization.ema_half_life)
    divergence = DivergenceCheck()
    metrics = MetricsLogger(divergence, folder, log_every, report)
    return Callbacks(
        restore=Restore(checkpoint, ema, divergence, metrics),
        ema=ema,
        preview=Preview(writer.run, ema, metrics, preview_every, evaluation),
        divergence=divergence,
        curve=QualityCurve(writer.run, config, ema, divergence, metrics),
        metrics=metrics,
        checkpointer=Checkpointer(writer, ema, metrics, divergence, folder, checkpoint_every),
    )
