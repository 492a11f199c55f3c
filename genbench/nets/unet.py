r"""U-Net: residual blocks on the way down and up, skips between equal sizes, self-attention where
it is affordable.

A residual block, with a the activation silu and n group normalisation of one image's channels:

    add      h' = h + conv(a(n(u + W c))),                 u = conv(a(n(h)))                   (Ho et al., appendix B)
    adagn    h' = h + conv(a((1 + W_s c) n(u) + W_b c))                                        (Dhariwal & Nichol, eq. 3)

The last convolution of every block, of the attention and of the network starts at zero: a block
begins as its skip and the output as 0. Every layer looks at one image only, so no image depends on
its batch.

References:
    Ronneberger, Fischer, Brox (2015), U-Net: convolutional networks for biomedical image
        segmentation. arXiv:1505.04597
    Ho, Jain, Abbeel (2020), Denoising diffusion probabilistic models. arXiv:2006.11239
    Dhariwal, Nichol (2021), Diffusion models beat GANs on image synthesis. arXiv:2105.05233
"""

from __future__ import annotations

import math
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.nets.net import Net
from genbench.spec import Shape

__all__ = ["UNet"]

Injection = Literal["add", "adagn"]
_GROUPS = 8


class UNet(Net):
    """(C, H, W) -> (C', H, W), H and W divisible by 2^(levels - 1). Its output is 0 before
    training.

    Args:
        inputs: Shape of an input, (C, H, W).
        outputs: Shape of an output, (C', H, W).
        cond: Length of the conditioning vector, which enters every residual block.
        width: Channels of the first level.
        multipliers: Channels of each level, in units of `width`. A level has half the height and
            width of the one before.
        blocks: Residual blocks per level on the way down; one more on the way up.
        attention: Levels with self-attention after each residual block, 0 for full size. The middle
            always has it.
        heads: Heads of the attention; divides the channels of its levels.
        injection: How the conditioning vector enters.
        patch: Squares of patch x patch pixels become channels before the first level and pixels
            after the last one: less arithmetic at full size (Hoogeboom et al. 2023,
            arXiv:2301.11093).
    """

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape,
        cond: int = 0,
        width: int = 32,
        multipliers: tuple[int, ...] = (1, 2),
        blocks: int = 1,
        attention: tuple[int, ...] = (1,),
        heads: int = 2,
        injection: Injection = "adagn",
        patch: int = 1,
    ) -> None:
        super().__init__()
        _check(inputs, outputs, width, multipliers, blocks, attention, heads, injection, patch)
        widths = [width * m for m in multipliers]
        top = len(widths) - 1
        self.patch = patch
        self.first = nn.Conv2d(inputs[0] * patch**2, widths[0], 3, padding=1)
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for level, w in enumerate(widths):
            stage = partial(
                _Stage, cond=cond, injection=injection, heads=heads if level in attention else 0
            )
            finer = widths[max(level - 1, 0)]
            coarser = widths[min(level + 1, top)]
            self.down.append(
                _Down([stage(c, w) for c in [finer, *[w] * (blocks - 1)]], w if level < top else 0)
            )
            # Each block on the way up also reads the output of a block on the way down, or of the
            # halving before it.
            sums = [coarser + w, *[w + w] * (blocks - 1), w + finer]
            self.up.insert(0, _Up([stage(c, w) for c in sums], w if level > 0 else 0))
        self.middle = nn.ModuleList(
            _Stage(widths[-1], widths[-1], cond, injection, h) for h in (heads, 0)
        )
        last = _zero(nn.Conv2d(widths[0], outputs[0] * patch**2, 3, padding=1))
        self.last = nn.Sequential(_norm(widths[0]), nn.SiLU(), last)

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        skips = [self.first(F.pixel_unshuffle(x, self.patch))]
        for row in self.down:
            row(skips, cond)
        h = skips[-1]
        for stage in self.middle:
            h = stage(h, cond)
        for row in self.up:
            h = row(h, skips, cond)
        return F.pixel_shuffle(self.last(h), self.patch)


