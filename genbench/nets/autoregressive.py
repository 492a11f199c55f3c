r"""What networks of autoregressive models have in common: logits of every pixel given the earlier
ones.

    p(x) = prod_{i=0}^{D-1} p(x_i | x_0, ..., x_{i-1})            D = C H W

Positions i go in raster order over the pixels with the channels innermost: i = (row W + column) C +
channel, so that green is drawn given red. One evaluation scores a whole image; drawing one takes D
steps.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.formulas.likelihood import sum_dims
from genbench.nets.net import Net
from genbench.rng import Rng
from genbench.spec import Shape

__all__ = [
    "AutoregressiveNet",
    "AutoregressiveNetFactory",
    "Choose",
    "chain_rule",
    "draw_in_order",
    "image_of",
    "raster",
    "thermometer",
]

# A `Choose` function maps the logits of position i, (B, levels), and i to pixel values x_i, int64
# (B,).
Choose = Callable[[Tensor, int], Tensor]


class AutoregressiveNet(Net):
    """A network from integer pixels to the logits of each pixel given the earlier ones.

    The network turns the integers 0, ..., levels - 1 into features itself.

    Args:
        inputs: (C, H, W).
        outputs: (levels, C, H, W).
    """

    def __init__(self, inputs: Shape, outputs: Shape) -> None:
        super().__init__()
        if len(inputs) != 3 or tuple(outputs[1:]) != tuple(inputs):
            raise ValueError(
                f"{type(self).__name__}: inputs are (C, H, W) and outputs (levels, C, H, W), not"
                f" {inputs}, {outputs}"
            )
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)

    @property
    def levels(self) -> int:
        """Number of values of a pixel."""
        return self.outputs[0]

    @abstractmethod
    def forward(self, x: Tensor, cond: Tensor | None = None, rng: Rng | None = None) -> Tensor:
        """Args: x of shape (B, C, H, W), integers of any type; cond; rng, one stream per image for
        the noise of training, such as dropout: None for a network without noise.

        Returns logits of shape (B, levels, C, H, W).
        """

    @torch.no_grad()
    def generate(self, choose: Choose, batch: int, cond: Tensor | None = None) -> Tensor:
        """Draw images pixel by pixel. This method evaluates the whole network once per position. A
        faster method of a network has to give the same images.

        Args:
            choose: Called with the logits (B, levels) of position i, and i; returns the pixel
                values, int64 (B,).
            batch: Number of images B.
            cond: Conditioning vectors of shape (B, cond), or None.

        Returns:
            int64 of shape (B, C, H, W).
        """
        channels, height, width = self.inputs
        x = torch.zeros(
            batch, *self.inputs, dtype=torch.int64, device=next(self.parameters()).device
        )
        for i in range(channels * height * width):
            channel = i % channels
            row = i // channels // width
            column = i // channels % width
            x[:, channel, row, column] = choose(self(x, cond)[:, :, channel, row, column], i)
        return x


def thermometer(x: Tensor, levels: int) -> Tensor:
    """1[x >= t] for t = 1, ..., levels - 1: integers (...) -> bool (..., levels - 1).

    Examples:
        >>> thermometer(torch.tensor([0, 2, 3]), 4).int().tolist()
        [[0, 0, 0], [1, 1, 0], [1, 1, 1]]
    """
    return x[..., None] >= torch.arange(1, levels, device=x.device)


def raster(logits: Tensor, inputs: Shape) -> Tensor:
    """Logits of the positions in order, (B, D, levels) -> (B, levels, C, H, W)."""
    channels, height, width = inputs
    return logits.unflatten(1, (height, width, channels)).permute(0, 4, 3, 1, 2)


def image_of(values: list[Tensor], inputs: Shape) -> Tensor:
    """Pixels of the positions in order, (B,) each -> (B, C, H, W)."""
    channels, height, width = inputs
    return torch.stack(values, 1).unflatten(1, (height, width, channels)).movedim(-1, 1)


# An `AutoregressiveNetFactory` makes a network from its `inputs`, `outputs` and `cond`.
AutoregressiveNetFactory = Callable[[Shape, Shape, int], AutoregressiveNet]


def chain_rule(
    net: AutoregressiveNet,
    x: Tensor,
    cond: Tensor | None,
    dtype: torch.dtype,
    noise: Rng | None = None,
) -> Tensor:
    """-log p(x) = -sum_i log p(x_i | x_0, ..., x_{i-1}), p(x_i = k | ...) = softmax(logits_i)_k.

    Args:
        net: Makes the logits.
        x: Integers of shape (B, C, H, W).
        cond: Conditioning vectors of shape (B, cond), or None.
        dtype: Floating type of the softmax; the logits may come in half precision.
        noise: One stream per image for dropout in training; None: without dropout.

    Returns:
        Nats, (B,).
    """
    logits = net(x.to(dtype), cond, noise).to(dtype)
    # Networks leave the levels last in memory. A softmax over the last dimension takes half the
    # time of one over dimension 1.
    nll = F.cross_entropy(
        logits.movedim(1, -1).flatten(0, -2), x.long().flatten(), reduction="none"
    )
    return sum_dims(nll.view(x.shape))


@torch.no_grad()
def draw_in_order(
    net: AutoregressiveNet,
    rng: Rng,
    cond: Tensor | None = None,
    beginning: Tensor | None = None,
) -> Tensor:
    """Draw x ~ p(x) by the chain rule, or the other pixels of x where the first ones are given.

    Args:
        net: Makes the logits.
        rng: One stream per image.
        cond: Conditioning vectors of shape (len(rng), cond), or None.
        beginning: Values of the first pixels, which are kept, int64 (len(rng), n); None: n = 0.

    Returns:
        int64 (len(rng), C, H, W).
    """
    known = 0 if beginning is None else beginning.shape[1]
    dims = math.prod(net.inputs)
    u = rng.uniform((dims,)).double()

    def choose(logits: Tensor, i: int) -> Tensor:
        if beginning is not None and i < known:
            return beginning[:, i]
        # The inverse distribution function at u_i is the number of levels k with P(x_i <= k) < u_i.
        cdf = logits.double().softmax(dim=1).cumsum(dim=1)
        return (cdf < u[:, i, None]).sum(dim=1).clamp(max=net.levels - 1)

    return net.generate(choose, len(rng), cond)
