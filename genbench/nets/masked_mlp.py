r"""A perceptron of reals whose entry i sees the entries before i alone, as MADE's do of pixels.

    M^W_{k, i} = 1[m(k) > i],    M^W_{k', k} = 1[m(k') >= m(k)],    M^V_{i, k} = 1[i >= m(k)]

Hidden unit k sees the first m(k) entries; the numbers go round, the same in all layers, so that a
layer may be residual. The conditioning vector is for all to see, also for units of number 0, which
carry it to the first entry.

References:
    Germain, Gregor, Murray, Larochelle (2015), MADE: masked autoencoder for distribution
    estimation. arXiv:1502.03509
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.nets.made import MaskedLinear
from genbench.nets.net import Net
from genbench.spec import Shape

__all__ = ["MaskedMLP"]


class MaskedMLP(Net):
    """Reals (d,) -> n numbers for each entry, (n, d), which depend on earlier entries alone.

    Args:
        inputs: (d,).
        outputs: (n, d).
        cond: Length of the conditioning vector, added in every hidden layer.
        width: Hidden units per layer; with fewer than d of them an entry does not see all earlier
            ones.
        depth: Hidden layers, at least one.
    """

    def __init__(
        self, inputs: Shape, outputs: Shape, cond: int = 0, width: int = 64, depth: int = 1
    ) -> None:
        super().__init__()
        if width < 1 or depth < 1:
            raise ValueError(f"MaskedMLP: width and depth are at least 1, not {width} and {depth}")
        if len(inputs) != 1 or tuple(outputs[1:]) != tuple(inputs):
            raise ValueError(
                f"MaskedMLP: inputs are (d,) and outputs (n, d), not {inputs} and {outputs}"
            )
        self.outputs = outputs
        d = math.prod(inputs)
        entry = torch.arange(d)
        lowest = 0 if cond else 1
        m = lowest + torch.arange(width) % max(1, d - lowest)
        self.first = MaskedLinear(m[:, None] > entry)
        self.hidden = nn.ModuleList(MaskedLinear(m[:, None] >= m) for _ in range(depth - 1))
        self.last = MaskedLinear((entry[:, None] >= m).repeat(outputs[0], 1))
        self.shifts = nn.ModuleList(
            nn.Linear(cond, width, bias=False) for _ in range(depth if cond else 0)
        )

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        h = x
        for i, layer in enumerate((self.first, *self.hidden)):
            shift = self.shifts[i](cond) if cond is not None else 0
            step = F.silu(layer(h) + shift)
            h = h + step if i else step
        return self.last(h).unflatten(1, self.outputs)
