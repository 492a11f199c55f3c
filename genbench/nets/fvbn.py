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

    def __init__(self, inputs: Shape, outputs: Shape, cond: int = 0) -> None:
        super().__init__(inputs, outputs)
        units = math.prod(inputs) * (self.levels - 1)
        self.b = nn.Parameter(torch.zeros(units))
        self.earlier = _Earlier(math.prod(inputs), self.levels - 1)
        self.of_cond = nn.Linear(cond, units, bias=False) if cond else None

    def forward(self, x: Tensor, cond: Tensor | None = None, rng: Rng | None = None) -> Tensor:
        steps = thermometer(x.movedim(1, -1).flatten(1), self.levels).to(self.b.dtype)
        return raster(self.regress(steps, cond), self.inputs)

    def regress(self, steps: Tensor, cond: Tensor | None = None) -> Tensor:
        """Logits of the positions in order, (B, D, levels).

        Args:
            steps: 1[x_j >= t], (B, D, levels - 1).
            cond: (B, cond), or None.
        """
        a = self._bias(cond) + self.earlier(steps.flatten(1), slice(None))
        return F.pad(a.unflatten(1, (-1, self.levels - 1)), (1, 0))

    @torch.no_grad()
    def generate(self, choose: Choose, batch: int, cond: Tensor | None = None) -> Tensor:
        a = self._bias(cond).expand(batch, -1)
        values = []
        for i in range(math.prod(self.inputs)):
            own = slice(i * (self.levels - 1), (i + 1) * (self.levels - 1))
            value = choose(F.pad(a[:, own], (1, 0)), i)
            a = a + self.earlier(thermometer(value, self.levels).to(a), own)
            values.append(value)
        return image_of(values, self.inputs)

    def _bias(self, cond: Tensor | None) -> Tensor:
        """b with what the conditioning vector adds, (1 or B, D (levels - 1))."""
        if cond is None or self.of_cond is None:
            return self.b[None]
        return self.b + self.of_cond(cond)


class _Earlier(nn.Module):
    """sum_{jt} W_{ik, jt} 1[x_j >= t] over some (j, t), for all (i, k), by weights with j < i alone.

    Args:
        dims: D.
        steps: Values of k and of t.
    """

    mask: Tensor

    def __init__(self, dims: int, steps: int) -> None:
        super().__init__()
        pixel = torch.arange(dims * steps) // steps
        self.W = nn.Parameter(torch.zeros(dims * steps, dims * steps))
        self.register_buffer("mask", pixel[:, None] > pixel, persistent=False)

    def forward(self, steps: Tensor, some: slice) -> Tensor:
        """(B, n) of n places (j, t) -> (B, D steps)."""
        return F.linear(steps, self.W[:, some] * self.mask[:, some])
