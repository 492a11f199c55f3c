r"""Noise schedules: beta_1, ..., beta_T of the forward process q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I).

    abar_t = prod_{i <= t} (1 - beta_i),    q(x_t | x_0) = N(sqrt(abar_t) x_0, (1 - abar_t) I)

    linear    beta_t from 10^-4 to 0.02 in equal steps at T = 1000, where abar_T = 4.0e-5; scaled by 1000 / T at any other T.
              abar_T then stays for long chains (4.3e-5 at 5000), and falls for short ones: 2.0e-5
              at 100, 5.6e-11 at 20
    cosine    abar_t = f(t) / f(0),   f(t) = cos^2((t/T + s) / (1 + s) pi/2),   s = 0.008          (Nichol & Dhariwal, eq. 17)

No beta exceeds 0.999. Everything is float64: 1 - abar_1 would lose half of its digits in float32.

References:
    Ho, Jain, Abbeel (2020), Denoising diffusion probabilistic models. arXiv:2006.11239, section 4
    Nichol, Dhariwal (2021), Improved denoising diffusion probabilistic models. arXiv:2102.09672,
    section 3.2
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Schedule", "betas"]

Schedule = Literal["linear", "cosine"]
_LARGEST = 0.999


def betas(schedule: Schedule, T: int) -> Tensor:
    """beta_1, ..., beta_T, float64 of shape (T,)."""
    if schedule == "linear":
        return (torch.linspace(1e-4, 0.02, T, dtype=torch.float64) * (1000 / T)).clamp(max=_LARGEST)
    if schedule == "cosine":
        f = (
            torch.cos(
                (torch.linspace(0, 1, T + 1, dtype=torch.float64) + 0.008) / 1.008 * (math.pi / 2)
            )
            ** 2
        )
        return (1 - f[1:] / f[:-1]).clamp(max=_LARGEST)
    raise ValueError(f"schedule is 'linear' or 'cosine', not {schedule!r}")
