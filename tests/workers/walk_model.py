"""A model whose images keep state: one random walk each, towards which the weights are drawn."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genbench.batch import ImageBuffer
from genbench.model import GenerativeModel
from genbench.rng import Rng
from genbench.spec import Spec
from genbench.steps import Losses, OptimizerFactory


class Walk(GenerativeModel):
    """min |theta - x - w|^2, where w, of each image its own, takes a random step in every batch.

    Args:
        spec: The images.
        optimizer: Of theta.
        walks: Rows of the state.
    """

    def __init__(self, spec: Spec, optimizer: OptimizerFactory, walks: int = 24) -> None:
        super().__init__(spec, optimizer)
        self.theta = nn.Parameter(torch.zeros(spec.shape))
        self.walks = ImageBuffer(torch.zeros((walks, *spec.shape), dtype=torch.int64))
        self.register_buffer("last_loss", torch.zeros(()))

    def loss(self, x: Tensor, y: Tensor | None, rng: Rng) -> Losses:
        w = self.walks.read(rng) + rng.integers(3, self.spec.shape) - 1
        self.walks.keep(rng, w)
        return {"loss": (self.theta - x - w).square().mean()}

    def after_step(self, name: str, losses: Losses) -> None:
        self.last_loss.copy_(losses["loss"])

    def sample(self, rng: Rng, y: Tensor | None = None) -> Tensor:
        return self.to_pixels(self.theta + rng.normal(self.spec.shape))
