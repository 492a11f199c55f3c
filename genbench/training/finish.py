"""The end of a training: its recorded weights, or the note that it diverged."""

from __future__ import annotations

import time

import torch

from genbench.data.images import ImageData
from genbench.errors import Diverged
from genbench.model import GenerativeModel
from genbench.rng import Rng
from genbench.runs.weights import save_weights
from genbench.steps import losses_of
from genbench.system.files import file_digest
from genbench.system.launch import is_primary
from genbench.training.callbacks import Callbacks
from genbench.training.ema import evaluation_mode
from genbench.training.state_writer import StateWriter

__all__ = ["finish", "note_divergence"]


def finish(
    writer: StateWriter,
    data: ImageData,
    model: GenerativeModel,
    callbacks: Callbacks,
    device: torch.device,
) -> None:
    """Save the moving averages, after `finalize`, as the recorded weights, by the first process.

    Args:
        writer: Writes state.json of the run.
        data: Training images for `finalize`.
        model: The trained model.
        callbacks: Moving averages and counters of the training.
        device: Where `finalize` computes.

    Raises:
        Diverged: The recorded weights, or a loss with them, are not finite.
        Stopped: The run folder was moved away or removed.
    """
    if not is_primary():
        return
    run = writer.run
    ema = callbacks.ema
    model.to(device)
    ema.average = [average.to(device) for average in ema.average]
    with ema.applied(model), evaluation_mode(model):
        passes = data.finalize_batches(model)
        start = time.perf_counter()
        seed = writer.origin.config.seed
        model.finalize(passes, Rng(seed, [0], model.dtype, device).split("finalize"))
        model.to("cpu")
        finalize_seconds = time.perf_counter() - start
        # No loss was computed after the last step. Finite weights may give one that is not finite.
        batch = next(data.batches(0, 1, 0, 1, torch.device("cpu"), model.dtype))
        losses = [losses_of(player, batch)["loss"] for player in model.players().values()]
        if not all(torch.isfinite(value).all() for value in (*losses, *model.parameters())):
            raise note_divergence(writer, model.images_seen, callbacks.metrics.seconds)
        callbacks.checkpointer.folder.check()
        save_weights(model, run.weights)
    writer.write(
        "done",
        model.images_seen,
        callbacks.metrics.seconds + finalize_seconds,
        finalize_images=passes.images,
        weights_hash=file_digest(run.weights),
    )


def note_divergence(writer: StateWriter, images_seen: int, seconds: float) -> Diverged:
    """Write to state.json that a training diverged.

    Args:
        writer: Writes state.json of the run.
        images_seen: Images before the batch whose loss was not finite.
        seconds: Seconds of training.

    Returns:
        The error to raise.
    """
    if is_primary():
        writer.write("diverged", images_seen, seconds, diverged_at=images_seen)
    return Diverged(
        f"{writer.run.path}: the loss, or the weights after it, are not finite in the batch at "
        f"image {images_seen:,}; the last good checkpoint is kept"
    )
