r"""Fully visible belief network: one layer of logistic regressions, each pixel on the earlier ones.

    P(x_i = 1 | x_0, ..., x_{i-1}) = sigma(a_i),      a_i = b_i + sum_{j < i} W_{ij} x_j            two levels
    P(x_i = k | x_0, ..., x_{i-1}) ~ e^{a_ik},        a_i0 = 0,  a_ik = b_ik + sum_{j < i, t} W_{ik, jt} 1[x_j >= t]      more

Positions i go in raster order, channels innermost. -log p(x) is a convex function of W and b. A
conditioning vector is a regressor of every pixel.

It is MADE without hidden layers. An image is drawn with D^2 multiplications in place of D^3: every
pixel that is known is added to the a_i of all that follow.

References:
    Frey, Hinton, Dayan (1996), Does the wake-sleep algorithm produce good density estimators? NIPS 8
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.nets.autoregressive import (
    AutoregressiveNet,
    Choose,
    image_of,
    raster,
    thermometer,
)
from genbench.rng import Rng
from genbench.spec import Shape

__all__ = ["FVBN"]


class FVBN(AutoregressiveNet):
    """Logistic regressions on the earlier pixels.

    Args:
        inputs: (C, H, W), of D pixels.
        outputs: (levels, C, H, W).
        cond: Length of the conditioning vector.
    """

    mask: Tensor

    def __init__(self, inputs: Shape, outputs: Shape, cond: int = 0) -> None:
        super().__init__(inputs, outputs)
        units = math.prod(inputs) * (self.levels - 1)
        pixel = torch.arange(units) // (self.levels - 1)
        # [(i, k), (j, t)]
        self.W = nn.Parameter(torch.zeros(units, units))
        self.b = nn.Parameter(torch.zeros(units))
        self.of_cond = nn.Linear(cond, units, bias=False) if cond else None
        self.register_buffer("mask", pixel[:, None] > pixel, persistent=False)

    def forward(self, x: Tensor, cond: Tensor | None = None, rng: Rng | None = None) -> Tensor:
        steps = thermometer(x.movedim(1, -1).flatten(1), self.levels).to(self.W.dtype)
        return raster(self.regress(steps, cond), self.inputs)

    def regress(self, steps: Tensor, cond: Tensor | None = None) -> Tensor:
        """Logits of the positions in order, (B, D, levels).

        Args:
            steps: 1[x_j >= t], (B, D, levels - 1).
            cond: (B, cond), or None.
        """
        a = F.linear(steps.flatten(1), self.W * self.mask) + self._bias(cond)
        return F.pad(a.unflatten(1, (-1, self.levels - 1)), (1, 0))

    @torch.no_grad()
    def generate(self, choose: Choose, batch: int, cond: Tensor | None = None) -> Tensor:
        a = self._bias(cond).expand(batch, -1).clone()
        values = []
        for i in range(math.prod(self.inputs)):
            first = i * (self.levels - 1)
            later = first + self.levels - 1
            value = choose(F.pad(a[:, first:later], (1, 0)), i)
            steps = thermometer(value, self.levels).to(a)
            a[:, later:] += steps @ self.W[later:, first:later].T
            values.append(value)
        return image_of(values, self.inputs)

    def _bias(self, cond: Tensor | None) -> Tensor:
        """b with what the conditioning vector adds, (1 or B, D (levels - 1))."""
        if cond is None or self.of_cond is None:
            return self.b[None]
        return self.b + self.of_cond(cond)
