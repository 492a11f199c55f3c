r"""Annealed importance sampling: importance weights that stay even where the proposal is far from
the target.

    Z = E_{e ~ N(0, I)} w(e),  e in R^d                         what importance sampling estimates, by log w(e_0)
    f_t(e) = N(e; 0, I) w(e)^{beta_t},  0 = beta_0 < beta_1 < ... < beta_T = 1                                  (Neal, eq. 3)
    e_0 ~ N(0, I),  e_t ~ T_t(e_t | e_{t-1}),  where T_t leaves f_t invariant
    log w_AIS = sum_{t=1}^T (beta_t - beta_{t-1}) log w(e_{t-1}),    E w_AIS = Z                                (Neal, eq. 11)

For a decoder with latents z = m + s e, e ~ N(0, I), that is q(z) = N(m, s^2), the weight is w(e) = p(x|z) p(z) / q(z), and Z = p(x):
the chain starts from any Gaussian q, such as the encoder's, and ends at the posterior. T = 1 is
importance sampling.

    beta_t    (sigma(4 (2t/T - 1)) - sigma(-4)) / (sigma(4) - sigma(-4))                                        (Wu et al., sec. 4)
    T_t       Hamiltonian: r ~ N(0, I), ten leapfrog steps of size eps of H = |r|^2 / 2 - log f_t(e), accepted with probability
              min(1, exp(H_before - H_after))                                                          (Neal 2011, arXiv:1206.1901)
    eps       of each image: times 1.1 after an acceptance, divided by 1.19 after a rejection, which settles at 65 %

Since eps depends on the past of the chain, E w_AIS = Z holds only nearly. log w_AIS is an estimate
of log Z, and on average it is too low.

References:
    Neal (2001), Annealed importance sampling. Statistics and Computing 11. arXiv:physics/9803008
    Wu, Burda, Salakhutdinov, Grosse (2017), On the quantitative analysis of decoder-based
    generative models. arXiv:1611.04273
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genbench.rng import Rng

__all__ = ["annealed_importance", "temperatures"]

_LEAPFROGS = 10
_FIRST_STEP = 0.2
_LONGER = 1.1
_SHORTER = 1 / 1.19

# A `LogWeight` maps e, (B, d), to log w(e), (B,) nats. It maps each row by itself.
LogWeight = Callable[[Tensor], Tensor]


def annealed_importance(log_w: LogWeight, d: int, rng: Rng, T: int = 1) -> Tensor:
    """log w_AIS, nats of shape (B,), of one chain per stream.

    Args:
        log_w: e -> log w(e), (B, d) -> (B,) nats, each row by itself; differentiable where T > 1.
        d: Dimensions of e.
        rng: One stream per chain.
        T: Temperatures. The chain makes 10 (T - 1) + 1 evaluations of log w; for T = 1 the result
            can be differentiated.

    Raises:
        ValueError: T is below 1.

    Examples:
        A weight that is constant has Z = w, whatever the chain does:

        >>> log_w = lambda e: 0 * e.sum(1) + 3.0
        >>> annealed_importance(log_w, d=2, rng=Rng(0, range(3)), T=4).tolist()
        [3.0, 3.0, 3.0]
    """
    if T < 1:
        raise ValueError(f"ais is at least 1 temperature, not {T}")
    e = rng.normal((d,))
    if T == 1:
        return log_w(e)
    beta = temperatures(T)
    value, slope = _with_slope(log_w, e)
    step = torch.full_like(value, _FIRST_STEP)
    total = beta[1] * value
    for t in range(1, T):
        e, value, slope, accepted = _hamiltonian(log_w, beta[t], e, value, slope, step, rng)
        step = step * torch.where(accepted, _LONGER, _SHORTER)
        total = total + (beta[t + 1] - beta[t]) * value
    return total


def temperatures(T: int) -> list[float]:
    """beta_0 = 0, ..., beta_T = 1: close together at both ends.

    Examples:
        >>> [round(beta, 3) for beta in temperatures(4)]
        [0.0, 0.105, 0.5, 0.895, 1.0]
    """
    s = torch.sigmoid(4 * (2 * torch.arange(T + 1, dtype=torch.float64) / T - 1))
    return ((s - s[0]) / (s[-1] - s[0])).tolist()


def _hamiltonian(
    log_w: LogWeight, beta: float, e: Tensor, value: Tensor, slope: Tensor, step: Tensor, rng: Rng
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One transition T_t from e, where log w is `value` and its gradient `slope`. It returns these
    three after the transition, and which chains have moved.
    """
    eps = step[:, None]
    r = rng.normal(e.shape[1:])
    before = _energy(beta, e, value, r)
    new_e = e
    new_value = value
    new_slope = slope
    for _ in range(_LEAPFROGS):
        r = r + eps / 2 * (beta * new_slope - new_e)
        new_e = new_e + eps * r
        new_value, new_slope = _with_slope(log_w, new_e)
        r = r + eps / 2 * (beta * new_slope - new_e)
    # Where an energy is NaN, this comparison is false, and the move is rejected.
    accepted = rng.uniform().log() < before - _energy(beta, new_e, new_value, r)
    yes = accepted[:, None]
    return (
        torch.where(yes, new_e, e),
        torch.where(accepted, new_value, value),
        torch.where(yes, new_slope, slope),
        accepted,
    )


def _energy(beta: float, e: Tensor, value: Tensor, r: Tensor) -> Tensor:
    """H, up to a constant, (B,)."""
    return 0.5 * (r.square().sum(1) + e.square().sum(1)) - beta * value


def _with_slope(log_w: LogWeight, e: Tensor) -> tuple[Tensor, Tensor]:
    """log w(e), (B,), and its gradient, (B, d)."""
    with torch.enable_grad():
        e = e.detach().requires_grad_()
        value = log_w(e)
        (slope,) = torch.autograd.grad(value.sum(), e)
    return value.detach(), slope
