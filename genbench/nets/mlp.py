"""A residual multilayer perceptron for points, latents and small images."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genbench.nets.net import Net
from genbench.spec import Shape

__all__ = ["MLP"]


class MLP(Net):
    """Flattens, maps, reshapes: `depth` hidden layers of `width` SiLU units, residual after the
    first.

    Args:
        inputs: Shape of an input.
        outputs: Shape of an output.
        cond: Length of the conditioning vector, appended to the input and added in every hidden
            layer.
        width: Hidden units per layer.
        depth: Hidden layers, at least one.
        waves: Append cos and sin of pi/2 2^k x to the input, k = 0, ..., waves - 1: plain layers
            learn fine structure of few inputs slowly (Tancik et al. 2020, Fourier features,
            arXiv:2006.10739).
    """

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape,
        cond: int = 0,
        width: int = 128,
        depth: int = 2,
        waves: int = 0,
    ) -> None:
        super().__init__()
        if width < 1 or depth < 1 or waves < 0:
            raise ValueError(
                f"MLP: width and depth are at least 1 and waves at least 0, not {width}, {depth}"
                f" and {waves}"
            )
        self.outputs = outputs
        self.waves = waves
        self.first = nn.Linear(math.prod(inputs) * (1 + 2 * waves) + cond, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.shifts = nn.ModuleList(
            nn.Linear(cond, width, bias=False) for _ in range(depth - 1 if cond else 0)
        )
        self.last = nn.Linear(width, math.prod(outputs))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        h = x = x.flatten(1)
        if self.waves:
            angles = [math.pi / 2 * 2**k * x for k in range(self.waves)]
            h = torch.cat((x, *map(torch.cos, angles), *map(torch.sin, angles)), dim=1)
        h = nn.functional.silu(self.first(h if cond is None else torch.cat((h, cond), dim=1)))
        for i, layer in enumerate(self.hidden):
            shift = self.shifts[i](cond) if cond is not None else 0
            h = h + nn.functional.silu(layer(h) + shift)
        return self.last(h).unflatten(1, self.outputs)