class _Down(nn.Module):
    """Blocks of one level and a halving of the size; every result is appended to the skips."""

    def __init__(self, stages: list[_Stage], shrink: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.shrink = nn.Conv2d(shrink, shrink, 3, stride=2, padding=1) if shrink else None

    def forward(self, skips: list[Tensor], cond: Tensor | None) -> None:
        for stage in self.stages:
            skips.append(stage(skips[-1], cond))
        if self.shrink is not None:
            skips.append(self.shrink(skips[-1]))


class _Up(nn.Module):
    """Blocks of one level, each on h and the last skip, and a doubling of the size."""

    def __init__(self, stages: list[_Stage], grow: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.grow = nn.Conv2d(grow, grow, 3, padding=1) if grow else None

    def forward(self, h: Tensor, skips: list[Tensor], cond: Tensor | None) -> Tensor:
        for stage in self.stages:
            h = stage(torch.cat((h, skips.pop()), dim=1), cond)
        if self.grow is None:
            return h
        return self.grow(F.interpolate(h, scale_factor=2.0, mode="nearest"))


class _Stage(nn.Module):
    """A residual block, and self-attention where heads > 0."""

    def __init__(
        self, inputs: int, outputs: int, cond: int, injection: Injection, heads: int
    ) -> None:
        super().__init__()
        self.block = _Block(inputs, outputs, cond, injection)
        self.attention = _Attention(outputs, heads) if heads else nn.Identity()

    def forward(self, h: Tensor, cond: Tensor | None) -> Tensor:
        return self.attention(self.block(h, cond))


class _Block(nn.Module):
    """The residual block of the module's docstring; a 1x1 convolution carries h where the number of
    channels changes.
    """

    def __init__(self, inputs: int, outputs: int, cond: int, injection: Injection) -> None:
        super().__init__()
        self.before = nn.Sequential(
            _norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1)
        )
        self.inject = (
            nn.Linear(cond, outputs * (2 if injection == "adagn" else 1)) if cond else None
        )
        self.injection = injection
        self.norm = _norm(outputs)
        self.after = nn.Sequential(nn.SiLU(), _zero(nn.Conv2d(outputs, outputs, 3, padding=1)))
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, h: Tensor, cond: Tensor | None) -> Tensor:
        return self.skip(h) + self.after(self.normed(self.before(h), cond))

    def normed(self, u: Tensor, cond: Tensor | None) -> Tensor:
        """n(u + W c), or (1 + W_s c) n(u) + W_b c."""
        if self.inject is None or cond is None:
            return self.norm(u)
        shift = self.inject(cond)[:, :, None, None]
        if self.injection == "add":
            return self.norm(u + shift)
        scale, shift = shift.chunk(2, dim=1)
        return (1 + scale) * self.norm(u) + shift


class _Attention(nn.Module):
    """h + W_o attention(W_q n(h), W_k n(h), W_v n(h)) over the H W positions of an image."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = _norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = _zero(nn.Conv2d(channels, channels, 1))

    def forward(self, h: Tensor) -> Tensor:
        # (B, 3 heads d, H, W) -> three of (B, heads, H W, d)
        q, k, v = (
            self.qkv(self.norm(h))
            .flatten(2)
            .unflatten(1, (3, self.heads, -1))
            .transpose(3, 4)
            .unbind(1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v)
        return h + self.out(mixed.transpose(2, 3).flatten(1, 2).unflatten(2, h.shape[2:]))


def _check(
    inputs: Shape,
    outputs: Shape,
    width: int,
    multipliers: tuple[int, ...],
    blocks: int,
    attention: tuple[int, ...],
    heads: int,
    injection: str,
    patch: int,
) -> None:
    if len(inputs) != 3 or len(outputs) != 3 or inputs[1:] != outputs[1:]:
        raise ValueError(
            f"UNet: inputs and outputs are (C, H, W) of one height and width, not {inputs} and"
            f" {outputs}"
        )
    if min(width, blocks, heads, patch, *multipliers, len(multipliers)) < 1:
        given = f"{width}, {blocks}, {heads}, {patch} and {multipliers}"
        raise ValueError(
            f"UNet: width, blocks, heads, patch and multipliers are at least 1, not {given}"
        )
    factor = patch * 2 ** (len(multipliers) - 1)
    levels = len(multipliers)
    if inputs[1] % factor or inputs[2] % factor:
        what = (
            f"{levels} levels and patches of {patch} need a height and width divisible by {factor}"
        )
        raise ValueError(f"UNet: {what}, not {inputs[1]} x {inputs[2]}")
    if not set(attention) <= set(range(levels)):
        raise ValueError(f"UNet: attention names levels from 0 to {levels - 1}, not {attention}")
    for level in {*attention, levels - 1}:
        if width * multipliers[level] % heads:
            raise ValueError(
                f"UNet: {heads} heads do not divide the {width * multipliers[level]} channels of"
                f" level {level}"
            )
    if injection not in ("add", "adagn"):
        raise ValueError(f"UNet: injection is 'add' or 'adagn', not {injection!r}")


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(_GROUPS, channels), channels)
