r"""Features of a scalar time, from which models make the conditioning vector of a network.

    sinusoidal    (cos w_k t, sin w_k t),   w_k = P^(-k/K),    k = 0, ..., K - 1                  (Vaswani et al., section 3.5)
    fourier       (cos w_k t, sin w_k t),   w_k = 2 pi s g_k,  g_k ~ N(0, 1), drawn once          (Tancik et al., section 3)

References:
    Vaswani et al. (2017), Attention is all you need. arXiv:1706.03762
    Tancik et al. (2020), Fourier features let networks learn high frequency functions.
    arXiv:2006.10739
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genbench.rng import Rng

__all__ = ["Fourier", "Sinusoidal"]


class _Waves(nn.Module):
    """t, (B,) -> cosines and sines of w t, (B, 2 K)."""

    w: Tensor

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.register_buffer("w", w.to(torch.get_default_dtype()))

    def forward(self, t: Tensor) -> Tensor:
        phase = t[:, None].to(self.w.dtype) * self.w
        return torch.cat((phase.cos(), phase.sin()), dim=1)


class Sinusoidal(_Waves):
    """Geometric frequencies from 1 down to nearly 1 / period, in radians per unit of t.

    Args:
        width: Number of features, even.
        period: P, about the longest time told apart.
    """

    def __init__(self, width: int, period: float = 10_000.0) -> None:
        super().__init__(
            period ** (-torch.arange(_pairs(width), dtype=torch.float64) / _pairs(width))
        )


class Fourier(_Waves):
    """Gaussian frequencies: a function of the seed alone, stored with the weights.

    Args:
        width: Number of features, even.
        scale: s, standard deviation of the frequencies in cycles per unit of t.
        seed: Seed of the frequencies; they are part of the network, not of a run.
    """

    def __init__(self, width: int, scale: float = 8.0, seed: int = 0) -> None:
        g = Rng(seed, range(1), torch.float64).split("fourier features").normal((_pairs(width),))[0]
        super().__init__(2 * math.pi * scale * g)


def _pairs(width: int) -> int:
    if width < 2 or width % 2:
        raise ValueError(
            "time features come in pairs of cosine and sine: their number is even and at least 2,"
            f" not {width}"
        )
    return width // 2
