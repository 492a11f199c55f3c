r"""Binary units of two layers, v in {0, 1}^D and h in {0, 1}^H: energies, Gibbs sweeps, and their normalising constant.

    E(v, h) = -b.v - c.h - v W h,      p(v, h) = exp(-E(v, h)) / Z
    F(v) = -b.v - sum_j log(1 + exp(c_j + (v W)_j)),      p(v) = exp(-F(v)) / Z
    p(h_j = 1 | v) = sigma(c_j + (v W)_j),   p(v_i = 1 | h) = sigma(b_i + (W h)_i)

Z by annealed importance sampling from independent v with log odds a (Salakhutdinov & Murray, eqs. 13 to
17); unbiased at any T, so that log Z is too low on average:

    f_t(v) = exp(((1 - t) a + t b).v) prod_j (1 + exp(t (c_j + (v W)_j))),   0 = t_0 < ... < t_T = 1,   Z_0 = 2^H prod_i (1 + e^{a_i})
    v_0 ~ f_0,   v_n by a sweep that leaves f_{t_n} invariant,   log w = sum_n log f_{t_n}(v_{n-1}) - log f_{t_{n-1}}(v_{n-1})
    Z = Z_0 E w

References:
    Salakhutdinov, Murray (2008), On the quantitative analysis of deep belief networks. ICML
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.formulas.ais import temperatures
from genbench.rng import Rng

__all__ = ["Machine"]


class Machine(NamedTuple):
    """Weights and biases, of one machine for all rows of v, or of one a row.

    Attributes:
        W: Weights (D, H).
        b: Biases of v, (D,).
        c: Biases of h, (H,), or (B, H) one a row.
        a: Log odds of v where annealing begins, (D,), or (B, D) one a row.

    Examples:
        Without weights all units are independent: Z = prod_i (1 + e^{b_i}) prod_j (1 + e^{c_j}).

        >>> machine = Machine(torch.zeros(2, 1), torch.zeros(2), torch.zeros(1), torch.zeros(2))
        >>> log_z, error = machine.log_z(machine.log_weights(Rng(0, range(3)), T=5))
        >>> round(float(log_z) / math.log(2), 6), float(error)
        (3.0, 0.0)
    """

    W: Tensor
    b: Tensor
    c: Tensor
    a: Tensor

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) of binary reals v, (B, D) -> (B,) nats."""
        return -v @ self.b - F.softplus(self.c + v @ self.W).sum(1)

    def draw_h(self, v: Tensor, rng: Rng, t: float = 1.0) -> Tensor:
        """h given v, (B, D) -> (B, H)."""
        return self._draw_h(self.c + v @ self.W, rng, t)

    def draw_v(self, h: Tensor, rng: Rng, t: float = 1.0) -> Tensor:
        """v given h, (B, H) -> (B, D)."""
        log_odds = torch.lerp(self.a, self.b + h @ self.W.T, t)
        return (rng.uniform(self.b.shape) < torch.sigmoid(log_odds)).to(h)

    def sweep(self, v: Tensor, rng: Rng, t: float = 1.0) -> Tensor:
        """Draw h given v, then v given h, (B, D) -> (B, D): leaves f_t invariant, p at t = 1."""
        return self.draw_v(self.draw_h(v, rng, t), rng, t)

    def anneal(self, v: Tensor, rng: Rng, T: int) -> Iterator[tuple[Tensor, Tensor]]:
        """v_n, (B, D), and what the step adds to log w, (B,), for n = 1, ..., T, from v_0."""
        for before, now in pairwise(temperatures(T)):
            inputs = self.c + v @ self.W
            ratio = F.softplus(now * inputs) - F.softplus(before * inputs)
            gain = (now - before) * _dot(v, self.b - self.a) + ratio.sum(1)
            v = self.draw_v(self._draw_h(inputs, rng, now), rng, now)
            yield v, gain

    @torch.no_grad()
    def log_weights(self, rng: Rng, T: int) -> Tensor:
        """log w of one annealed chain per stream, float64 (len(rng),)."""
        v = (rng.uniform(self.b.shape) < torch.sigmoid(self.a)).to(self.W)
        log_w = torch.zeros(len(rng), dtype=torch.float64, device=v.device)
        for _, gain in self.anneal(v, rng, T):
            log_w = log_w + gain
        return log_w

    def log_z(self, log_w: Tensor) -> tuple[Tensor, Tensor]:
        """log Z by the log weights of some chains, (n,), and its standard error, to first order the
        relative one of the mean weight. a is one vector.
        """
        log_z_0 = self.c.shape[-1] * math.log(2) + F.softplus(self.a.double()).sum()
        w = (log_w - log_w.max()).exp()
        error = w.std() / w.mean() / math.sqrt(len(w))
        return log_z_0 + log_w.max() + w.mean().log(), error

    def _draw_h(self, inputs: Tensor, rng: Rng, t: float) -> Tensor:
        """Hidden units of their inputs c + v W, (B, H)."""
        return (rng.uniform(inputs.shape[1:]) < torch.sigmoid(t * inputs)).to(inputs)


def _dot(v: Tensor, w: Tensor) -> Tensor:
    """v.w of every row, where w is one vector, (D,), or one a row, (B, D)."""
    return v @ w if w.dim() == 1 else (v * w).sum(1)
