"""NICE: additive couplings, then one scale per entry.

    h_0 = a (v - 1/2);   h_i = h_{i-1} + (1 - b_i) net_i(b_i h_{i-1}),   i = 1, ..., n;   z = exp(s) h_n
    log|det dz/dv| = D log a + sum s

The masks b_i hold the entries of odd and of even index, in turn (section 5.1). Without the scaling
every bijection of this kind would preserve volume.

Unlike in the paper, v is centred, and a = 2 pi gives uniform entries the variance of the logistic
prior, pi^2 / 3, before any coupling. Networks whose inputs are about 1/4 instead of about 2 learn
no detail: for points of the plane, their density ends as one blob.

References:
    Dinh, Krueger, Bengio (2014), NICE: Non-linear independent components estimation.
    arXiv:1410.8516
"""

from __future__ import annotations

import math

from torch import Tensor

from genbench.nets.bijections.bijection import Bijection, Chain
from genbench.nets.bijections.coupling import AdditiveCoupling, Flatten, Scaling, parity_mask
from genbench.nets.net import NetFactory
from genbench.spec import Shape

__all__ = ["NICE"]

# This is a. With it, uniform entries have the variance of the prior, pi^2 / 3.
_A = 2 * math.pi


class NICE(Bijection):
    """Additive couplings and a diagonal scaling.

    Args:
        shape: Shape of an image, (C, H, W).
        cond: Length of the conditioning vector.
        net: Network of a coupling, (C, H, W) -> (C, H, W).
        couplings: Number of couplings; three are needed for every entry to depend on every other.
    """

    def __init__(self, shape: Shape, cond: int, net: NetFactory, couplings: int = 4) -> None:
        super().__init__()
        if couplings < 2:
            raise ValueError(
                f"NICE: couplings is at least 2, not {couplings}: a coupling leaves half of the"
                " entries alone"
            )
        if math.prod(shape) < 2:
            raise ValueError(f"NICE: images of shape {shape} have no second entry to couple with")
        shifts = [
            AdditiveCoupling(parity_mask(shape, i % 2), net(shape, shape, cond))
            for i in range(couplings)
        ]
        self.chain = Chain([*shifts, Scaling(shape), Flatten(shape)])

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_det = self.chain(_A * (x - 0.5), cond)
        return z, log_det + x[0].numel() * math.log(_A)

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        return self.chain.inverse(y, cond) / _A + 0.5
