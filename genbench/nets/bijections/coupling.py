r"""Bijections that flows are made of: y = f(x) with log|det df/dx| in nats, and x = f^{-1}(y).

    additive coupling y = x + (1 - b) t,   t = net(b x, c),   log|det| = 0
    scaling           y = x exp(s),   log|det| = sum s
    affine coupling   y = b x + (1 - b) (x exp(s) + t),   (s, t) = net(b x, c),   log|det| = sum (1 - b) s
    squeeze           (C, H, W) -> (4C, H/2, W/2), a permutation
    factoring out     h = f(x);  (z', h') = halves of h;  y = (z', g(h'))
    logit             y = logit(alpha + (1 - 2 alpha) v)

Dinh, Krueger, Bengio (2014), NICE, arXiv:1410.8516, sections 3.2 and 3.3; Dinh, Sohl-Dickstein,
Bengio (2017), Density estimation using Real NVP, arXiv:1605.08803, sections 3.2 to 3.6 and 4.1.
Equation numbers are those of Real NVP unless NICE is named. The mask b is 1 on the entries that stay and that the network sees. A
conditioning vector c, where there is one, is given to every coupling's network: f is then one
bijection of x for each c.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genbench.formulas.likelihood import sum_dims
from genbench.nets.bijections.bijection import Bijection
from genbench.nets.net import Net, NetFactory
from genbench.spec import Shape

__all__ = [
    "AdditiveCoupling",
    "AffineCoupling",
    "FactorOut",
    "Flatten",
    "Logit",
    "Scaling",
    "Squeeze",
    "channel_mask",
    "checkerboard_mask",
    "parity_mask",
]


class AdditiveCoupling(Bijection):
    """Entries outside the mask are shifted by a function of those inside it; volume is preserved.

    Args:
        mask: b, 0 or 1, of shape (C, H, W).
        net: Network from (C, H, W) to (C, H, W).
    """

    mask: Tensor

    def __init__(self, mask: Tensor, net: Net) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mask", mask.to(torch.get_default_dtype()), persistent=False)

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        # See NICE, section 3.2.
        return x + self._shift(x, cond), x.new_zeros(len(x))

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        # Since b y = b x, the network sees the same entries as in `forward`.
        return y - self._shift(y, cond)

    def _shift(self, x: Tensor, cond: Tensor | None) -> Tensor:
        return (1 - self.mask) * self.net(self.mask * x, cond).to(x.dtype)


class Scaling(Bijection):
    """Every entry is multiplied by a positive number of its own, exp(s).

    Args:
        shape: (C, H, W).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        # See NICE, section 3.3.
        return x * torch.exp(self.log_scale), self.log_scale.sum().expand(len(x))

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        return y * torch.exp(-self.log_scale)


class AffineCoupling(Bijection):
    """Entries outside the mask are scaled and shifted by functions of those inside it.

    The log-scale is bounded as in the paper's section 4.1: s = g tanh(.), with a learned g per
    channel.

    Args:
        mask: b, 0 or 1, of shape (C, H, W).
        net: Network from (C, H, W) to (2C, H, W).
    """

    mask: Tensor

    def __init__(self, mask: Tensor, net: Net) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("mask", mask.to(torch.get_default_dtype()), persistent=False)
        self.bound = nn.Parameter(torch.ones(len(mask), 1, 1))

    @classmethod
    def with_net(cls, mask: Tensor, net: NetFactory, cond: int) -> AffineCoupling:
        """A coupling and its network, with a conditioning vector of length `cond`."""
        C, H, W = mask.shape
        return cls(mask, net((C, H, W), (2 * C, H, W), cond))

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        # This is eq. 9, since s = t = 0 where b = 1.
        s, t = self._scale_and_shift(x, cond)
        return x * torch.exp(s) + t, sum_dims(s)

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        # This is eq. 8. Since b y = b x, the network sees the same entries as in `forward`.
        s, t = self._scale_and_shift(y, cond)
        return (y - t) * torch.exp(-s)

    def _scale_and_shift(self, x: Tensor, cond: Tensor | None) -> tuple[Tensor, Tensor]:
        # The network may run in a lower precision, but the scale and its log-determinant do not.
        s, t = self.net(self.mask * x, cond).to(x.dtype).chunk(2, dim=1)
        free = 1 - self.mask
        return free * self.bound * torch.tanh(s), free * t


