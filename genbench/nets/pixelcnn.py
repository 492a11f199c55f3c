r"""The gated PixelCNN: two stacks of causal convolutions that together see every earlier pixel.

    v, h    vertical and horizontal features of a layer: v_r knows the rows up to r; h_i the rows above and its row up to i
    k       width of the kernels, p = k // 2
    a, b    the halves of what enters a gate:  tanh(a) * sigmoid(b)                                            (eq. 2)

In layer l, with * a convolution, "down" a shift by one row, s a linear map of the conditioning
vector:

    c_v  =  W_v * v^{l-1} + s_v                              W_v: (p + 1) x k, rows r - p, ..., r
    v^l  =  gate(c_v)
    c_h  =  W_h * h^{l-1} + down(W_l c_v) + s_h              W_h: 1 x (p + 1), columns j - p, ..., j
    h^l  =  W_o gate(c_h) + h^{l-1}                          no residual in the first layer

Features belong to the channels of the image in equal groups. At the pixel itself, group g sees the
groups < g in the first layer, whose inputs are the pixels (mask A), and the groups <= g later on
(mask B). The vertical stack needs no masks: what it knows of a row reaches the horizontal one a row
further down.

Sampling keeps what each layer has computed. A row of v is made once, when its pixels are drawn; a
position costs one window of each horizontal layer, for the group of its channel alone, and one call
of the head. A whole image costs about as much arithmetic as one evaluation of the network, in place
of D.

References:
    van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves, Kavukcuoglu (2016), Conditional image
        generation with PixelCNN decoders. arXiv:1606.05328
    van den Oord, Kalchbrenner, Kavukcuoglu (2016), Pixel recurrent neural networks.
        arXiv:1601.06759 (masks A and B)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.formulas.pixels import to_real
from genbench.nets.autoregressive import AutoregressiveNet, Choose
from genbench.rng import Rng
from genbench.spec import Shape

__all__ = ["GatedPixelCNN"]


class GatedPixelCNN(AutoregressiveNet):
    """Gated PixelCNN (van den Oord et al. 2016, arXiv:1606.05328), with the head shared by the
    channels.

    A pixel enters as its real value beside a constant one, by which the layers tell the border from
    mid grey. It sees the earlier pixels up to layers * (kernel // 2) columns and, as the vertical
    stack comes a row further down, one more rows away.

    Args:
        inputs: (C, H, W).
        outputs: (levels, C, H, W).
        cond: Length of the conditioning vector, a bias of the gates.
        width: Features per stack and channel of the image.
        layers: Gated layers, at least one.
        kernel: Width of the kernels, odd and at least 3.
    """

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape,
        cond: int = 0,
        width: int = 32,
        layers: int = 6,
        kernel: int = 3,
    ) -> None:
        super().__init__(inputs, outputs)
        if width < 1 or layers < 1:
            raise ValueError(
                f"GatedPixelCNN: width and layers are at least 1, not {width} and {layers}"
            )
        if kernel < 3 or kernel % 2 == 0:
            raise ValueError(f"GatedPixelCNN: kernel is odd and at least 3, not {kernel}")
        self.layers = nn.ModuleList(
            _Layer(inputs[0], width, kernel, cond, first=i == 0) for i in range(layers)
        )
        self.head = nn.Sequential(
            nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, self.levels)
        )

    def forward(self, x: Tensor, cond: Tensor | None = None, rng: Rng | None = None) -> Tensor:
        v = h = self._features(x)
        for layer in self.layers:
            v, h = layer(v, h, cond)
        return self.head(h.unflatten(1, (self.inputs[0], -1)).movedim(2, -1)).movedim(-1, 1)

    @torch.no_grad()
    def generate(self, choose: Choose, batch: int, cond: Tensor | None = None) -> Tensor:
        channels, height, width = self.inputs
        x = torch.zeros(batch, *self.inputs, dtype=torch.int64, device=self._like.device)
        caches = [
            _Cache(layer, batch, width, cond) for layer in cast("Iterable[_Layer]", self.layers)
        ]
        for i in range(channels * height * width):
            channel = i % channels
            row = i // channels // width
            column = i // channels % width
            if row > 0 and column == channel == 0:
                v = self._features(x[:, :, row - 1 : row])
                for cache in caches:
                    v = cache.next_row(v)
            h = caches[0].step(column, channel)
            for cache in caches[1:]:
                cache.put(h, column, channel)
                h = cache.step(column, channel)
            x[:, channel, row, column] = choose(self.head(h), i)
            caches[0].put(self._features(x[:, channel : channel + 1, row, column]), column, channel)
        return x

    @property
    def _like(self) -> Tensor:
        return next(self.parameters())

    def _features(self, x: Tensor) -> Tensor:
        """Pixels (B, C, ...) -> (value, one) in the group of each channel, (B, 2 C, ...)."""
        v = to_real(x, self.levels, self._like.dtype)
        return torch.stack((v, torch.ones_like(v)), dim=2).flatten(1, 2)


class _Layer(nn.Module):
    """One layer of both stacks; `first` reads the pixels' features, two per channel, under mask A
    and has no residual.
    """

    def __init__(self, groups: int, width: int, kernel: int, cond: int, first: bool) -> None:
        super().__init__()
        self.groups = groups
        self.width = width
        self.first = first
        self.reach = kernel // 2
        size = 2 if first else width
        gates = 2 * groups * width
        self.vertical = nn.Conv2d(groups * size, gates, (self.reach + 1, kernel))
        self.down = nn.Conv2d(gates, gates, 1, bias=False)
        self.horizontal = _CausalConv(groups, size, 2 * width, self.reach + 1, strict=first)
        self.out = _CausalConv(groups, width, width, 1, strict=False)
        self.shift = nn.Linear(cond, 2 * gates, bias=False) if cond else None

    def forward(self, v: Tensor, h: Tensor, cond: Tensor | None) -> tuple[Tensor, Tensor]:
        p = self.reach
        s_v, s_h = self.shifts(cond)
        c_v = self.vertical(F.pad(v, (p, p, p, 0))) + s_v
        c_h = self.horizontal(F.pad(h, (p, 0))) + self.down(F.pad(c_v, (0, 0, 1, -1))) + s_h
        out = self.out(self.gate(c_h))
        return self.gate(c_v), out if self.first else out + h

    def shifts(self, cond: Tensor | None) -> tuple[Tensor, Tensor]:
        """s_v and s_h, each of shape (B, gates, 1, 1); without a conditioning vector zeros of shape
        (1, 1, 1, 1).
        """
        if self.shift is None or cond is None:
            zero = self.vertical.weight.new_zeros(1, 1, 1, 1)
            return zero, zero
        s_v, s_h = self.shift(cond)[:, :, None, None].chunk(2, dim=1)
        return s_v, s_h

    def gate(self, c: Tensor) -> Tensor:
        """Equation 2 within each group: (B, groups * 2 * width, ...) -> (B, groups * width, ...)."""
        a, b = c.unflatten(1, (-1, 2, self.width)).unbind(2)
        return (torch.tanh(a) * torch.sigmoid(b)).flatten(1, 2)


class _CausalConv(nn.Conv2d):
    """Convolution along a row whose last tap is the pixel itself, where group g sees groups < g
    (`strict`) or <= g.
    """

    mask: Tensor

    def __init__(self, groups: int, inputs: int, outputs: int, taps: int, strict: bool) -> None:
        super().__init__(groups * inputs, groups * outputs, (1, taps))
        mask = torch.ones_like(self.weight)
        earlier = torch.ones(groups, groups).tril(-1 if strict else 0)
        mask[:, :, 0, -1] = earlier.repeat_interleave(outputs, dim=0).repeat_interleave(
            inputs, dim=1
        )
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias)

    def matrices(self, groups: int) -> list[Tensor]:
        """Per group of outputs, the matrix from a flattened window (taps, inputs) to it."""
        weight = (self.weight * self.mask).squeeze(2)
        return [part.permute(2, 1, 0).flatten(0, 1).contiguous() for part in weight.chunk(groups)]


class _Cache:
    """What a layer has computed of the images so far: `next_row` moves the vertical stack on,
    `step` the horizontal one.
    """

    def __init__(self, layer: _Layer, batch: int, columns: int, cond: Tensor | None) -> None:
        p = layer.reach
        inputs = layer.vertical.in_channels
        self.layer = layer
        self.s_v, s_h = layer.shifts(cond)
        self.rows = s_h.new_zeros(batch, inputs, p + 1, columns + 2 * p)
        # There are p zeros to the left of column 0. Entries that the present row has not
        # overwritten yet are only multiplied by masked weights.
        self.h = s_h.new_zeros(batch, p + columns, inputs)
        self.gates = s_h.new_zeros(batch, layer.groups, layer.width)
        assert layer.horizontal.bias is not None and layer.out.bias is not None
        self.bias = layer.horizontal.bias[:, None, None] + s_h
        self.above = self._by_column(self.bias.expand(batch, -1, 1, columns))
        self.horizontal = layer.horizontal.matrices(layer.groups)
        self.out = list(zip(layer.out.bias.chunk(layer.groups), layer.out.matrices(layer.groups)))

    def next_row(self, v: Tensor) -> Tensor:
        """A finished row of the layer's vertical input, (B, inputs, 1, W) -> that of its output,
        (B, outputs, 1, W).
        """
        p = self.layer.reach
        self.rows = torch.cat((self.rows[:, :, 1:], F.pad(v, (p, p))), dim=2)
        c_v = self.layer.vertical(self.rows) + self.s_v
        self.above = self._by_column(self.layer.down(c_v) + self.bias)
        return self.layer.gate(c_v)

    def put(self, h: Tensor, column: int, group: int) -> None:
        """Sets a group of the horizontal input at a column, (B, inputs / groups)."""
        size = h.shape[1]
        self.h[:, self.layer.reach + column, group * size : (group + 1) * size] = h

    def step(self, column: int, group: int) -> Tensor:
        """A group of the horizontal output at a column, (B, width)."""
        width = self.layer.width
        p = self.layer.reach
        window = self.h[:, column : column + p + 1].flatten(1)
        c_h = torch.addmm(self.above[column, group], window, self.horizontal[group])
        self.gates[:, group] = self.layer.gate(c_h)
        bias, matrix = self.out[group]
        out = torch.addmm(bias, self.gates.flatten(1), matrix)
        if self.layer.first:
            return out
        return out + self.h[:, p + column, group * width : (group + 1) * width]

    def _by_column(self, c: Tensor) -> Tensor:
        """(B, groups * 2 * width, 1, W) -> (W, groups, B, 2 * width)."""
        return c.squeeze(2).unflatten(1, (self.layer.groups, -1)).permute(3, 1, 0, 2).contiguous()
