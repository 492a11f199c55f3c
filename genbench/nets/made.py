r"""MADE: a multilayer perceptron whose weights are masked so that no output sees its own pixel or a
later one.

Positions i = 0, ..., D - 1 go in raster order, channels innermost. A hidden unit k sees the first
m(k) pixels:

    M^W_{k, i}   =  1[m(k) > i]            from pixel i to a unit of the first layer                           (eq. 8)
    M^W_{k', k}  =  1[m(k') >= m(k)]       from unit k to unit k' of the next layer                            (eq. 12)
    M^V_{i, k}   =  1[i >= m(k)]           from a unit to the logits of position i                             (eq. 9)

(the paper counts positions from 1). The numbers go round 1, ..., D - 1 in place of random ones, the
same in all layers, so that a layer may be residual. A conditioning vector is for all to see: it
adds units of number 0, which carry it to the first pixel. Without hidden layers the logits of i see
the pixels before it, 1[i > j], and are one layer of logistic regressions (`fvbn.py`).

A pixel enters as a "thermometer", 1[x >= t] for t = 1, ..., levels - 1: p(x_1 | x_0) may change at any level of x_0, which a
smooth function of the real value can hardly follow, while neighbouring levels share all steps but
one, which one-hot vectors do not (they overfit the 65,536 cells of a point on 256 x 256 levels).

References:
    Germain, Gregor, Murray, Larochelle (2015), MADE: masked autoencoder for distribution
    estimation. arXiv:1502.03509
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.nets.autoregressive import AutoregressiveNet, raster, thermometer
from genbench.rng import Rng
from genbench.spec import Shape

__all__ = ["MADE", "MaskedLinear"]


class MADE(AutoregressiveNet):
    """Masked autoencoder (Germain et al. 2015, arXiv:1502.03509) for points and tiny images;
    residual after the first layer.

    Args:
        inputs: (C, H, W).
        outputs: (levels, C, H, W).
        cond: Length of the conditioning vector, added in every hidden layer.
        width: Hidden units per layer; with fewer than D - 1 of them a pixel does not see all
            earlier ones.
        depth: Hidden layers; 0: logistic regressions on the earlier pixels, as of `FVBN`, to whose
            logits the conditioning vector is added.
    """

    def __init__(
        self, inputs: Shape, outputs: Shape, cond: int = 0, width: int = 256, depth: int = 2
    ) -> None:
        super().__init__(inputs, outputs)
        if width < 1 or depth < 0:
            raise ValueError(
                f"MADE: width is at least 1 and depth at least 0, not {width} and {depth}"
            )
        dims = math.prod(inputs)
        levels = self.levels
        pixel = torch.arange(dims)
        lowest = 0 if cond else 1
        m = lowest + torch.arange(width) % max(1, dims - lowest)
        self.first: MaskedLinear | None = None
        self.direct: nn.Linear | None = None
        known = (pixel[:, None] > pixel).repeat_interleave(levels - 1, dim=1)
        if depth:
            self.first = MaskedLinear((m[:, None] > pixel).repeat_interleave(levels - 1, dim=1))
            known = pixel[:, None] >= m
        elif cond:
            self.direct = nn.Linear(cond, dims * levels, bias=False)
        self.hidden = nn.ModuleList(MaskedLinear(m[:, None] >= m) for _ in range(depth - 1))
        self.last = MaskedLinear(known.repeat_interleave(levels, dim=0))
        self.shifts = nn.ModuleList(
            nn.Linear(cond, width, bias=False) for _ in range(depth if cond else 0)
        )

    def forward(self, x: Tensor, cond: Tensor | None = None, rng: Rng | None = None) -> Tensor:
        h = self._features(x.movedim(1, -1).flatten(1))
        layers = () if self.first is None else (self.first, *self.hidden)
        for i, layer in enumerate(layers):
            shift = self.shifts[i](cond) if cond is not None else 0
            step = F.silu(layer(h) + shift)
            h = h + step if i else step
        logits = self.last(h)
        if self.direct is not None and cond is not None:
            logits = logits + self.direct(cond)
        return raster(logits.unflatten(1, (-1, self.levels)), self.inputs)

    def _features(self, x: Tensor) -> Tensor:
        """Pixels (B, D) -> thermometers (B, D * (levels - 1))."""
        return thermometer(x, self.levels).flatten(1).to(self.last.weight.dtype)


class MaskedLinear(nn.Linear):
    """A linear layer some of whose weights are zero; mask of shape (outputs, inputs)."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)
