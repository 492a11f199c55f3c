r"""A network that is told the time and the label of a noisy image, and the preconditioning of a denoiser.

Features of t pass through two layers, a linear map of the one-hot label is added, and the sum conditions any net.

    D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)                                    (Karras et al., eq. 7 and table 1)
    c_skip = s^2 / (sigma^2 + s^2)      c_out = sigma s / sqrt(sigma^2 + s^2)
    c_in = 1 / sqrt(sigma^2 + s^2)      c_noise = log(sigma) / 4              s = sigma_data, the scale of the data

F then has inputs and targets of unit variance at every sigma, and D, which has to be E[x | x + sigma eps], amplifies its errors as
little as possible (appendix B.6).

References:
    Karras et al. (2022), Elucidating the design space of diffusion-based generative models. arXiv:2206.00364
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from genbench.formulas.noise import Level, expand
from genbench.formulas.samplers import Denoise
from genbench.nets.net import NetFactory
from genbench.nets.time import Sinusoidal
from genbench.spec import Shape

__all__ = ["Denoiser", "Preconditioning", "TimedNet", "precondition"]


# The fastest feature turns by this many radians per unit of c_noise, which spans 2.6. The slowest
# feature turns by about one radian.
_TURNS = 40.0


class TimedNet(nn.Module):
    """F(x_t, t, y): any net, conditioned on a time and a label.

    Args:
        net: The network.
        shape: Shape of x_t and of the output.
        features: Features of t, (B,) -> (B, cond).
        cond: Length of the conditioning vector.
        classes: Number of labels; 0 for a network of x_t and t alone.
    """

    def __init__(
        self, net: NetFactory, shape: Shape, features: nn.Module, cond: int, classes: int = 0
    ) -> None:
        super().__init__()
        hidden = nn.Linear(cond, cond)
        last = nn.Linear(cond, cond)
        self.time = nn.Sequential(features, hidden, nn.SiLU(), last)
        self.label = nn.Linear(classes, cond, bias=False) if classes else None
        self.net = net(shape, shape, cond)

    def forward(self, x_t: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """F, of the shape of x_t. t: (B,). y: one-hot (B, K), or None for a network without labels,
        or where the label is left out.
        """
        cond = self.time(t)
        if self.label is not None and y is not None:
            cond = cond + self.label(y)
        return self.net(x_t, cond)


class Preconditioning(NamedTuple):
    """The four scalars of a denoiser at every noise level, of the shape of sigma."""

    skip: Tensor
    out: Tensor
    inner: Tensor
    noise: Tensor


def precondition(sigma: Tensor, sigma_data: float) -> Preconditioning:
    """Table 1 of Karras et al., column "Ours"."""
    total = sigma**2 + sigma_data**2
    return Preconditioning(
        skip=sigma_data**2 / total,
        out=sigma * sigma_data * total.rsqrt(),
        inner=total.rsqrt(),
        noise=torch.log(sigma) / 4,
    )


class Denoiser(nn.Module):
    """D(x; sigma, y), a preconditioned network.

    Args:
        net: F.
        shape: Shape of x.
        sigma_data: Root mean square of the data.
        cond: Length of the conditioning vector made from c_noise, even.
        classes: Number of labels; 0 for a network without labels.
    """

    def __init__(
        self, net: NetFactory, shape: Shape, sigma_data: float, cond: int, classes: int = 0
    ) -> None:
        super().__init__()
        if not sigma_data > 0:
            raise ValueError(f"sigma_data is above 0, not {sigma_data}")
        self.sigma_data = sigma_data
        self.net = TimedNet(net, shape, Sinusoidal(cond, period=_TURNS), cond, classes)

    def forward(self, x: Tensor, sigma: Tensor, y: Tensor | None = None) -> Tensor:
        """D, of the shape of x; E[image | x] where it is learnt. sigma: (B,). y: one-hot (B, K)."""
        c = precondition(expand(sigma, x), self.sigma_data)
        return c.skip * x + c.out * self.net(c.inner * x, _TURNS * c.noise.flatten(), y)

    def at_levels(self, y: Tensor | None = None) -> Denoise:
        """D of x_t = alpha x + sigma eps, as samplers ask for it. y: one-hot (B, K)."""

        def denoise(x_t: Tensor, level: Level) -> Tensor:
            sigma = x_t.new_full((len(x_t),), level.sigma / level.alpha)
            return self(x_t / level.alpha, sigma, y)

        return denoise

    def weight(self, sigma: Tensor) -> Tensor:
        """lambda(sigma) = 1 / c_out^2, of the shape of sigma: with it, the mean square error of D
        is 1 at every sigma where F is 0.
        """
        return precondition(sigma, self.sigma_data).out ** -2
