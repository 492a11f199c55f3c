"""Convolutional networks from images to vectors and back, by DCGAN's rules, and one that judges patches.

The five rules of Radford et al., section 3: (1) strided convolutions in place of pooling, (2) batch
normalisation in all layers but the outermost, (3) no fully connected hidden layers, (4) ReLU on the
way up, (5) LeakyReLU on the way down. Each is an argument: to try DCGAN without it, and, the second,
so that the same networks serve as the encoder and decoder of an autoencoder.

References:
    Radford, Metz, Chintala (2016), Unsupervised Representation Learning with Deep Convolutional
    GANs. arXiv:1511.06434
    Isola, Zhu, Zhou, Efros (2017), Image-to-image translation with conditional adversarial
    networks (patches: section 3.2.2). arXiv:1611.07004
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from genbench.nets.net import Net
from genbench.nets.norm import BatchNorm
from genbench.spec import Shape

__all__ = ["ConvDecoder", "ConvEncoder", "ConvPatches"]

Norm = Literal["batch", "group", "none"]
Activation = Literal["leaky_relu", "relu", "tanh"]

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
}


class ConvEncoder(Net):
    """Images (B, C, H, W) -> vectors: a 3x3 convolution, `stages` halvings of the size, one
    convolution over what is left.

    Args:
        inputs: (C, H, W), H and W divisible by 2^stages.
        outputs: Any shape.
        cond: Length of the conditioning vector, appended to the image as constant channels.
        width: Channels at full size; doubled at every halving.
        stages: Number of halvings.
        norm: Rule 2: normalisation between the outermost layers.
        strided: Rule 1: halvings by the stride of a convolution. False: by the mean of 2x2 pixels
            after a 3x3 convolution.
        hidden: Rule 3 is 0. Above: neurons of a fully connected layer before the last.
        activation: Rule 5: what follows every layer but the last.
    """

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape,
        cond: int = 0,
        width: int = 32,
        stages: int = 2,
        norm: Norm = "group",
        strided: bool = True,
        hidden: int = 0,
        activation: Activation = "leaky_relu",
    ) -> None:
        super().__init__()
        self.outputs = outputs
        channels, height, width_left = _smallest(inputs, stages, width, hidden)
        widths = [width * 2**stage for stage in range(stages + 1)]
        layers: list[nn.Module] = [
            nn.Conv2d(channels + cond, width, 3, padding=1),
            _activation(activation),
        ]
        for narrow, wide in pairwise(widths):
            if strided:
                layers.append(nn.Conv2d(narrow, wide, 4, stride=2, padding=1))
            else:
                layers += [nn.Conv2d(narrow, wide, 3, padding=1), nn.AvgPool2d(2)]
            layers += [_norm(norm, wide), _activation(activation)]
        # A convolution whose kernel covers the whole remaining image is a fully connected layer.
        last, size = widths[-1], (height, width_left)
        if hidden:
            layers += [nn.Conv2d(last, hidden, size), _activation(activation)]
            last, size = hidden, (1, 1)
        self.layers = nn.Sequential(*layers, nn.Conv2d(last, math.prod(outputs), size))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        if cond is not None:
            x = torch.cat((x, cond[:, :, None, None].expand(-1, -1, *x.shape[2:])), dim=1)
        return self.layers(x).flatten(1).unflatten(1, self.outputs)


class ConvDecoder(Net):
    """Vectors -> images (B, C, H, W): mirror image of `ConvEncoder`, by transposed convolutions.

    Args:
        inputs: (features,).
        outputs: (C, H, W), H and W divisible by 2^stages.
        cond: Length of the conditioning vector, appended to the input.
        width: Channels at full size; doubled at every halving.
        stages: Number of doublings of the size.
        norm: Rule 2: normalisation between the outermost layers.
        strided: Rule 1: doublings by the stride of a transposed convolution. False: by repeating
            every pixel before a 3x3 convolution.
        hidden: Rule 3 is 0. Above: neurons of a fully connected layer behind the vector.
        activation: Rule 4: what follows every layer but the last.
    """

    def __init__(
        self,
        inputs: Shape,
        outputs: Shape,
        cond: int = 0,
        width: int = 32,
        stages: int = 2,
        norm: Norm = "group",
        strided: bool = True,
        hidden: int = 0,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        channels, height, width_left = _smallest(outputs, stages, width, hidden)
        widths = [width * 2**stage for stage in range(stages, -1, -1)]
        first = math.prod(inputs) + cond
        layers: list[nn.Module] = []
        if hidden:
            layers += [nn.Conv2d(first, hidden, 1), _activation(activation)]
            first = hidden
        layers += [
            nn.ConvTranspose2d(first, widths[0], (height, width_left)),
            _norm(norm, widths[0]),
            _activation(activation),
        ]
        for wide, narrow in pairwise(widths):
            if strided:
                layers.append(nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1))
            else:
                layers += [nn.Upsample(scale_factor=2), nn.Conv2d(wide, narrow, 3, padding=1)]
            layers += [_norm(norm, narrow), _activation(activation)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        x = x.flatten(1) if cond is None else torch.cat((x.flatten(1), cond), dim=1)
        return self.layers(x[:, :, None, None])


class ConvPatches(Net):
    """Images -> numbers for the patch around every pixel: `depth` 3x3 convolutions, so that each
    number is a function of 2 depth + 1 by 2 depth + 1 pixels and of nothing else.

    There is no normalisation: its statistics would tell a patch of the whole image. A generator is
    trained against such patches in pix2pix (Isola et al., section 3.2.2).

    Args:
        inputs: (C, H, W).
        outputs: (C', H, W).
        cond: Length of the conditioning vector, appended to the image as constant channels.
        width: Channels of the hidden layers.
        depth: Number of convolutions, at least one.
    """

    def __init__(
        self, inputs: Shape, outputs: Shape, cond: int = 0, width: int = 64, depth: int = 3
    ) -> None:
        super().__init__()
        if len(inputs) != 3 or len(outputs) != 3 or inputs[1:] != outputs[1:]:
            raise ValueError(
                "ConvPatches: inputs and outputs are (C, H, W) of one height and width, "
                f"not {inputs} and {outputs}"
            )
        if width < 1 or depth < 1:
            raise ValueError(
                f"ConvPatches: width and depth are at least 1, not {width} and {depth}"
            )
        layers: list[nn.Module] = []
        channels = inputs[0] + cond
        for _ in range(depth - 1):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.LeakyReLU(0.2)]
            channels = width
        self.layers = nn.Sequential(*layers, nn.Conv2d(channels, outputs[0], 3, padding=1))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        if cond is not None:
            x = torch.cat((x, cond[:, :, None, None].expand(-1, -1, *x.shape[2:])), dim=1)
        return self.layers(x)


def _smallest(shape: Shape, stages: int, base: int, hidden: int) -> Shape:
    channels, height, width = shape
    if base < 1:
        raise ValueError(f"width is at least 1, not {base}")
    if hidden < 0:
        raise ValueError(f"hidden is at least 0, which is no hidden layer, not {hidden}")
    if stages < 0 or height % 2**stages or width % 2**stages:
        raise ValueError(
            f"stages = {stages} does not fit images of {height} x {width}: both must be divisible"
            " by 2^stages"
        )
    return channels, height // 2**stages, width // 2**stages


def _norm(norm: Norm, channels: int) -> nn.Module:
    if norm == "batch":
        return BatchNorm(channels)
    if norm == "group":
        return nn.GroupNorm(math.gcd(8, channels), channels)
    if norm == "none":
        return nn.Identity()
    raise ValueError(f"norm is 'batch', 'group' or 'none', not {norm!r}")


def _activation(name: Activation) -> nn.Module:
    if name not in _ACTIVATIONS:
        raise ValueError(f"activation is one of {', '.join(_ACTIVATIONS)}, not {name!r}")
    return _ACTIVATIONS[name]()
