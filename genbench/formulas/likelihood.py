r"""Formulas that likelihood models share. Everything is in nats of integer images.

    bits/dim            -log p(x) / (D ln 2)
    Gaussian KL         KL(N(m_q, s_q^2) || N(m_p, s_p^2)) = log s_p/s_q + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2
    bin mass            P(x = k) = F(v_k + h) - F(v_k - h),  v_k = 2k/(L-1) - 1,  h = 1/(L-1);  the outer bins reach to infinity
    dequantisation      log p(x) >= E_{u ~ U[0,1)^D} log f((x + u)/L) - D log L          (Theis et al. 2016, arXiv:1511.01844)
    the same with q     log p(x) >= E_{u ~ q(u|x)} log f((x + u)/L) / q(u|x) - D log L       (Ho et al. 2019, arXiv:1902.00275)
    K weights           log p(x) >= E log 1/K sum_k w_k  where  E w_k = p(x)             (Burda et al. 2016, arXiv:1509.00519, eq. 8)

Pixels become reals in [-1, 1] by `to_real`, at the bin centres v_k, and integers again by
`to_pixels`, which rounds to the nearest centre. The bins of v_k meet half-way, so the masses of the
L bins add up to one exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.formulas.pixels import to_real

__all__ = [
    "gaussian_kl",
    "gaussian_log_density",
    "gaussian_log_mass",
    "importance_weighted",
    "location_and_scale",
    "log_ratio",
    "logistic_log_mass",
    "sum_dims",
]


def sum_dims(v: Tensor) -> Tensor:
    """(B, ...) -> (B,): the sum over an image.

    Examples:
        >>> sum_dims(torch.ones(2, 1, 8, 8)).tolist()
        [64.0, 64.0]
    """
    return v.flatten(1).sum(1)


def log_ratio(log_p: Tensor, log_q: Tensor) -> Tensor:
    """log p / q in nats, (B, n), from the parts of log p, (B, n), and those of log q, (B, m): part by
    part where n = m, which rounds less, else in one part.

    Examples:
        >>> log_ratio(torch.tensor([[3.0, 2.0]]), torch.tensor([[1.0, 1.0]])).tolist()
        [[2.0, 1.0]]
        >>> log_ratio(torch.tensor([[5.0]]), torch.tensor([[1.0, 1.0]])).tolist()
        [[3.0]]
    """
    if log_p.shape == log_q.shape:
        return log_p - log_q
    return (sum_dims(log_p) - sum_dims(log_q))[:, None]


def importance_weighted(K: int, log_w: Callable[[int], Tensor]) -> Tensor:
    """log 1/K sum_k w_k in nats, (B,), from log_w(0), ..., log_w(K - 1), asked for one after the
    other and not kept.

    Raises:
        ValueError: K is below 1.

    Examples:
        Weights 1 and 3 have the mean 2:

        >>> log_w = torch.tensor([[1.0], [3.0]]).log()
        >>> round(importance_weighted(2, lambda k: log_w[k]).exp().item(), 4)
        2.0
    """
    if K < 1:
        raise ValueError(f"K is at least 1, not {K}")
    total = first = log_w(0)
    for k in range(1, K):
        # The sum is taken in float64, because it may add thousands of small numbers to a large one.
        total = torch.logaddexp(total.double(), log_w(k).double())
    return (total - math.log(K)).to(first.dtype)


def gaussian_kl(m_q: Tensor, log_s_q: Tensor, m_p: Tensor, log_s_p: Tensor) -> Tensor:
    """KL(N(m_q, s_q^2) || N(m_p, s_p^2)) in nats, elementwise, by the log standard deviations.

    Examples:
        A shift by one standard deviation costs half a nat, and the order of the two matters:

        >>> zero = torch.tensor(0.0)
        >>> gaussian_kl(torch.tensor(1.0), zero, zero, zero).item()
        0.5
        >>> half = torch.tensor(0.5).log()
        >>> round(gaussian_kl(zero, half, zero, zero).item(), 4)
        0.3181
        >>> round(gaussian_kl(zero, zero, zero, half).item(), 4)
        0.8069
    """
    return (
        log_s_p
        - log_s_q
        + 0.5
        * (torch.exp(2 * (log_s_q - log_s_p)) + (m_q - m_p) ** 2 * torch.exp(-2 * log_s_p) - 1)
    )


def gaussian_log_density(z: Tensor, m: Tensor, log_s: Tensor) -> Tensor:
    """log N(z; m, s^2) in nats, elementwise.

    Examples:
        >>> zero = torch.tensor(0.0)
        >>> round(gaussian_log_density(zero, zero, zero).item(), 4)
        -0.9189
    """
    return -0.5 * ((z - m) * torch.exp(-log_s)) ** 2 - log_s - 0.5 * math.log(2 * math.pi)


def location_and_scale(theta: Tensor) -> tuple[Tensor, Tensor]:
    """What a decoder gives of p(x|z): channels (2C) -> mean and log scale, (B, C, H, W) each."""
    mean, log_s = theta.chunk(2, dim=1)
    # A scale below e^-7 is far narrower than a bin of 256 levels. It would gain nothing, and could
    # overflow.
    return mean, log_s.clamp(min=-7.0, max=5.0)


def logistic_log_mass(x: Tensor, levels: int, mean: Tensor, log_s: Tensor) -> Tensor:
    """Log mass in nats of pixel x under a logistic(mean, s) on [-1, 1] cut into `levels` bins,
    elementwise.

    Salimans et al. (2017), PixelCNN++, arXiv:1701.05517, eq. 2. With a = (v - h - mean)/s and b =
    (v + h - mean)/s, log(sigma(b) - sigma(a)) = log(1 - exp(a - b)) + log sigma(b) + log sigma(-a),
    which no tail can cancel.

    Examples:
        The masses of all bins add up to one:

        >>> x = torch.arange(5)
        >>> mass = logistic_log_mass(x, 5, torch.tensor(0.0), torch.tensor(0.5).log()).exp()
        >>> [round(value, 4) for value in mass.tolist()], round(mass.sum().item(), 6)
        ([0.1824, 0.1951, 0.2449, 0.1951, 0.1824], 1.0)
    """
    lower, upper = _edges(x, levels, mean, log_s)
    width = torch.exp(-log_s) * (2 / (levels - 1))
    inner = torch.log(-torch.expm1(-width)) + F.logsigmoid(upper) + F.logsigmoid(-lower)
    return _with_tails(x, levels, inner, F.logsigmoid(upper), F.logsigmoid(-lower))


def gaussian_log_mass(x: Tensor, levels: int, mean: Tensor, log_s: Tensor) -> Tensor:
    """Log mass in nats of pixel x under N(mean, s^2) on [-1, 1] cut into `levels` bins,
    elementwise.

    Ho et al. (2020), arXiv:2006.11239, eq. 13. Differences are taken in the tail where they are
    small: by symmetry Phi(b) - Phi(a) = Phi(-a) - Phi(-b), so both edges are moved to the lower
    side first.

    Examples:
        The masses of all bins add up to one:

        >>> x = torch.arange(5)
        >>> mass = gaussian_log_mass(x, 5, torch.tensor(0.0), torch.tensor(0.5).log()).exp()
        >>> [round(value, 4) for value in mass.tolist()], round(mass.sum().item(), 6)
        ([0.0668, 0.2417, 0.3829, 0.2417, 0.0668], 1.0)
    """
    lower, upper = _edges(x, levels, mean, log_s)
    flip = lower + upper > 0
    a = torch.where(flip, -upper, lower)
    b = torch.where(flip, -lower, upper)
    log_a = _log_ndtr(a)
    log_b = _log_ndtr(b)
    # This is log(e^log_b - e^log_a). The clamp keeps the gradient finite where a bin is so narrow
    # that rounding makes both edges equal.
    inner = log_b + torch.log(-torch.expm1((log_a - log_b).clamp(max=-1e-7)))
    return _with_tails(x, levels, inner, _log_ndtr(upper), _log_ndtr(-lower))


def _log_ndtr(t: Tensor) -> Tensor:
    """log Phi(t).

    The values are those of torch.special.log_ndtr, whose float32 gradient is lost in the lower
    tail.
    """
    tail = t < -1
    low = torch.where(tail, t, -1)
    high = torch.where(tail, -1, t)
    # In the lower tail, Phi(t) = erfcx(-t / sqrt 2) exp(-t^2 / 2) / 2 is used.
    log_tail = torch.log(0.5 * torch.special.erfcx(-math.sqrt(0.5) * low)) - 0.5 * low**2
    return torch.where(tail, log_tail, torch.special.log_ndtr(high))


def _edges(x: Tensor, levels: int, mean: Tensor, log_s: Tensor) -> tuple[Tensor, Tensor]:
    centred = to_real(x, levels, mean.dtype) - mean
    half = 1 / (levels - 1)
    inverse = torch.exp(-log_s)
    return (centred - half) * inverse, (centred + half) * inverse


def _with_tails(x: Tensor, levels: int, inner: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    return torch.where(x == 0, lowest, torch.where(x == levels - 1, highest, inner))
