"""RealNVP: affine couplings with checkerboard and channel-wise masks, at several scales.

There are two differences from the paper. Group normalisation takes the place of batch
normalisation, and only inside the networks, so that the density of an image does not depend on its
batch. Every group has the same number of couplings, where the paper has 3, 3 and, at the last
scale, 4.

References:
    Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP. arXiv:1605.08803
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from genbench.nets.bijections.bijection import Bijection, Chain
from genbench.nets.bijections.coupling import (
    AffineCoupling,
    FactorOut,
    Flatten,
    Logit,
    Squeeze,
    channel_mask,
    checkerboard_mask,
)
from genbench.nets.net import NetFactory
from genbench.spec import Shape

__all__ = ["RealNVP"]


class RealNVP(Bijection):
    """The logit transform, then affine couplings at several scales.

    Its inverse lies in the unit cube, or beyond it by less than alpha / (1 - 2 alpha).

    Args:
        shape: Shape of an image, (C, H, W).
        cond: Length of the conditioning vector.
        net: Network of a coupling, (C, H, W) -> (2C, H, W).
        scales: Scales s: height and width are halved s - 1 times, and half of the entries leave
            each time.
        couplings: Couplings in a row between one change of mask type, squeeze or scale and the
            next.
        alpha: Margin of the logit transform, 0 < alpha < 1/2.
    """

    def __init__(
        self,
        shape: Shape,
        cond: int,
        net: NetFactory,
        scales: int = 2,
        couplings: int = 4,
        alpha: float = 0.05,
    ) -> None:
        super().__init__()
        most = _most_scales(shape)
        if not 1 <= scales <= most:
            raise ValueError(
                f"RealNVP: images of shape {shape} allow at most {most} scales and at least 1, not"
                f" {scales}"
            )
        if couplings < 2:
            raise ValueError(
                f"RealNVP: couplings is at least 2, not {couplings}: a coupling leaves half of the"
                " entries alone"
            )
        coupling = partial(AffineCoupling.with_net, net=net, cond=cond)
        self.chain = Chain([Logit(alpha), _multi_scale(shape, coupling, scales, couplings)])

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.chain(x, cond)

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        return self.chain.inverse(y, cond)


def _multi_scale(
    shape: Shape, coupling: Callable[[Tensor], Bijection], scales: int, couplings: int
) -> Bijection:
    """Section 3.6: couplings by checkerboard, squeeze, couplings by channel, factor out.

    No channel masks at the last scale.
    """
    C, H, W = shape
    checkerboard = [coupling(checkerboard_mask(shape, i % 2)) for i in range(couplings)]
    if scales == 1:
        return Chain([*checkerboard, Flatten(shape)])
    squeezed = (4 * C, H // 2, W // 2)
    channelwise = [coupling(channel_mask(squeezed, i % 2)) for i in range(couplings)]
    rest = _multi_scale((2 * C, H // 2, W // 2), coupling, scales - 1, couplings)
    return FactorOut(Chain([*checkerboard, Squeeze(), *channelwise]), rest, squeezed)


def _most_scales(shape: Shape) -> int:
    """How often height and width can be halved, leaving two pixels for the last checkerboard, and
    one; 0 for a single pixel.
    """
    _, H, W = shape
    if H * W < 2:
        return 0
    return 1 + (_most_scales((1, H // 2, W // 2)) if H % 2 == W % 2 == 0 else 0)
