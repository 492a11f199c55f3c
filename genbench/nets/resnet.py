"""A convolutional residual network that keeps the height and width of an image.

He, Zhang, Ren, Sun (2016), Identity mappings in deep residual networks, arXiv:1603.05027:
normalise, activate, convolve, twice, and add. Group normalisation (Wu, He 2018, arXiv:1803.08494)
looks at one image only, so no image depends on its batch.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from genbench.nets.net import Net
from genbench.spec import Shape

__all__ = ["ResNet"]

_GROUPS = 8


class ResNet(Net):
    """3x3 convolution, `blocks` residual blocks, 3x3 convolution: (C, H, W) -> (C', H, W). Its
    output is 0 before training.

    Args:
        inputs: Shape of an input, (C, H, W).
        outputs: Shape of an output, (C', H, W).
        cond: Length of the conditioning vector, which shifts the channels of every block.
        width: Channels of the hidden layers.
        blocks: Residual blocks of two convolutions.
    """

    def __init__(
        self, inputs: Shape, outputs: Shape, cond: int = 0, width: int = 64, blocks: int = 2
    ) -> None:
        super().__init__()
        if len(inputs) != 3 or len(outputs) != 3 or inputs[1:] != outputs[1:]:
            raise ValueError(
                f"ResNet: inputs and outputs are (C, H, W) of one height and width, not {inputs}"
                f" and {outputs}"
            )
        if width < 1 or blocks < 0:
            raise ValueError(
                f"ResNet: width is at least 1 and blocks at least 0, not {width} and {blocks}"
            )
        self.first = nn.Conv2d(inputs[0], width, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(width, cond) for _ in range(blocks))
        self.last = nn.Sequential(
            _norm(width), nn.SiLU(), nn.Conv2d(width, outputs[0], 3, padding=1)
        )
        for parameter in self.last[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        h = self.first(x)
        for block in self.blocks:
            h = block(h, cond)
        return self.last(h)


class _Block(nn.Module):
    """h + conv(silu(norm(conv(silu(norm(h)))) + shift(cond))): a shift before the norm would be
    undone in groups of one channel.
    """

    def __init__(self, width: int, cond: int) -> None:
        super().__init__()
        self.before = nn.Sequential(_norm(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))
        self.shift = nn.Linear(cond, width) if cond else None
        self.after = nn.Sequential(_norm(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))

    def forward(self, h: Tensor, cond: Tensor | None) -> Tensor:
        a = self.after[0](self.before(h))
        if self.shift is not None and cond is not None:
            a = a + self.shift(cond)[:, :, None, None]
        return h + self.after[1:](a)


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(_GROUPS, width), width)
