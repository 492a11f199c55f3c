"""Losses and weights that are not finite."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, distributed

from genbench.batch import Batch
from genbench.model import GenerativeModel
from genbench.steps import Losses

__all__ = ["DivergenceCheck"]


class DivergenceCheck(Callback):
    """Finds the first batch with a loss that is not finite.

    Every batch is looked at without waiting for the device. The answer is asked for by `check`,
    before anything is logged or saved.

    Attributes:
        diverged_at: Images seen before the batch whose loss was not finite; None while there is
            none.
    """

    def __init__(self) -> None:
        self.diverged_at: int | None = None
        # This tensor lies on the training device. As long as it is negative, every loss was finite.
        self._first_bad: Tensor | None = None

    def begin(self, model: GenerativeModel) -> None:
        """Begin, on the device of the model.

        Args:
            model: The model that is trained.
        """
        self._first_bad = torch.full((), -1, dtype=torch.int64, device=model.device)

    def on_train_batch_end(
        self, trainer: Trainer, model: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Remember the image count of the first batch with a loss that is not finite."""
        assert isinstance(model, GenerativeModel)
        assert self._first_bad is not None
        images = model.images_seen - len(batch.x) * trainer.world_size
        losses: Losses = outputs
        for name, value in losses.items():
            if name.endswith("loss"):
                bad = ~torch.isfinite(value) & (self._first_bad < 0)
                self._first_bad = torch.where(bad, images, self._first_bad)

    def check(self, trainer: Trainer) -> None:
        """Stop all processes if a loss of any of them, or a weight, is not finite.

        Args:
            trainer: Has the model and knows the processes.

        Raises:
            FloatingPointError: `diverged_at` says where.
        """
        assert self._first_bad is not None
        model = trainer.lightning_module
        assert isinstance(model, GenerativeModel)
        first = self._first_bad.clone()
        finite = torch.stack([torch.isfinite(p).all() for p in model.parameters()]).all()
        first = torch.where((first < 0) & ~finite, model.images_seen, first)
        if trainer.world_size > 1:
            distributed.all_reduce(first, op=distributed.ReduceOp.MAX)
        if int(first) >= 0:
            self.diverged_at = int(first)
            raise FloatingPointError
