r"""NADE: the neural autoregressive distribution estimator, whose hidden units share their weights.

    h_i = sigma(c + sum_{j < i} W_j x_j)                                   H units for every position i
    P(x_i = 1 | x_0, ..., x_{i-1}) = sigma(b_i + V_i h_i)                                              two levels

Positions i go in raster order, channels innermost. W_j is the same in all h_i with i > j, so that each
sum is the one before it and one term: all h_i cost O(D H), by a cumulative sum when an image is
scored and term by term when one is drawn. With more levels x_j is a "thermometer", 1[x_j >= t], W_j has a column for
each t, and V_i and b_i a row for each level but the first, whose logit is 0. A conditioning vector
is added to c by a matrix of its own.

References:
    Larochelle, Murray (2011), The neural autoregressive distribution estimator. AISTATS
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

__all__ = ["NADE"]


class NADE(AutoregressiveNet):
    """One hidden layer for every position, with shared weights.

    Args:
        inputs: (C, H, W), of D pixels.
        outputs: (levels, C, H, W).
        cond: Length of the conditioning vector.
        width: H, the hidden units of a position.
    """

    def __init__(self, inputs: Shape, outputs: Shape, cond: int = 0, width: int = 100) -> None:
        super().__init__(inputs, outputs)
        if width < 1:
            raise ValueError(f"NADE: width is at least 1, not {width}")
        dims = math.prod(inputs)
        steps = self.levels - 1
        self.W = nn.Parameter(torch.randn(dims, steps, width) / math.sqrt(dims * steps))
        self.c = nn.Parameter(torch.zeros(width))
        self.out = _Regressions(dims, steps, width)
        self.of_cond = nn.Linear(cond, width, bias=False) if cond else None

    def forward(self, x: Tensor, cond: Tensor | None = None, rng: Rng | None = None) -> Tensor:
        steps = thermometer(x.movedim(1, -1).flatten(1), self.levels).to(self.W.dtype)
        return raster(self.estimate(steps, cond), self.inputs)

    def estimate(self, steps: Tensor, cond: Tensor | None = None) -> Tensor:
        """Logits of the positions in order, (B, D, levels).

        Args:
            steps: 1[x_j >= t], (B, D, levels - 1).
            cond: (B, cond), or None.
        """
        added = torch.einsum("bjt,jth->bjh", steps, self.W)
        before = F.pad(added[:, :-1], (0, 0, 1, 0)).cumsum(1)
        h = torch.sigmoid(before + self._bias(cond)[:, None])
        return F.pad(self.out(h, slice(None)), (1, 0))

    @torch.no_grad()
    def generate(self, choose: Choose, batch: int, cond: Tensor | None = None) -> Tensor:
        a = self._bias(cond).expand(batch, -1)
        values = []
        for i in range(math.prod(self.inputs)):
            logits = self.out(torch.sigmoid(a)[:, None], slice(i, i + 1))[:, 0]
            value = choose(F.pad(logits, (1, 0)), i)
            a = a + thermometer(value, self.levels).to(a) @ self.W[i]
            values.append(value)
        return image_of(values, self.inputs)

    def _bias(self, cond: Tensor | None) -> Tensor:
        """c with what the conditioning vector adds, (1 or B, H)."""
        if cond is None or self.of_cond is None:
            return self.c[None]
        return self.c + self.of_cond(cond)


class _Regressions(nn.Module):
    """b_i + V_i h_i of some positions i.

    Args:
        dims: D.
        steps: Entries of b_i.
        width: H.
    """

    def __init__(self, dims: int, steps: int, width: int) -> None:
        super().__init__()
        self.V = nn.Parameter(torch.randn(dims, steps, width) / math.sqrt(width))
        self.b = nn.Parameter(torch.zeros(dims, steps))

    def forward(self, h: Tensor, some: slice) -> Tensor:
        """(B, n, H) of n positions -> (B, n, steps)."""
        return torch.einsum("bih,ikh->bik", h, self.V[some]) + self.b[some]