class Squeeze(Bijection):
    """Every 2x2 square of pixels becomes one pixel of four times the channels: the upper two
    pixels' channels come first.
    """

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        blocks = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # (B, C, H/2, 2, W/2, 2)
        return blocks.permute(0, 3, 5, 1, 2, 4).flatten(1, 3), x.new_zeros(len(x))

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        blocks = y.unflatten(1, (2, 2, -1))  # (B, 2, 2, C, H/2, W/2)
        return blocks.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)


class Flatten(Bijection):
    """(C, H, W) -> (CHW,).

    Args:
        shape: (C, H, W).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x.flatten(1), x.new_zeros(len(x))

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        return y.unflatten(1, self.shape)


class FactorOut(Bijection):
    """One scale: half of the channels of `here` are done, the other half goes on to `rest`. Eqs. 13
    to 16.

    Args:
        here: f, from images to images of shape `shape`, with an even number of channels.
        rest: g, from images of half as many channels to vectors.
        shape: Shape of f's images.
    """

    def __init__(self, here: Bijection, rest: Bijection, shape: Shape) -> None:
        super().__init__()
        self.here = here
        self.rest = rest
        self.left = (shape[0] // 2, *shape[1:])

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        h, log_det = self.here(x, cond)
        done, going = h.chunk(2, dim=1)
        z, more = self.rest(going, cond)
        return torch.cat((done.flatten(1), z), dim=1), log_det + more

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        done, z = y.tensor_split((math.prod(self.left),), dim=1)
        h = torch.cat((done.unflatten(1, self.left), self.rest.inverse(z, cond)), dim=1)
        return self.here.inverse(h, cond)


class Logit(Bijection):
    """y = logit(p) with p = alpha + (1 - 2 alpha) v, for v in the unit cube and a little beyond.

    Section 4.1 has 1 - alpha in place of 1 - 2 alpha, which sends v = 1 to infinity; this form is
    that of Papamakarios et al. (2017), arXiv:1705.07057.

    Args:
        alpha: Distance that v = 0 and v = 1 keep from 0 and 1, 0 < alpha < 1/2.
    """

    def __init__(self, alpha: float) -> None:
        super().__init__()
        if not 0 < alpha < 0.5:
            raise ValueError(f"Logit: alpha is between 0 and 0.5, not {alpha}")
        self.alpha = alpha

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        p = self.alpha + (1 - 2 * self.alpha) * x
        log_p = torch.log(p)
        log_q = torch.log1p(-p)
        # The derivative is dy/dv = (1 - 2 alpha) / (p (1 - p)).
        return log_p - log_q, sum_dims(math.log(1 - 2 * self.alpha) - log_p - log_q)

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> Tensor:
        return (torch.sigmoid(y) - self.alpha) / (1 - 2 * self.alpha)


def checkerboard_mask(shape: Shape, parity: int) -> Tensor:
    """b = 1 where row + column is odd (parity 0) or even (parity 1): bool, (C, H, W).

    Figure 3, left.
    """
    row = torch.arange(shape[1])[:, None]
    column = torch.arange(shape[2])
    return ((row + column + parity) % 2 == 1).expand(shape)


def channel_mask(shape: Shape, parity: int) -> Tensor:
    """b = 1 in the second half of the channels (parity 0) or in the first (parity 1): bool, (C, H,
    W). Figure 3, right.
    """
    second = torch.arange(shape[0])[:, None, None] >= shape[0] // 2
    return (second ^ bool(parity)).expand(shape)


def parity_mask(shape: Shape, parity: int) -> Tensor:
    """b = 1 where the index of an entry, counted through the whole image, is odd (parity 0) or even
    (parity 1): bool, (C, H, W).

    NICE, section 5.1.
    """
    index = torch.arange(math.prod(shape)).view(shape)
    return (index + parity) % 2 == 1
