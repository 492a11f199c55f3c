"""Moving averages of the weights, with a half-life in images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from genbench.data.images import ImageData
from genbench.model import GenerativeModel
from genbench.rng import Rng

__all__ = ["EMA", "evaluation_mode", "finalized"]


class EMA(Callback):
    """Moving average of the parameters, with a half-life in images. Buffers are not averaged.

    After n images with a half-life of h, the old average keeps the weight 2^(-n/h). Early on, h is
    at most a twentieth of the images seen, so that the random start is forgotten (Karras et al.
    2022, arXiv:2206.00364, appendix F).

    Args:
        half_life: h, in images; 0 for no average.
    """

    def __init__(self, half_life: int) -> None:
        self.half_life = half_life
        self.average = list[Tensor]()
        self._seen = 0

    def begin(self, model: GenerativeModel, state: list[Tensor] | None) -> None:
        """Start the average.

        Args:
            model: The model, on its device.
            state: The averages of a checkpoint; None to start from the weights of the model.
        """
        self._seen = model.images_seen
        self.average = [p.detach().clone() for p in self._averaged(model)]
        if state is not None:
            for average, saved in zip(self.average, state, strict=True):
                average.copy_(saved)

    def on_train_batch_end(self, trainer: Trainer, model: LightningModule, *_: Any) -> None:
        """Move the average towards the weights, by the images of the batch."""
        assert isinstance(model, GenerativeModel)
        n = model.images_seen - self._seen
        self._seen = model.images_seen
        if self.half_life:
            half_life = min(self.half_life, model.images_seen / 20)
            torch._foreach_lerp_(self.average, self._averaged(model), 1 - 0.5 ** (n / half_life))

    def _averaged(self, model: GenerativeModel) -> list[Tensor]:
        """The parameters that are averaged; none without a half-life."""
        if not self.half_life:
            return []
        return [parameter.detach() for parameter in model.parameters()]

    @contextmanager
    def applied(self, model: GenerativeModel) -> Iterator[None]:
        """Give the model its averaged weights inside the `with` block.

        Afterwards it has its training weights again, and its former buffers, since `finalize` may
        change buffers.

        Args:
            model: The model that is trained.
        """
        tensors = self._averaged(model)
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
    """Evaluation mode without gradients inside the `with` block; the former mode afterwards.

    Args:
        model: The model that is trained.
    """
    training = model.training
    model.eval()
    with torch.no_grad():
        yield
    model.train(training)


@contextmanager
def finalized(ema: EMA, model: GenerativeModel, data: ImageData) -> Iterator[None]:
    """Make the model ready for samples and likelihoods inside the `with` block: averaged weights,
    `finalize_preview`, evaluation mode. Afterwards it is as it was.

    Args:
        ema: The moving averages.
        model: The model that is trained.
        data: Its images.
    """
    with ema.applied(model), evaluation_mode(model):
        rng = Rng(data.seed, [0], model.dtype, model.device).split("finalize")
        model.finalize_preview(data.finalize_batches(model), rng)
        yield
